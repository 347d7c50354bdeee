"""What a sampler is told of trainings that missed their target."""

import math

from hypothesis import given
from hypothesis import strategies as st
from trials import MISSES

from pipeline.search.trial import Trial, best_cost, figures_told, values
from steps.outcome import Outcome

SPENT = st.floats(0.001, 1e6)
TRIALS = st.lists(
    st.builds(
        Trial,
        number=st.just(0),
        point=st.just({}),
        config_id=st.just("any"),
        outcome=st.sampled_from((Outcome.REACHED, *MISSES)),
        spent=st.none() | SPENT,
        val_accuracy=st.floats(0.0, 1.0),
    ),
    max_size=8,
)


@given(TRIALS, st.floats(1.0, 3.0), st.floats(0.1, 1.0))
def test_a_miss_is_never_told_cheaper_than_a_success(trials, slack, target):
    told = values(trials, slack, target)
    costs = [value for trial, value in zip(trials, told, strict=True) if trial.cost < math.inf]
    misses = [value for trial, value in zip(trials, told, strict=True) if trial.cost == math.inf]
    assert costs == [trial.spent for trial in trials if trial.cost < math.inf]
    assert all(math.isfinite(value) for value in told)
    assert min(misses, default=math.inf) >= max(costs, default=0.0)


@given(st.lists(SPENT, min_size=2, max_size=2), st.floats(1.0, 3.0))
def test_until_one_succeeds_a_training_that_broke_at_once_is_not_told_cheaper(spent, slack):
    near = Trial(0, {}, "near", Outcome.BUDGET_EXHAUSTED, max(spent), 0.85)
    broken = Trial(1, {}, "broken", Outcome.DIVERGED, min(spent), 0.1)
    failed = Trial(2, {}, "failed", Outcome.FAILED, None)
    told = values([near, broken, failed], slack, target=0.9)
    assert told == sorted(told) and told[0] < told[1]


def test_only_what_reached_the_target_has_a_cost():
    trials = [Trial(0, {}, "a", outcome, 5.0) for outcome in MISSES]
    assert best_cost(trials) == math.inf
    trials.append(Trial(1, {}, "b", Outcome.REACHED, 7.0))
    assert best_cost(trials) == 7.0
    # Reached, but nothing was measured: no cost is known, which is not a cost of nothing.
    assert Trial(2, {}, "c", Outcome.REACHED, None).cost == math.inf


FIGURES = st.tuples(*[st.floats(-1e6, 1e6)] * 2)
COMPARED = st.lists(
    st.builds(
        Trial,
        number=st.just(0),
        point=st.just({}),
        config_id=st.just("any"),
        outcome=st.just(Outcome.REACHED),
        spent=SPENT,
        figures=FIGURES,
    )
    | st.builds(
        Trial,
        number=st.just(0),
        point=st.just({}),
        config_id=st.just("any"),
        outcome=st.sampled_from(MISSES),
        spent=st.none() | SPENT,
        val_accuracy=st.floats(0.0, 1.0),
    ),
    max_size=8,
)


@given(COMPARED, st.floats(0.1, 1.0))
def test_a_miss_is_told_worse_in_everything_than_all_that_reached_the_target(trials, target):
    told = figures_told(trials, 2, target)
    pairs = list(zip(trials, told, strict=True))
    reached = [figures for trial, figures in pairs if trial.outcome == Outcome.REACHED]
    misses = [(trial, figures) for trial, figures in pairs if trial.outcome != Outcome.REACHED]
    assert reached == [trial.figures for trial in trials if trial.figures is not None]
    for trial, figures in misses:
        assert all(math.isfinite(figure) for figure in figures)
        for beating in reached:
            assert all(ours > theirs for ours, theirs in zip(figures, beating, strict=True))
        for other, others in misses:
            if trial.val_accuracy >= other.val_accuracy:
                assert all(ours <= theirs for ours, theirs in zip(figures, others, strict=True))


def test_units_of_a_figure_change_nothing_for_a_sampler():
    def told(per_joule: float):
        joules = (4.0, 1.0, 2.0)
        trials = [
            Trial(0, {}, "a", Outcome.REACHED, 1.0, 0.9, (per_joule * each, -each))
            for each in joules
        ]
        trials.append(Trial(1, {}, "b", Outcome.DIVERGED, 1.0, 0.5))
        return figures_told(trials, 2, target=0.9)[-1]

    in_joules, in_millijoules = told(1.0), told(1024.0)
    assert in_millijoules == (1024 * in_joules[0], in_joules[1])


def test_of_what_was_not_recorded_nothing_is_told():
    trials = [
        Trial(0, {}, "a", Outcome.REACHED, 1.0, 0.9, (1.0, 2.0)),
        Trial(1, {}, "b", Outcome.REACHED, 1.0, 0.9),
    ]
    assert figures_told(trials, 2, target=0.8) == [(1.0, 2.0), None]
