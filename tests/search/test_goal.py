"""What a search looks for: one cost, a weighted sum, or a Pareto front."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pareto import Axis
from pipeline.search.goal import goal
from pipeline.search.plan import pruning_name
from pipeline.search.trial import Trial
from pipeline.tracking import RecordedRun
from steps.errors import InputError
from steps.outcome import Outcome

FRONT = "energy,val_accuracy,latency"
METRICS = {"energy_to_accuracy_j": 12.0, "val_accuracy": 0.97, "latency_ms": 0.5}


def run(outcome=Outcome.REACHED, **metrics: float) -> RecordedRun:
    return RecordedRun(
        "id", "name", "FINISHED", 0, {}, {**METRICS, **metrics}, {"outcome": outcome}
    )


def trial(*figures: float) -> Trial:
    return Trial(0, {}, str(figures), Outcome.REACHED, 1.0, 1.0, figures or None)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("money", "choose one of energy, emissions, time, several metrics .* METRIC:WEIGHT"),
        ("val_accuracy", "choose one of energy, emissions, time"),
        ("test_accuracy", "comes from the test rows, which report and never decide"),
        ("energy,test_accuracy", "test_accuracy comes from the test rows"),
        ("energy,quantized_test_accuracy", "quantized_test_accuracy comes from the test rows"),
        ("test_accuracy:1,energy:-1", "test_accuracy comes from the test rows"),
        ("energy,energy_to_accuracy_j", "must be two or more different metrics"),
        ("energy,mystery", "is more of mystery better, or less"),
        ("energy:-1,energy_to_accuracy_j:-1", "each metric once"),
        ("val_accuracy:much", "weights other than 0"),
        ("val_accuracy:0", "weights other than 0"),
        ("val_accuracy:1,energy", "must be METRIC:WEIGHT"),
    ],
)
def test_an_objective_that_cannot_be_is_refused_under_the_name_it_was_typed_by(typed, told):
    with pytest.raises(InputError, match=f"^--objective {typed}: .*{told}"):
        goal(typed)


@pytest.mark.parametrize("typed", ["val_accuracy:100,energy:-1", FRONT])
@pytest.mark.parametrize("pruning", ["cap", "halving"])
def test_nothing_is_given_up_early_where_no_single_cost_decides(typed, pruning):
    assert pruning_name("", goal(typed), exhaustive=False) == "none"
    assert pruning_name("none", goal(typed), exhaustive=False) == "none"
    with pytest.raises(InputError, match=f"--pruning {pruning}: only a cost that grows tells"):
        pruning_name(pruning, goal(typed), exhaustive=False)


def test_one_cost_is_given_up_early_but_for_grids_unless_that_was_typed():
    assert pruning_name("", goal("time"), exhaustive=False) == "cap"
    assert pruning_name("", goal("time"), exhaustive=True) == "none"
    assert pruning_name("halving", goal("time"), exhaustive=True) == "halving"


def test_objectives_stand_for_their_metrics_and_each_gets_better_in_its_own_direction():
    front = goal(FRONT)
    assert front.axes == (
        Axis("energy_to_accuracy_j", True),
        Axis("val_accuracy", False),
        Axis("latency_ms", True),
    )
    assert front.values(run()) == (12.0, 0.97, 0.5)
    assert front.figures(run()) == (12.0, -0.97, 0.5)
    assert goal("val_accuracy,energy").figures(run()) == (-0.97, 12.0)
    weighted = goal("val_accuracy:100,energy:-1")
    assert weighted.metrics == ("val_accuracy", "energy_to_accuracy_j")
    assert weighted.figures(run()) == (-(97.0 - 12.0),)
    assert goal("energy").figures(run()) == (12.0,)


@pytest.mark.parametrize("typed", ["energy", "val_accuracy:100,energy:-1", FRONT])
def test_a_miss_has_no_figures_however_good_they_look(typed):
    for outcome in set(Outcome) - {Outcome.REACHED}:
        assert goal(typed).figures(run(outcome)) is None


@pytest.mark.parametrize("typed", ["energy", "val_accuracy:100,energy:-1", FRONT])
def test_infinity_as_a_database_keeps_it_is_no_figure(typed):
    assert goal(typed).figures(run(energy_to_accuracy_j=1.7976931348623157e308)) is None


def test_what_was_not_recorded_is_no_figure():
    assert goal("energy,flops").figures(run()) is None
    assert goal("val_accuracy:1,flops:-1").figures(run()) is None


def test_leaders_of_a_front_are_those_that_none_beats():
    cheap, accurate, beaten = trial(1.0, -0.8), trial(3.0, -0.9), trial(4.0, -0.9)
    assert goal("energy,val_accuracy").leaders([beaten, trial(), accurate, cheap]) == [
        cheap,
        accurate,
    ]
    assert goal("energy,val_accuracy").leaders([]) == []


def test_leaders_of_one_figure_are_in_its_order():
    first, second = trial(-2.0), trial(5.0)
    for typed in ("energy", "val_accuracy:1"):
        assert goal(typed).leaders([second, trial(), first]) == [first, second]


@given(st.integers(1, 12), st.integers(0, 12))
def test_of_a_front_too_long_to_confirm_both_ends_and_what_lies_between_are(members, most):
    line = [trial(float(place), -float(place)) for place in range(members)]
    chosen = goal("energy,val_accuracy").to_confirm(line, most)
    assert len(chosen) == len({each.config_id for each in chosen}) == min(members, most)
    if most >= 2:
        assert (chosen[0], chosen[-1]) == (line[0], line[-1])


def test_standing_of_a_search_is_told_in_the_unit_that_was_asked_for():
    reached = [trial(2500.0)]
    assert goal("energy").so_far(reached) == {"best_so_far": 2500.0}
    assert goal("energy").so_far_in_words(reached) == "best 2.5 kJ"
    assert goal("energy").so_far_in_words([]) == "best nothing yet"
    assert goal("val_accuracy:1").so_far([trial(-0.5)]) == {"best_so_far": 0.5}
    assert goal("val_accuracy:1").so_far([]) == {"best_so_far": None}
    assert goal("energy,val_accuracy").so_far([trial(1.0, -0.8)]) == {"front_size": 1.0}
    assert goal("energy,val_accuracy").so_far_in_words([]) == "front of 0"
    told = "energy_to_accuracy_j 12 J, val_accuracy 0.97, latency_ms 0.5 ms"
    assert goal(FRONT).in_words(run()) == told
    assert goal(FRONT).in_words(run(Outcome.DIVERGED)) == ""
