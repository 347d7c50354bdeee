"""The intervals, by formula and against simulated truth."""

import math
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from recorded_runs import ENERGY, choice_of, repeats
from scipy import stats

from pipeline.choice import Noise
from pipeline.choice.noise import COSTS, estimate_per_success

EXPERIMENTS = 300

costs = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=6)
close_costs = st.lists(st.floats(50, 200), min_size=2, max_size=6)


@pytest.fixture
def simulation(project, monkeypatch):
    """The benchmark, by which 2,000 of each kind are simulated."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    import choice

    yield choice
    for name in ("choice", "_rows"):
        sys.modules.pop(name, None)


def about(share: float, experiments: int) -> float:
    """As far as chance takes a share in one of a thousand simulations."""
    return 3.3 * math.sqrt(share * (1 - share) / experiments)


@pytest.mark.parametrize("scenario", range(10))
def test_intervals_cover_the_truth_and_no_wrong_winner_is_named(simulation, scenario):
    told = simulation.tally(simulation.WITHIN[scenario], EXPERIMENTS, seed=scenario)
    assert np.mean(told.covered) == pytest.approx(0.95, abs=0.02 + about(0.95, EXPERIMENTS))
    assert np.mean(told.winner_covered) == pytest.approx(0.95, abs=0.02 + about(0.95, EXPERIMENTS))
    assert np.mean(told.wrong) <= 0.05 + about(0.05, EXPERIMENTS)
    assert np.mean(told.lost) <= 0.05 + about(0.05, EXPERIMENTS)


def test_a_clear_winner_is_named(simulation):
    clear = simulation.Scenario("", (1.0, 3.0, 4.0))
    told = simulation.tally(clear, EXPERIMENTS)
    assert np.mean(told.named) > 0.99
    assert not any(told.wrong)


def test_without_the_allowance_for_luck_the_winners_interval_would_not_hold(simulation):
    """What the allowance is for: of twenty equals the cheapest was lucky."""
    equals = simulation.WITHIN[4]
    assert len(set(equals.true_j)) == 1 and len(equals.true_j) == 20
    generator = np.random.default_rng(0)
    hits = []
    for _ in range(EXPERIMENTS):
        taken = simulation.lognormal(generator, np.ones(20), 3).tolist()
        noise = Noise.of(taken)
        interval = noise.estimate(min(taken, key=sum)).interval(COSTS)
        hits.append(interval.low <= 1 <= interval.high)
    assert np.mean(hits) < 0.8


@settings(deadline=None)
@given(costs)
def test_the_interval_is_students_t_around_the_mean_of_lognormal_values(energies_j):
    logs = np.log(energies_j)
    spread = np.std(logs, ddof=1)
    assume(1e-6 < spread < 3)
    variance = np.log1p(np.expm1(spread**2) / len(logs))
    reach = stats.t.ppf(0.975, len(logs) - 1) * math.sqrt(variance)
    assume(reach < 100)

    interval = choice_of(repeats(0.1, *energies_j)).ranking[0].intervals[ENERGY]

    assert interval.mean == pytest.approx(np.mean(energies_j))
    assert interval.low == pytest.approx(interval.mean * math.exp(variance / 2 - reach))
    assert interval.high == pytest.approx(interval.mean * math.exp(variance / 2 + reach))


@settings(deadline=None)
@given(close_costs, close_costs, st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.001, 1.1, 2.0]))
def test_two_are_tied_where_their_ratio_lies_in_the_interval_of_the_pooled_t_test(
    one, other, distance
):
    assume(np.std(np.log(one)) > 1e-6 and np.std(np.log(other)) > 1e-6)
    noise = Noise.of([one, other])
    variances = [np.log1p(np.expm1(noise.log_spread**2) / len(each)) for each in (one, other)]
    reach = stats.t.ppf(0.975, noise.degrees_of_freedom) * math.sqrt(sum(variances))
    # Another unit changes the means and leaves the spread of the logarithms.
    shift = (variances[0] - variances[1]) / 2
    factor = math.exp(distance * reach + shift)
    other = np.array(other) * np.mean(one) / np.mean(other) * factor

    choice = choice_of([*repeats(0.1, *one), *repeats(0.2, *other)])

    assert len(choice.ranking) == 2
    assert len(choice.tied_with) == (distance < 1)


def test_a_single_run_has_the_interval_of_the_noise_that_others_repeats_show():
    runs = [*repeats(0.1, 90, 100, 110), *repeats(0.2, 1000)]
    spread = np.std(np.log([90, 100, 110]), ddof=1)
    interval = choice_of(runs).ranking[1].intervals[ENERGY]
    high = 1000 * math.exp(spread**2 / 2 + stats.t.ppf(0.975, 2) * spread)
    assert interval.high == pytest.approx(high)


def test_the_noise_of_single_runs_is_unknown():
    assert Noise.of([[1.0], [2.0]]) == Noise(0.0, 0)
    assert math.isinf(Noise(0.0, 0).estimate([1.0]).variance)


@given(
    st.lists(
        st.lists(st.floats(1e-99, 1e99), min_size=1, max_size=3).map(
            lambda taken: taken * 2 if len(taken) == 1 else taken
        ),
        min_size=1,
        max_size=5,
    )
)
def test_an_interval_is_finite_and_around_its_mean_however_wild_the_noise(taken):
    choice = choice_of(
        [run for place, each in enumerate(taken, 1) for run in repeats(place / 10, *each)]
    )
    for ranked in choice.ranking:
        interval = ranked.intervals[ENERGY]
        assert 0 <= interval.low <= interval.high < math.inf


def test_what_a_success_takes_is_the_ratio_of_two_means_with_its_standard_error():
    spent, reached = (100.0, 110.0, 90.0, 300.0, 100.0), (1.0, 1.0, 1.0, 0.0, 1.0)
    estimate = estimate_per_success(spent, reached)
    assert estimate.mean == pytest.approx(700 / 4)
    # Of a ratio of means, from the covariances of numerator and denominator.
    (v, c), (_, w) = np.cov(spent, reached) / 5
    mean_spent, mean_reached = np.mean(spent), np.mean(reached)
    relative = v / mean_spent**2 + w / mean_reached**2 - 2 * c / (mean_spent * mean_reached)
    assert estimate.variance == pytest.approx(relative)
    assert (estimate.degrees, estimate.is_pooled) == (4, False)


def test_one_seed_that_reached_once_and_missed_once_tells_nothing_of_its_noise():
    assert math.isinf(estimate_per_success((100.0,), (0.5,)).variance)
