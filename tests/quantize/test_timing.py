import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.quantize.timing import MOST_CALLS, TURN_S, TURNS, latencies, speed_up


class Stopwatch:
    """Time that passes only where a call says so."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.called = []

    def __call__(self) -> float:
        return self.seconds

    def call(self, name: str, seconds):
        """A call that takes so long, by what `seconds` says of how often it was called before."""

        def call() -> None:
            self.seconds += seconds(self.called.count(name))
            self.called.append(name)

        return call


def test_a_call_takes_what_its_clock_says():
    watch = Stopwatch()
    calls = {
        "fast": watch.call("fast", lambda before: 0.001),
        "slow": watch.call("slow", lambda before: 0.004),
    }
    timed = latencies(calls, watch)
    assert timed["fast"].median_ms == pytest.approx(1)
    assert timed["slow"].median_ms == pytest.approx(4)
    gained = speed_up(timed["slow"], timed["fast"])
    assert (gained.median, gained.low, gained.high) == pytest.approx((4, 4, 4))


def test_calls_take_turns():
    watch = Stopwatch()
    names = ("a", "b", "c")
    latencies({name: watch.call(name, lambda before: TURN_S) for name in names}, watch)
    assert watch.called[-3 * TURNS :] == list(names) * TURNS


def test_the_edges_leave_out_five_percent_on_either_side():
    watch = Stopwatch()
    # Of a hundred calls two take ten times as long, and two a tenth.
    odd = {10: 1e-3, 20: 1e-3, 30: 1e-5, 40: 1e-5}
    timed = latencies({"a": watch.call("a", lambda before: odd.get(before % 100, 1e-4))}, watch)
    edges = timed["a"].low_ms, timed["a"].median_ms, timed["a"].high_ms
    assert edges == pytest.approx((0.1, 0.1, 0.1))
    assert watch.called.count("a") > 100


@given(st.floats(1.0, 50.0), st.floats(0.1, 10.0))
def test_what_slows_the_machine_slows_both_and_leaves_the_speed_up_as_it_is(slower, ratio):
    watch = Stopwatch()

    def drifting(seconds):
        return lambda before: seconds * (1 + slower * len(watch.called) / 1e6)

    calls = {
        name: watch.call(name, drifting(s)) for name, s in (("a", TURN_S * ratio), ("b", TURN_S))
    }
    timed = latencies(calls, watch)
    gained = speed_up(timed["a"], timed["b"])
    assert gained.median == pytest.approx(ratio, rel=0.05)
    assert gained.low <= gained.median <= gained.high


@pytest.mark.parametrize(("seconds", "often"), [(1e-6, MOST_CALLS), (TURN_S, 1), (100.0, 1)])
def test_a_turn_is_neither_endless_nor_a_waste(seconds, often):
    watch = Stopwatch()
    latencies({"a": watch.call("a", lambda before: seconds)}, watch)
    assert len(watch.called) - 3 == TURNS * often
