"""The probability of being truly the best, under the noise of the repeats."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from pipeline.choice import choose, probabilities_of_being_best
from pipeline.tracking import RecordedRun
from steps.outcome import Outcome


def runs_of(costs: dict[str, list[float]]) -> list[RecordedRun]:
    return [
        RecordedRun(
            run_id=f"{config_id}-{seed}",
            name=f"{config_id}-s{seed}",
            status="FINISHED",
            started_at_ms=0,
            parameters={"seed": str(seed)},
            metrics={"energy_to_accuracy_j": cost},
            tags={"config_id": config_id, "outcome": Outcome.REACHED},
        )
        for config_id, repeats in costs.items()
        for seed, cost in enumerate(repeats)
    ]


def probabilities(costs: dict[str, list[float]]) -> dict[str, float]:
    return probabilities_of_being_best(choose(runs_of(costs), "energy"), "energy")


COSTS = st.dictionaries(
    st.sampled_from("abcde"),
    st.lists(st.floats(1.0, 100.0), min_size=1, max_size=4),
    min_size=1,
)


@settings(max_examples=30, deadline=None)
@given(COSTS)
def test_they_sum_to_one_and_name_each_configuration_that_is_ranked(costs):
    likely = probabilities(costs)
    if all(len(repeats) == 1 for repeats in costs.values()):
        assert likely == {}
        return
    assert set(likely) == set(costs)
    assert sum(likely.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "costs",
    [
        {"a": [10.0, 12.0, 11.0], "b": [11.0, 14.0, 13.0]},
        {"a": [10.0, 30.0], "b": [19.0, 21.0, 20.0]},
        {"a": [10.0, 12.0, 9.0], "b": [10.5]},
    ],
)
def test_of_two_they_are_what_students_t_says(costs):
    """The difference of two means over its standard error has Student's t as its posterior."""
    logs = [[math.log(cost) for cost in repeats] for repeats in costs.values()]
    degrees = sum(len(each) - 1 for each in logs)
    squares = sum(sum((log - statistics.fmean(each)) ** 2 for log in each) for each in logs)
    error = math.sqrt(squares / degrees * sum(1 / len(each) for each in logs))
    ratio = statistics.fmean(costs["b"]) / statistics.fmean(costs["a"])
    expected = t.cdf(math.log(ratio) / error, degrees)
    # 20,000 draws: three standard errors are 0.011 at most.
    assert probabilities(costs)["a"] == pytest.approx(expected, abs=0.011)


def test_the_same_record_gives_the_same_probabilities():
    costs = {"a": [10.0, 12.0], "b": [11.0, 10.0], "c": [30.0, 31.0]}
    assert probabilities(costs) == probabilities(costs)
    assert probabilities(costs)["c"] < 0.05
