"""A training is given up only where it cannot win, and for the reason that is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trials import curves, train

from pipeline.search.pruning import (
    ENVELOPE_MARGIN,
    PRUNINGS,
    Cap,
    Envelope,
    Halving,
    Standing,
    lower_bound,
    pruning,
)

COSTS = st.floats(0.1, 100.0)


@given(curves(), COSTS, st.floats(0.0, 50.0), st.integers(1, 4))
@pytest.mark.parametrize("name", PRUNINGS)
def test_nothing_is_given_up_before_one_has_reached_the_target(
    name, accuracies, per_epoch, before, patience
):
    assert train(pruning(name), accuracies, per_epoch, before, patience=patience)[0] == ""


@given(
    best=COSTS,
    slack=st.floats(1.0, 3.0),
    per_epoch=COSTS,
    before=st.floats(0.0, 50.0),
    misses=st.integers(0, 12),
    patience=st.integers(1, 4),
)
def test_a_training_that_ends_under_the_cap_is_given_up_by_neither_cap_nor_streak(
    best, slack, per_epoch, before, misses, patience
):
    rule = Cap(slack, best)
    accuracies = [0.0] * misses + [1.0] * patience
    told, cost = train(rule, accuracies, per_epoch, before, patience=patience)
    would_cost = before + len(accuracies) * per_epoch
    # Sums in another order differ in their last digits.
    if would_cost < slack * best * (1 - 1e-9):
        assert (told, cost) == ("", would_cost)
    elif would_cost > slack * best * (1 + 1e-9) and len(accuracies) > 1:
        # What is there after a single epoch was never asked about.
        assert told in ("cap", "streak")
        assert cost <= would_cost


@given(best=COSTS, slack=st.floats(1.0, 3.0), per_epoch=COSTS, epochs=st.integers(1, 50))
def test_at_most_one_epoch_is_spent_beyond_the_cap(best, slack, per_epoch, epochs):
    told, cost = train(Cap(slack, best), [0.0] * epochs, per_epoch)
    assert cost <= slack * best + per_epoch
    assert told or cost <= slack * best


@given(best=COSTS, slack=st.floats(1.0, 3.0), spent=COSTS)
@pytest.mark.parametrize("name", PRUNINGS)
def test_within_an_epoch_nothing_but_the_cap_ends_a_training(name, best, slack, spent):
    rule = pruning(name, slack)
    hopeless = Standing(
        spent, before=0.0, epochs=1, val_accuracy=0.0, streak_missing=9, is_within_epoch=True
    )
    assert rule.gives_up(hopeless) == ""
    rule.learn(best, [1.0])
    exceeded = name != "none" and spent > slack * best
    assert rule.gives_up(hopeless) == ("cap" if exceeded else "")


def test_the_streak_that_is_missing_counts_as_if_it_were_spent():
    rule = Cap(slack=1.0, best=10.0)
    near = Standing(spent=6.0, before=0.0, epochs=6, val_accuracy=1.0, streak_missing=4)
    assert rule.gives_up(near) == ""
    too_late = Standing(spent=7.0, before=0.0, epochs=7, val_accuracy=1.0, streak_missing=4)
    assert rule.gives_up(too_late) == "streak"


def test_what_came_before_the_first_epoch_is_not_taken_for_the_pace_of_the_epochs():
    rule = Cap(slack=1.0, best=10.0)
    compiled = Standing(spent=6.0, before=5.0, epochs=1, val_accuracy=0.0, streak_missing=4)
    assert rule.gives_up(compiled) == ""
    slow = Standing(spent=6.0, before=0.0, epochs=1, val_accuracy=0.0, streak_missing=4)
    assert rule.gives_up(slow) == "streak"


def test_the_cap_follows_the_best_and_never_a_dearer_one():
    rule = Cap(slack=2.0)
    for cost in (10.0, 4.0, 50.0):
        rule.learn(cost, [1.0])
    assert rule.limit == 8.0


@given(curves(), st.floats(0.01, 1.0))
def test_a_training_like_one_that_got_there_is_never_below_the_envelope(accuracies, share):
    envelope = Envelope()
    envelope.include(accuracies)
    so_far = accuracies[: int(share * len(accuracies) + 1e-9)]
    assert max(so_far, default=0.0) >= envelope.at(share)


@given(st.lists(curves(), min_size=1, max_size=5), curves(), st.floats(0.0, 1.0))
def test_each_training_that_gets_there_can_only_lower_the_envelope(before, another, share):
    envelope = Envelope()
    for accuracies in before:
        envelope.include(accuracies)
    lowest = envelope.at(share)
    envelope.include(another)
    assert envelope.at(share) <= lowest


def test_the_envelope_ends_what_is_clearly_worse_at_the_same_share_of_the_cap_and_nothing_else():
    def standing(val_accuracy: float) -> Standing:
        return Standing(5.0, 0.0, 5, val_accuracy, streak_missing=1)

    rule = Cap(slack=1.0)
    rule.learn(10.0, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    assert rule.gives_up(standing(0.5 - ENVELOPE_MARGIN - 0.01)) == "envelope"
    assert rule.gives_up(standing(0.5 - ENVELOPE_MARGIN + 0.01)) == ""


def test_compilation_that_takes_all_of_the_limit_divides_by_nothing():
    rule = Cap(slack=1.0, best=10.0)
    rule.envelope.include([0.5, 1.0])
    assert rule.gives_up(Standing(10.0, 10.0, 1, 0.0, 0)) in ("", "envelope")


def test_halving_ends_the_worse_half_of_those_that_came_to_a_rung():
    rule = Halving(Cap(slack=10.0, best=8.0))
    ended = []
    for accuracy in (0.5, 0.4, 0.6, 0.3, 0.7):
        told, cost = train(rule, [accuracy] * 3, per_epoch=1.0)
        ended.append((accuracy, told))
        assert not told or cost == 2.0  # the rung at a quarter of the best cost
    assert ended == [(0.5, ""), (0.4, ""), (0.6, ""), (0.3, "halving"), (0.7, "")]


def test_halving_looks_once_at_each_rung_of_each_training():
    rule = Halving(Cap(slack=10.0, best=8.0))
    train(rule, [0.9] * 3, per_epoch=1.0, target=1.0)
    for _ in range(2):
        assert train(rule, [0.8] * 3, per_epoch=1.0)[0] == ""
    assert sorted(rule._seen[0.25]) == [0.8, 0.8, 0.9]


def test_halving_tells_a_training_from_the_one_before_wherever_it_is_first_asked():
    rule = Halving(Cap(slack=10.0, best=8.0))
    for accuracy in (0.5, 0.4):
        told = [
            rule.gives_up(Standing(epochs * 2.0, 0.0, epochs, accuracy, 9)) for epochs in (2, 3)
        ]
        assert rule.rungs == {0.25: accuracy, 0.5: accuracy}
    assert told[0] == "" and rule._seen == {0.25: [0.5, 0.4], 0.5: [0.5, 0.4]}


def test_halving_decides_the_same_by_the_rungs_that_were_kept():
    accuracies = (0.5, 0.4, 0.6, 0.3, 0.7, 0.35)
    undisturbed, rungs = Halving(Cap(slack=10.0, best=8.0)), []
    for accuracy in accuracies[:4]:
        train(undisturbed, [accuracy] * 3, per_epoch=1.0)
        rungs.append(dict(undisturbed.rungs))
    resumed = Halving(Cap(slack=10.0, best=8.0))
    for kept in rungs:
        resumed.remember(kept)
    for accuracy in accuracies[4:]:
        expected = train(undisturbed, [accuracy] * 3, per_epoch=1.0)
        assert train(resumed, [accuracy] * 3, per_epoch=1.0) == expected
    assert expected == ("halving", 2.0)


def test_halving_holds_the_cap_as_well():
    rule = Halving(Cap(slack=1.0, best=2.0))
    assert train(rule, [0.5] * 9, per_epoch=1.0) == ("streak", 2.0)


@given(COSTS, COSTS, st.floats(1.0, 3.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_bound_of_a_miss_is_above_the_cap_and_grows_with_the_distance_to_the_target(
    spent, best, slack, near, far
):
    near, far = sorted((near, far))
    bounds = [lower_bound(spent, best, slack, shortfall) for shortfall in (near, far)]
    assert max(spent, slack * best) <= bounds[0] <= bounds[1]
