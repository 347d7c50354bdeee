"""What a sampler is told of trainings that missed their target."""

import math

from hypothesis import given
from hypothesis import strategies as st
from trials import MISSES

from pipeline.search.trial import Trial, best_cost, values
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
