import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.choice import OBJECTIVES, Choice, Noise, choose, closest, comparable
from pipeline.tracking import RecordedRun
from steps.configuration import Configuration
from steps.errors import InputError

ENERGY = "energy_to_accuracy_j"


def run_of(
    lr: float = 0.1,
    seed: int = 0,
    energy_j: float | None = 100.0,
    *,
    outcome: str = "REACHED",
    digest: str = "d1",
    emissions_kg: float | None = 1e-6,
    time_s: float | None = 10.0,
    val_accuracy: float = 0.96,
    **changes: object,
) -> RecordedRun:
    """A run as the pipeline leaves it."""
    configuration = Configuration(lr=lr, seed=seed, **changes)
    metrics = {
        "epochs": 12.0,
        "val_accuracy": val_accuracy,
        "time_spent_s": time_s,
        "energy_spent_j": energy_j,
        "emissions_kg": emissions_kg,
    }
    if outcome == "REACHED":
        metrics |= {"time_to_accuracy_s": time_s, ENERGY: energy_j}
    return RecordedRun(
        run_id=f"{configuration.config_id}-{seed}",
        name=configuration.run_name,
        status="FINISHED",
        started_at_ms=0,
        parameters=configuration.parameters(),
        metrics={name: value for name, value in metrics.items() if value is not None},
        tags={"config_id": configuration.config_id, "outcome": outcome, "dataset_digest": digest},
    )


def repeats(lr: float, *energies_j: float | None) -> list[RecordedRun]:
    return [run_of(lr, seed, energy_j) for seed, energy_j in enumerate(energies_j)]


def choice_of(runs: list[RecordedRun], objective: str = "energy", **picked: object) -> Choice:
    kept, excluded = comparable(runs, **picked)
    choice = choose(kept, objective)
    return replace(choice, excluded=(*excluded, *choice.excluded))


def order(choice: Choice) -> list[float]:
    """The learning rates by which these tests tell configurations apart, cheapest first."""
    return [float(ranked.parameters["lr"]) for ranked in choice.ranking]


def reasons(choice: Choice) -> dict[str, str]:
    return {each.run.run_id: each.why for each in choice.excluded}


costs = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=6)


def test_configurations_are_ranked_by_their_mean_over_repeats():
    runs = [*repeats(0.1, 100, 140), *repeats(0.2, 10, 200), *repeats(0.3, 119, 119)]
    choice = choice_of(runs)
    assert order(choice) == [0.2, 0.3, 0.1]
    assert [ranked.intervals[ENERGY].mean for ranked in choice.ranking] == [105, 119, 120]
    assert [len(ranked.runs) for ranked in choice.ranking] == [2, 2, 2]
    assert "seed" not in choice.ranking[0].parameters


def test_each_objective_ranks_by_its_own_metric():
    runs = [
        run_of(0.1, energy_j=1, emissions_kg=2, time_s=3),
        run_of(0.2, energy_j=2, emissions_kg=3, time_s=1),
        run_of(0.3, energy_j=3, emissions_kg=1, time_s=2),
    ]
    assert {objective: order(choice_of(runs, objective)) for objective in OBJECTIVES} == {
        "energy": [0.1, 0.2, 0.3],
        "emissions": [0.3, 0.1, 0.2],
        "time": [0.2, 0.3, 0.1],
    }


@pytest.mark.parametrize("outcome", ["BUDGET_EXHAUSTED", "DIVERGED", "CAPPED"])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_a_run_that_missed_its_target_never_ranks_however_cheap(outcome, objective):
    cheap = run_of(0.1, energy_j=1e-3, emissions_kg=1e-9, time_s=1e-3, outcome=outcome)
    # Even if somebody logged a cost to accuracy for it.
    logged = {**cheap.metrics, ENERGY: 1e-3, "time_to_accuracy_s": 1e-3}
    choice = choice_of([replace(cheap, metrics=logged), run_of(0.2)], objective)
    assert order(choice) == [0.2]
    assert reasons(choice)[cheap.run_id].startswith(f"missed its target ({outcome}, validation acc")


def test_one_miss_among_the_repeats_excludes_the_configuration():
    missed = run_of(0.1, seed=2, outcome="BUDGET_EXHAUSTED", val_accuracy=0.9412)
    choice = choice_of([*repeats(0.1, 1, 1), missed, *repeats(0.2, 100)])
    assert order(choice) == [0.2]
    told = reasons(choice)
    assert told[missed.run_id] == (
        "missed its target (BUDGET_EXHAUSTED, validation accuracy ended at 0.9412)"
    )
    others = [why for run_id, why in told.items() if run_id != missed.run_id]
    assert others == ["another repeat of its configuration missed the target"] * 2


def test_a_repeat_that_failed_says_nothing_about_its_configuration():
    failed = run_of(0.1, seed=1, outcome="FAILED")
    failed = replace(failed, status="FAILED", tags={**failed.tags, "failure": "disk full"})
    choice = choice_of([run_of(0.1), failed])
    assert [len(ranked.runs) for ranked in choice.ranking] == [1]
    assert reasons(choice) == {failed.run_id: "FAILED: disk full"}


