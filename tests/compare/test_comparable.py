"""Which runs may be ranked together, and that no other ever breaks the choice."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_runs import choice_of, order, reasons, repeats, run_of

from pipeline.choice import (
    OBJECTIVES,
    cautions,
    closest,
    comparable,
    objective_named,
    probabilities_of_being_best,
    refuse_mixed,
    weighted,
)
from pipeline.compare.answer import answer, as_text
from pipeline.compare.comparison import Comparison
from pipeline.tracking import RecordedRun
from steps.errors import InputError


def test_a_repeat_that_failed_says_nothing_about_its_configuration():
    failed = run_of(0.1, seed=1, outcome="FAILED")
    failed = replace(failed, status="FAILED", tags={**failed.tags, "failure": "disk full"})
    choice = choice_of([run_of(0.1), failed])
    assert [len(ranked.runs) for ranked in choice.ranking] == [1]
    assert reasons(choice) == {failed.run_id: "FAILED: disk full"}


def test_a_run_whose_later_step_failed_is_not_ranked():
    failed = replace(run_of(0.1, energy_j=1.0), status="FAILED")
    told = replace(failed, tags={**failed.tags, "failure": "the disk is full"})
    choice = choice_of([told, run_of(0.2)])
    assert order(choice) == [0.2]
    assert reasons(choice) == {failed.run_id: "FAILED: the disk is full"}
    (why,) = reasons(choice_of([failed, run_of(0.2)])).values()
    assert why == "FAILED, although its training had ended"


def test_runs_towards_different_targets_are_refused_until_one_is_picked():
    runs = [run_of(0.1, target_accuracy=0.9), run_of(0.2, target_accuracy=0.95)]
    with pytest.raises(InputError, match=r"^--target-accuracy.*choose one of 0\.9, 0\.95$"):
        comparable(runs)
    choice = choice_of(runs, target_accuracy=0.95)
    assert order(choice) == [0.2]
    assert list(reasons(choice).values()) == ["other --target-accuracy: 0.9"]


def test_runs_of_different_patience_are_refused_until_one_is_picked():
    runs = [run_of(0.1, patience=1), run_of(0.2, patience=3)]
    with pytest.raises(InputError, match=r"^--patience.*choose one of 1, 3$"):
        comparable(runs)
    assert order(choice_of(runs, patience=1)) == [0.1]


def test_runs_on_different_datasets_are_refused_until_one_is_picked():
    runs = [run_of(0.1, dataset="iris", digest="d1"), run_of(0.2, dataset="wine", digest="d2")]
    with pytest.raises(InputError, match=r"^--dataset.*choose one of iris \(d1\), wine \(d2\)$"):
        comparable(runs)
    assert order(choice_of(runs, dataset="wine")) == [0.2]
    assert order(choice_of(runs, dataset="d1")) == [0.1]


def test_one_file_before_and_after_a_change_is_never_one_dataset():
    before = run_of(0.1, dataset="csv:rows.csv", digest="d1")
    after = run_of(0.1, seed=1, dataset="csv:rows.csv", digest="d2")
    for picked in ({}, {"dataset": "csv:rows.csv"}):
        with pytest.raises(InputError, match=r"^--dataset.*csv:rows\.csv \(d1\), .*\(d2\)$"):
            comparable([before, after], **picked)
    assert comparable([before, after], dataset="d2")[0] == [after]


def test_one_file_in_two_places_is_one_dataset():
    runs = [run_of(0.1, dataset="csv:a.csv"), run_of(0.2, dataset="csv:b.csv")]
    assert len(choice_of(runs).ranking) == 2


@pytest.mark.parametrize(
    ("option", "picked"),
    [
        ("--dataset", {"dataset": "iris"}),
        ("--target-accuracy", {"target_accuracy": 0.5}),
        ("--patience", {"patience": 9}),
        ("--hardware", {"hardware": "quantum"}),
    ],
)
def test_what_no_run_has_is_refused_with_what_there_is(option, picked):
    with pytest.raises(InputError, match=rf"^{option} .*no run has it; choose one of ") as caught:
        comparable([run_of()], **picked)
    assert caught.value.option == option


def test_a_machine_is_picked_by_part_of_its_name_and_by_all_of_it():
    names = ("EPYC; H200; Linux", "EPYC; no GPU; Linux", "EPYC; no GPU; Linux 2")
    runs = [run_of(lr, hardware=name) for lr, name in zip((0.1, 0.2, 0.3), names, strict=True)]
    choice = choice_of(runs, hardware="h200")
    assert order(choice) == [0.1]
    assert set(reasons(choice).values()) == {f"other --hardware: {name}" for name in names[1:]}
    with pytest.raises(InputError, match=r"^--hardware no gpu: names several; choose one of EPYC"):
        choice_of(runs, hardware="no gpu")
    assert order(choice_of(runs, hardware=names[1])) == [0.2]


def test_what_rests_on_the_machine_is_not_ranked_across_machines():
    choice = choice_of([run_of(0.1, hardware="slow"), run_of(0.2, hardware="fast")])
    for objective in ("energy", "time", "latency"):
        with pytest.raises(InputError, match=r"^--hardware: is needed.*one of fast \| slow$"):
            refuse_mixed(choice, objective_named(objective))
    with pytest.raises(InputError, match=r"^--hardware"):
        refuse_mixed(choice, weighted("val_accuracy:1,energy_spent_j:-1"))
    refuse_mixed(choice, objective_named("epochs"))
    refuse_mixed(choice, weighted("val_accuracy:1,average_bitwidth:-1"))
    assert any("2 machines" in caution for caution in cautions(choice))


def test_energy_with_a_part_and_without_it_is_not_ranked_together():
    whole, partial = run_of(0.1), run_of(0.2, energy_j=1)
    whole = replace(whole, tags={**whole.tags, "energy.gpu": "measured (NVML)"})
    choice = choice_of([whole, partial])
    assert order(choice) == [0.2, 0.1]
    with pytest.raises(InputError, match="GPU energy is absent or measured") as caught:
        refuse_mixed(choice, objective_named("energy"))
    # The filter that it proposes is one that MLflow takes.
    assert 'tags."energy.gpu" LIKE "measured%"' in str(caught.value)
    refuse_mixed(choice, objective_named("time"))
    assert any("these do not compare" in caution for caution in cautions(choice))


def test_emissions_of_two_places_are_not_ranked_together_and_their_energy_is():
    places = [("FRA", "56"), ("POL", "660")]
    runs = [
        replace(
            run_of(lr),
            tags={
                **run_of(lr).tags,
                "carbon.place": place,
                "carbon.intensity_g_per_kwh": intensity,
            },
        )
        for lr, (place, intensity) in zip((0.1, 0.2), places, strict=True)
    ]
    choice = choice_of(runs, "emissions")
    with pytest.raises(InputError, match="FRA at 56 g/kWh and POL at 660 g/kWh; rank by energy"):
        refuse_mixed(choice, objective_named("emissions"))
    refuse_mixed(choice, objective_named("energy"))


def test_a_run_that_missed_elsewhere_is_no_reason_to_refuse():
    missed = run_of(0.2, outcome="DIVERGED", hardware="another")
    refuse_mixed(choice_of([run_of(0.1), missed]), objective_named("energy"))


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ({"tags": {}}, "not a run of Greenest"),
        ({"tags": {"search.key": "k"}}, "the record of a search, not a training"),
        (
            {"parameters": {"dataset": "digits"}},
            "half-logged, or of another version: it has no patience, target_accuracy",
        ),
    ],
)
def test_runs_of_others_and_of_other_kinds_are_excluded_with_a_reason(lost, why):
    strange = replace(run_of(0.1), run_id="strange", **lost)
    choice = choice_of([strange, run_of(0.2)])
    assert reasons(choice) == {"strange": why}
    assert len(choice.ranking) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_accuracy", "high"),
        ("target_accuracy", "nan"),
        ("patience", "2.5"),
        ("patience", ""),
    ],
)
def test_runs_with_values_that_are_none_of_ours_are_excluded_not_a_crash(name, value):
    foreign = run_of(0.1)
    foreign = replace(foreign, parameters={**foreign.parameters, name: value})
    told = f"its {name} is {value or 'empty'}, no number"
    assert reasons(choice_of([foreign, run_of(0.2)])) == {foreign.run_id: told}


@pytest.mark.parametrize(
    ("status", "outcome", "why"),
    [
        ("RUNNING", None, "still running"),
        ("FAILED", None, "not trained"),
        ("FINISHED", "?", "not trained"),
        ("FINISHED", "FINAL", "trained on the validation rows too: no target was checked"),
    ],
)
def test_runs_that_were_not_trained_to_an_end_are_excluded_with_a_reason(status, outcome, why):
    run = run_of()
    tags = {name: value for name, value in run.tags.items() if name != "outcome"}
    tags |= {"outcome": outcome} if outcome else {}
    assert reasons(choice_of([replace(run, status=status, tags=tags)])) == {run.run_id: why}


def test_the_closest_attempt_is_the_one_that_ended_highest():
    low, high = run_of(0.1, val_accuracy=0.5), run_of(0.2, val_accuracy=0.9)
    lost = replace(run_of(0.3), metrics={"val_accuracy": math.nan})
    assert closest([low, high, lost, replace(lost, metrics={})]) is high
    assert closest([lost]) is None


def some_of(values: Mapping[str, object]) -> st.SearchStrategy[dict[str, object]]:
    """Any part of the mapping, some of it replaced by what others might write there."""
    return st.tuples(
        st.sets(st.sampled_from(sorted(values))),
        st.dictionaries(st.sampled_from(sorted(values)), st.text(max_size=4), max_size=2),
    ).map(lambda drawn: {k: v for k, v in values.items() if k not in drawn[0]} | drawn[1])


def some_metrics(values: Mapping[str, float]) -> st.SearchStrategy[dict[str, float]]:
    wild = st.dictionaries(st.sampled_from(sorted(values)), st.floats(), max_size=2)
    lost = st.sets(st.sampled_from(sorted(values)))
    return st.tuples(lost, wild).map(
        lambda drawn: {k: v for k, v in values.items() if k not in drawn[0]} | drawn[1]
    )


OUTCOMES = ["REACHED", "REACHED", "REACHED", "CAPPED", "DIVERGED", "FAILED", "FINAL", "?"]


@st.composite
def runs_of_anybody(draw: st.DrawFn) -> RecordedRun:
    run = run_of(
        lr=draw(st.sampled_from([0.1, 0.2])),
        seed=draw(st.integers(0, 3)),
        energy_j=draw(st.floats(1, 1000) | st.floats() | st.none()),
        emissions_kg=draw(st.floats() | st.none()),
        time_s=draw(st.floats() | st.none()),
        val_accuracy=draw(st.floats()),
        outcome=draw(st.sampled_from(OUTCOMES)),
        digest=draw(st.sampled_from(["d1", "d1", "d1", "d2"])),
        target_accuracy=draw(st.sampled_from([0.9, 0.9, 0.9, 0.95])),
    )
    return replace(
        run,
        run_id=draw(st.uuids()).hex,
        name=draw(st.just(run.name) | st.text(max_size=5)),
        status=draw(st.sampled_from(["FINISHED", "FINISHED", "RUNNING", "FAILED", "KILLED", ""])),
        parameters=draw(st.just(run.parameters) | some_of(run.parameters)),
        metrics=draw(st.just(run.metrics) | some_metrics(run.metrics)),
        tags=draw(st.just(run.tags) | some_of(run.tags)),
    )


@settings(deadline=None, max_examples=100)
@given(
    st.lists(runs_of_anybody(), max_size=8, unique_by=lambda run: run.run_id),
    st.sampled_from(["", "digits", "d1"]),
    st.sampled_from([None, 0.9]),
    st.sampled_from([1.0, 0.8, 0.5, 0.01]),
    st.sampled_from(
        [*map(objective_named, OBJECTIVES), weighted("val_accuracy:1,energy_to_accuracy_j:-0.1")]
    ),
)
def test_no_run_of_anybody_ever_breaks_the_choice(
    runs, dataset, target_accuracy, min_success, objective
):
    picked = {"dataset": dataset, "target_accuracy": target_accuracy, "patience": 3}
    try:
        choice = choice_of(runs, objective, min_success, **picked)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        return
    ranked = [run for each in choice.ranking for run in each.runs]
    assert sorted(run.run_id for run in runs) == sorted(
        [*(run.run_id for run in ranked), *(each.run.run_id for each in choice.excluded)]
    )
    assert all(each.why and len(each.why.splitlines()) == 1 for each in choice.excluded)
    assert all(each.share_reached >= min_success - 1e-9 for each in choice.ranking)
    assert not any(run.tags["outcome"] == "CAPPED" for run in ranked)
    assert len({run.tags.get("dataset_digest", "") for run in ranked}) <= 1
    means = [each.intervals[objective.metric].mean for each in choice.ranking]
    assert means == sorted(means, reverse=objective.weights is not None)
    assert all(map(math.isfinite, means))
    assert sum(probabilities_of_being_best(choice, objective).values()) in (
        0,
        pytest.approx(1),
    )
    told = Comparison("green", objective, choice, tuple(ranked), choice.excluded, ())
    # What is not finite raises here.
    as_text(answer(told))


def test_an_older_version_that_knew_fewer_parameters_is_ranked_with_what_it_has():
    old = run_of(0.1)
    old = replace(old, parameters={k: v for k, v in old.parameters.items() if k != "dropout"})
    assert len(choice_of([old, *repeats(0.2, 1, 2)]).ranking) == 2
