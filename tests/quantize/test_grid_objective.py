"""Which points are the best."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quantize_grid.objective import BETTER, DEFAULT, Objective, Result
from steps.errors import InputError
from steps.quantization_modes import FixedPoint

NUMBERS = st.integers(0, 5).map(float)
RESULTS = st.lists(st.fixed_dictionaries(dict.fromkeys(BETTER, NUMBERS)), min_size=1).map(
    lambda metrics: [
        Result((FixedPoint(2, place % 25, 2, place // 25),), each)
        for place, each in enumerate(metrics)
    ]
)


def result(val_accuracy, average_bitwidth):
    metrics = {"val_accuracy": val_accuracy, "average_bitwidth": average_bitwidth}
    return Result((FixedPoint(8, 4, 8, 4),), metrics)


def test_the_default_is_the_weighted_sum_of_mase():
    (value,) = Objective.parse(DEFAULT).values({"val_accuracy": 0.9, "average_bitwidth": 4.0})
    assert math.isclose(value, 1 * 0.9 - 0.2 * 4)


def test_a_weighted_sum_may_prefer_either_direction():
    accurate, small = result(0.9, 8.0), result(0.5, 4.0)
    both = [small, accurate]
    assert Objective.parse("val_accuracy:1,average_bitwidth:-0.01").leaders(both)[0] is accurate
    assert Objective.parse("val_accuracy:1,average_bitwidth:-0.2").leaders(both)[0] is small
    assert Objective.parse("average_bitwidth:0.2").leaders(both)[0] is accurate


def test_a_front_has_what_nothing_else_beats():
    front = [result(0.9, 8.0), result(0.8, 4.0), result(0.5, 2.0)]
    beaten = [result(0.8, 8.0), result(0.7, 4.0)]
    objective = Objective.parse("pareto:val_accuracy,average_bitwidth")
    assert objective.leaders([beaten[0], front[2], front[0], beaten[1], front[1]]) == front
    assert objective.best([*front, *beaten]) == {(0.9, -8.0), (0.8, -4.0), (0.5, -2.0)}


def test_points_of_the_same_values_share_the_front():
    objective = Objective.parse("pareto:val_accuracy,average_bitwidth")
    twins = [result(0.9, 8.0), result(0.9, 8.0)]
    assert objective.leaders(twins) == twins
    assert len(objective.best(twins)) == 1


@given(RESULTS)
def test_no_point_of_a_front_is_beaten_and_each_other_point_is(results):
    objective = Objective.parse("pareto:val_accuracy,val_loss,average_bitwidth")
    front = objective.leaders(results)

    def beats(one, other):
        a, b = one.metrics, other.metrics
        pairs = [
            (a["val_accuracy"], b["val_accuracy"]),
            (b["val_loss"], a["val_loss"]),
            (b["average_bitwidth"], a["average_bitwidth"]),
        ]
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    for each in results:
        assert (each in front) == (not any(beats(other, each) for other in results))


@given(RESULTS)
def test_the_best_of_a_weighted_sum_is_its_largest(results):
    objective = Objective.parse("val_accuracy:2,val_loss:-1,memory_density:0.5")
    sums = [
        2 * each.metrics["val_accuracy"]
        - each.metrics["val_loss"]
        + 0.5 * each.metrics["memory_density"]
        for each in results
    ]
    assert objective.best(results) == {(max(sums),)}
    assert objective.as_metric(objective.leaders(results)[0].metrics) == {"objective": max(sums)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' does not decide; choose one of val_accuracy"),
        ("test_accuracy:1", "test_accuracy does not decide; did you mean val_accuracy?"),
        ("energy:-1", "energy does not decide"),
        ("val_accuracy", "val_accuracy needs a scale, above 0 where more is better"),
        ("average_bitwidth:", "such as average_bitwidth:-1"),
        ("val_accuracy:0", "val_accuracy needs a scale"),
        ("val_accuracy:nan", "val_accuracy needs a scale"),
        ("val_accuracy:inf", "val_accuracy needs a scale"),
        ("val_accuracy:much", "val_accuracy needs a scale"),
        ("val_accuracy:1,val_accuracy:2", "names val_accuracy twice"),
        ("pareto:val_accuracy", "a front needs two metrics or more"),
        ("pareto:val_accuracy:1,val_loss", "a front has no scales: pareto:val_accuracy, without"),
        ("pareto:val_accuracy,test_loss", "test_loss does not decide; choose one of val_accuracy"),
    ],
)
def test_a_bad_objective_is_refused_in_a_line(text, problem):
    with pytest.raises(InputError) as raised:
        Objective.parse(text)
    assert str(raised.value).startswith("--objective")
    assert problem in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