@pytest.mark.parametrize("energy_j", [None, 0.0, -1.0, math.nan, math.inf])
def test_an_energy_that_is_missing_or_impossible_is_never_taken_for_a_cheap_one(energy_j):
    choice = choice_of([*repeats(0.1, 1, energy_j), *repeats(0.2, 100, 101)])
    assert order(choice) == [0.2]
    assert list(reasons(choice).values()) == ["no energy was recorded"] * 2
    # The time is there for all of them.
    assert len(choice_of([*repeats(0.1, 1, energy_j), run_of(0.2)], "time").ranking) == 2


def test_a_mean_is_given_only_where_each_repeat_has_the_metric():
    without = replace(run_of(seed=1), metrics={ENERGY: 100.0})
    ranked = choice_of([run_of(seed=0), without]).ranking[0]
    assert ranked.mean("epochs") is None
    assert ranked.mean(ENERGY) == 100
    assert set(ranked.intervals) == {ENERGY}


@settings(deadline=None)
@given(costs)
def test_the_interval_is_the_t_interval_of_the_logarithms_around_the_mean(energies_j):
    logs = np.log(energies_j)
    assume(np.ptp(logs) > 1e-6)
    reach = stats.t.interval(0.95, len(logs) - 1, loc=0, scale=stats.sem(logs))[1]
    assume(reach < 100)

    interval = choice_of(repeats(0.1, *energies_j)).ranking[0].intervals[ENERGY]

    assert interval.mean == pytest.approx(np.mean(energies_j))
    assert interval.low == pytest.approx(interval.mean * math.exp(-reach))
    assert interval.high == pytest.approx(interval.mean * math.exp(reach))


@settings(deadline=None)
@given(costs, costs, st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.001, 1.1, 2.0]))
def test_two_are_tied_where_their_ratio_lies_in_the_interval_of_the_pooled_t_test(
    one, other, distance
):
    assume(np.std(np.log(one)) > 1e-6 and np.std(np.log(other)) > 1e-6)
    limits = stats.ttest_ind(np.log(one), np.log(other)).confidence_interval(0.95)
    reach = (limits.high - limits.low) / 2
    assume(reach < 100)
    # Another unit changes the means and leaves the spread of the logarithms.
    other = np.array(other) * np.mean(one) / np.mean(other) * math.exp(distance * reach)

    choice = choice_of([*repeats(0.1, *one), *repeats(0.2, *other)])

    assert len(choice.ranking) == 2
    assert len(choice.tied_with) == (distance < 1)


def test_a_single_run_has_the_interval_of_the_noise_that_others_repeats_show():
    runs = [*repeats(0.1, 90, 100, 110), *repeats(0.2, 1000)]
    spread = np.std(np.log([90, 100, 110]), ddof=1)
    interval = choice_of(runs).ranking[1].intervals[ENERGY]
    assert interval.high == pytest.approx(1000 * math.exp(stats.t.ppf(0.975, 2) * spread))


def test_what_the_noise_does_not_tell_apart_is_tied_and_what_it_does_is_not():
    runs = [*repeats(0.1, 95, 100, 105), *repeats(0.2, 97, 102, 107), *repeats(0.3, 300, 310, 290)]
    choice = choice_of(runs)
    assert order(choice) == [0.1, 0.2, 0.3]
    assert [ranked.parameters["lr"] for ranked in choice.tied_with] == ["0.2"]


def test_repeats_without_noise_leave_nothing_tied_but_equals():
    choice = choice_of([*repeats(0.1, 100, 100), *repeats(0.2, 101, 101), *repeats(0.3, 100, 100)])
    assert [ranked.parameters["lr"] for ranked in choice.tied_with] == ["0.3"]


def test_without_repeats_nobody_knows_whether_it_is_a_tie():
    choice = choice_of([run_of(0.1, energy_j=1), run_of(0.2, energy_j=1000)])
    assert choice.tied_with is None
    for ranked in choice.ranking:
        assert (ranked.intervals[ENERGY].low, ranked.intervals[ENERGY].high) == (None, None)


def test_nothing_that_reached_its_target_gives_an_empty_ranking_and_no_ties():
    choice = choice_of([run_of(outcome="DIVERGED")])
    assert (choice.ranking, choice.tied_with) == ((), None)
    assert choice_of([]) == Choice((), None, ())


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
    ],
)
def test_what_no_run_has_is_refused_with_what_there_is(option, picked):
    with pytest.raises(InputError, match=rf"^{option} .*no run has it; choose one of ") as caught:
        comparable([run_of()], **picked)
    assert caught.value.option == option


def test_runs_of_other_programs_are_excluded_with_a_reason():
    foreign = RecordedRun("f", "theirs", "FINISHED", 0, {"lr": "1"}, {"loss": 0.0}, {"a": "b"})
    choice = choice_of([foreign, run_of()])
    assert reasons(choice) == {"f": "not a run of Greenest"}
    assert len(choice.ranking) == 1


