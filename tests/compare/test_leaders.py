"""A few runs name the winner that all runs name, or all are read."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils
from recorded_runs import ENERGY, of_search, run_of
from stored_runs import LEARNING_RATES, best_cost, id_of, placed, winner

from pipeline import tracking
from pipeline.tracking import RecordedRun, leaders
from steps.errors import InputError

pytestmark = pytest.mark.usefixtures("reads_from")


@st.composite
def a_run(draw: st.DrawFn) -> RecordedRun:
    run = run_of(
        draw(st.sampled_from(LEARNING_RATES)),
        draw(st.integers(0, 3)),
        draw(st.sampled_from([1.0, 2.0, 2.0, 3.0, 4.0, 0.1, None])),
        outcome=draw(st.sampled_from(["REACHED"] * 9 + ["DIVERGED", "CAPPED", "FAILED"])),
        digest=draw(st.sampled_from(["d1"] * 40 + ["d2"])),
        hardware=draw(st.sampled_from(["one machine"] * 40 + ["another's"])),
    )
    role = draw(st.sampled_from(["", "trial", "trial", "confirmation"]))
    if role:
        run = of_search(run, role, draw(st.sampled_from("pppq")))
    status = draw(st.sampled_from(["FINISHED"] * 15 + ["FAILED", "RUNNING"]))
    lost = draw(st.sampled_from([None] * 40 + ["hardware", "config_id", "outcome"]))
    return replace(
        run, status=status, tags={name: text for name, text in run.tags.items() if name != lost}
    )


@settings(deadline=None, max_examples=25)
@given(st.lists(a_run(), max_size=14), st.sampled_from(["", "params.lr != '0.1'"]))
def test_a_few_runs_name_the_winner_that_all_runs_name(experiment, runs, where):
    name = experiment(*placed(runs))
    few = leaders.read_leaders(id_of(name), ENERGY, best_cost, where)
    whole = tracking.runs_of(name, where)
    try:
        expected = winner(whole)
    except InputError:
        assert few is None
        return
    if few is not None:
        assert expected is not None
        assert winner(few) == expected
        assert {run.run_id for run in few} <= {run.run_id for run in whole}


def test_the_winner_is_found_though_cheaper_runs_belong_to_others_and_few_are_read(experiment):
    runs = [
        *(run_of(0.1, seed, 1.0 + 9 * seed) for seed in range(3)),  # cheapest run, mean 10
        run_of(0.2, 0, 2.0),
        run_of(0.2, 1, outcome="BUDGET_EXHAUSTED"),
        *(run_of(0.3, seed, 5.0) for seed in range(3)),  # the winner
        *(run_of(1 + n / 100, seed, 50.0) for n in range(30) for seed in range(2)),
    ]
    name = experiment(*placed(runs))
    few = leaders.read_leaders(id_of(name), ENERGY, best_cost, "")
    assert sorted({run.parameters["lr"] for run in few}) == ["0.1", "0.2", "0.3"]
    assert len(few) == 8
    assert winner(few) == winner(tracking.runs_of(name))
    assert winner(few)[1] == 5.0


def test_a_trial_that_was_lucky_once_is_read_with_the_leaders_that_its_search_trained_again(
    experiment,
):
    runs = [
        of_search(run_of(0.1, 0, 1.0)),
        *(of_search(run_of(0.2, seed, 5.0), "confirmation") for seed in range(3)),
        *(of_search(run_of(0.3, seed, 50.0), "trial", "q") for seed in range(3)),
    ]
    name = experiment(*placed(runs))
    few = leaders.read_leaders(id_of(name), ENERGY, best_cost, "")
    assert sorted({run.parameters["lr"] for run in few}) == ["0.1", "0.2"]
    assert winner(few) == winner(tracking.runs_of(name))
    assert winner(few)[3]["lr"] == "0.2"


def test_of_two_that_take_the_same_the_one_is_named_that_all_runs_name(experiment):
    runs = [run_of(0.1, 0, 1.0), run_of(0.1, 1, 3.0), run_of(0.2, 0, 2.0)]
    name = experiment(*placed(runs))
    few = leaders.read_leaders(id_of(name), ENERGY, best_cost, "")
    assert winner(few) == winner(tracking.runs_of(name))
    assert winner(few)[3]["lr"] == "0.2"


def test_repeats_that_the_filter_leaves_out_do_not_count(experiment):
    runs = [run_of(0.1, 0, outcome="DIVERGED"), run_of(0.1, 1, 1.0), run_of(0.2, 1, 2.0)]
    name = experiment(*placed(runs))
    few = leaders.read_leaders(id_of(name), ENERGY, best_cost, "params.seed != '0'")
    assert winner(few)[3]["lr"] == "0.1"
    assert winner(leaders.read_leaders(id_of(name), ENERGY, best_cost, ""))[3]["lr"] == "0.2"


@pytest.mark.parametrize(
    "other",
    [
        run_of(0.9, digest="d2"),
        run_of(0.9, hardware="another machine"),
        run_of(0.9, patience=9),
        run_of(0.9, target_accuracy=0.5, outcome="DIVERGED"),
        replace(run_of(0.9), tags={"config_id": "c", "outcome": "REACHED"}),
        replace(run_of(0.9), tags={**run_of(0.9).tags, "energy.gpu": "measured (NVML)"}),
        replace(run_of(0.9), tags={**run_of(0.9).tags, "carbon.place": "DEU"}),
    ],
    ids=["dataset", "machine", "patience", "target", "older version", "part", "place"],
)
def test_runs_that_differ_in_what_decides_whether_they_compare_are_all_to_be_read(
    experiment, other
):
    alike = [run_of(0.1, seed, 1.0) for seed in range(3)]
    dear = replace(other, metrics={**other.metrics, ENERGY: 1000.0})
    assert leaders.read_leaders(id_of(experiment(*placed(alike))), ENERGY, best_cost, "")
    name = experiment(*placed([*alike, dear]))
    assert leaders.read_leaders(id_of(name), ENERGY, best_cost, "") is None


def test_where_nothing_reached_its_target_all_runs_are_to_be_read(experiment):
    name = experiment(*placed([run_of(outcome="DIVERGED")]))
    assert leaders.read_leaders(id_of(name), ENERGY, best_cost, "") is None


def test_where_too_many_could_win_all_runs_are_to_be_read(experiment, monkeypatch):
    monkeypatch.setattr(leaders, "MOST_CONFIGURATIONS", 3)
    cheap_once = [
        run_of(lr, seed, cost)
        for lr in LEARNING_RATES
        for seed, cost in enumerate((1.0, 100.0 + lr))
    ]
    name = experiment(*placed(cheap_once))
    assert leaders.read_leaders(id_of(name), ENERGY, best_cost, "") is None


def test_a_tag_that_no_filter_can_write_means_that_all_runs_are_to_be_read(experiment):
    name = experiment(*placed([run_of(hardware="its 19\" rack's")]))
    assert leaders.read_leaders(id_of(name), ENERGY, best_cost, "") is None


@given(st.text(max_size=12) | st.text("'\"`; -\\\n()%", max_size=6))
def test_a_comparison_with_any_text_means_that_text_or_is_refused(text):
    try:
        written = leaders._compared("tags.`energy.gpu`", "!=", text)
    except leaders.CannotBeWrittenError:
        return
    try:
        (parsed,) = SearchUtils.parse_search_filter(f"{written} and tags.a = 'b'")[:1]
    except MlflowException:
        pytest.fail(f"{written} cannot be followed by another condition")
    assert (parsed["key"], parsed["comparator"], parsed["value"]) == ("energy.gpu", "!=", text)
