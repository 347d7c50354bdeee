import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from planted_runs import ranked

from pipeline.pareto import Axis, axes_of, front_of, unbeaten
from steps.errors import InputError

ENERGY, ACCURACY = Axis("energy_to_accuracy_j", True), Axis("val_accuracy", False)


def beats(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one <= other).all() and (one < other).any())


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 12), st.integers(1, 4)),
        elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0]),
    )
)
def test_just_what_no_other_beats_is_kept_duplicates_too(costs):
    expected = [not any(beats(other, row) for other in costs) for row in costs]
    assert unbeaten(costs).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=60))
def test_two_metrics_by_one_pass_are_as_any_number_of_them(pairs):
    costs = np.array(pairs)
    thrice = np.column_stack([costs, costs[:, 0]])
    assert unbeaten(costs).tolist() == unbeaten(thrice).tolist()


def test_each_metric_gets_better_in_its_own_direction():
    cheap = ranked(0, energy_j=1.0, val_accuracy=0.96)
    accurate = ranked(1, energy_j=5.0, val_accuracy=0.99)
    beaten = ranked(2, energy_j=5.0, val_accuracy=0.98)
    front = front_of([beaten, accurate, cheap], [ENERGY, ACCURACY])
    assert front.members == (cheap, accurate)
    assert front.values == ((1.0, 0.96), (5.0, 0.99))
    assert front.beaten == (beaten,)


def test_equal_configurations_are_both_kept():
    one, other = ranked(0, val_accuracy=0.97), ranked(1, val_accuracy=0.97)
    assert front_of([one, other], [ENERGY, ACCURACY]).members == (one, other)


@pytest.mark.parametrize("latency", [{}, {"latency_ms": 1.7976931348623157e308}])
def test_what_was_not_measured_is_left_out_and_said(latency):
    whole, half = ranked(0, latency_ms=2.0), ranked(1, energy_j=1.0, **latency)
    front = front_of([whole, half], [ENERGY, Axis("latency_ms", True)])
    assert front.members == (whole,)
    assert front.left_out == ((half, "no latency_ms was recorded"),)


def test_nothing_to_compare_is_an_empty_front():
    front = front_of([], [ENERGY, ACCURACY])
    assert (front.members, front.beaten, front.left_out) == ((), (), ())


def test_objectives_and_metrics_are_named_with_their_direction():
    assert axes_of("energy, val_accuracy,latency") == (
        ENERGY,
        ACCURACY,
        Axis("latency_ms", True),
    )
    assert axes_of("int8/val_accuracy,memory_density,flops,val_loss") == (
        Axis("int8/val_accuracy", False),
        Axis("memory_density", False),
        Axis("flops", True),
        Axis("val_loss", True),
    )
    assert axes_of("robustness:max,val_accuracy:min") == (
        Axis("robustness", False),
        Axis("val_accuracy", True),
    )


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("energy,test_accuracy", "test_accuracy comes from the test rows, which report and never"),
        ("energy,quantized_test_loss:min", "quantized_test_loss comes from the test rows"),
        ("energy,int8/test_accuracy", "comes from the test rows"),
        ("energy,robustness", "is more of robustness better, or less? add :max or :min"),
        ("energy,val_accuracy:up", "behind val_accuracy comes :min or :max"),
        ("energy", "must be two or more different metrics"),
        ("energy,energy_to_accuracy_j", "must be two or more different metrics"),
        (" ,", "must be two or more different metrics"),
    ],
)
def test_what_cannot_be_an_axis_is_refused_in_one_line(typed, problem):
    with pytest.raises(InputError, match=r"^--pareto") as refused:
        axes_of(typed)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_latest_is_no_test():
    assert axes_of("energy,latest_accuracy")[1] == Axis("latest_accuracy", False)