@pytest.mark.parametrize(
    ("status", "why"), [("RUNNING", "still running"), ("FAILED", "not trained")]
)
def test_runs_that_were_not_trained_to_an_end_are_excluded_with_a_reason(status, why):
    run = run_of()
    tags = {name: value for name, value in run.tags.items() if name != "outcome"}
    assert reasons(choice_of([replace(run, status=status, tags=tags)])) == {run.run_id: why}


def test_the_closest_attempt_is_the_one_that_ended_highest():
    low, high = run_of(0.1, val_accuracy=0.5), run_of(0.2, val_accuracy=0.9)
    lost = replace(run_of(0.3), metrics={"val_accuracy": math.nan})
    assert closest([low, high, lost, replace(lost, metrics={})]) is high
    assert closest([lost]) is None


def test_the_noise_of_single_runs_is_unknown():
    assert Noise.of([[1.0], [2.0]]) == Noise(0.0, 0)


def some_of(values: Mapping[str, object]) -> st.SearchStrategy[dict[str, object]]:
    """Any part of the mapping."""
    return st.sets(st.sampled_from(sorted(values))).map(
        lambda lost: {name: value for name, value in values.items() if name not in lost}
    )


@st.composite
def half_logged_runs(draw: st.DrawFn) -> RecordedRun:
    run = run_of(
        lr=draw(st.sampled_from([0.1, 0.2])),
        seed=draw(st.integers(0, 3)),
        energy_j=draw(st.floats() | st.none()),
        emissions_kg=draw(st.floats() | st.none()),
        time_s=draw(st.floats() | st.none()),
        val_accuracy=draw(st.floats()),
        outcome=draw(st.sampled_from(["REACHED", "REACHED", "CAPPED", "DIVERGED", "FAILED", "?"])),
        digest=draw(st.sampled_from(["d1", "d1", "d2"])),
        target_accuracy=draw(st.sampled_from([0.9, 0.9, 0.95])),
    )
    return replace(
        run,
        run_id=draw(st.uuids()).hex,
        status=draw(st.sampled_from(["FINISHED", "RUNNING", "FAILED", "KILLED"])),
        parameters=draw(st.just(run.parameters) | some_of(run.parameters)),
        metrics=draw(st.just(run.metrics) | some_of(run.metrics)),
        tags=draw(st.just(run.tags) | some_of(run.tags)),
    )


@settings(deadline=None)
@given(
    st.lists(half_logged_runs(), max_size=6, unique_by=lambda run: run.run_id),
    st.sampled_from(["", "digits", "d1"]),
    st.sampled_from([None, 0.9]),
    st.sampled_from(sorted(OBJECTIVES)),
)
def test_half_logged_runs_never_break_the_choice(runs, dataset, target_accuracy, objective):
    try:
        choice = choice_of(runs, objective, dataset=dataset, target_accuracy=target_accuracy)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        return
    ranked = [run for each in choice.ranking for run in each.runs]
    assert sorted(run.run_id for run in runs) == sorted(
        [*(run.run_id for run in ranked), *(each.run.run_id for each in choice.excluded)]
    )
    assert all(each.why for each in choice.excluded)
    assert all(run.tags["outcome"] == "REACHED" for run in ranked)
    assert all(0 < run.metrics[OBJECTIVES[objective]] < math.inf for run in ranked)
    assert len({run.tags.get("dataset_digest") for run in ranked}) <= 1
    means = [each.intervals[OBJECTIVES[objective]].mean for each in choice.ranking]
    assert means == sorted(means)


def test_runs_of_one_seed_are_one_repeat_and_tell_nothing_of_the_noise():
    again = [run_of(0.1, 0, energy_j) for energy_j in (100.0, 100.2, 100.1)]
    choice = choice_of([*again, run_of(0.2, 0, 105.0)])
    assert choice.ranking[0].repeats == 1
    assert choice.ranking[0].intervals[ENERGY].mean == pytest.approx(100.1)
    assert choice.ranking[0].intervals[ENERGY].low is None
    assert choice.tied_with is None


def test_a_run_whose_later_step_failed_is_not_ranked():
    failed = replace(run_of(0.1, energy_j=1.0), status="FAILED")
    failed = replace(failed, tags={**failed.tags, "failure": "the disk is full"})
    choice = choice_of([failed, run_of(0.2)])
    assert order(choice) == [0.2]
    assert reasons(choice) == {failed.run_id: "FAILED: the disk is full"}


def test_runs_with_values_that_are_none_of_ours_are_excluded_not_a_crash():
    foreign = run_of(0.1)
    foreign = replace(foreign, parameters={**foreign.parameters, "target_accuracy": "high"})
    assert reasons(choice_of([foreign, run_of(0.2)])) == {foreign.run_id: "not a run of Greenest"}
