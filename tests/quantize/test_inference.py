import dataclasses
from itertools import pairwise

import pytest

from energy import EnergyMeter, IdlePower, Part
from energy.idle import PartPower
from energy.sources.replay import ReplaySource, Trace
from steps.quantize.inference import WARM_UP_SHARE, WIDEST_SPREAD, WINDOWS, inference_energies

CALL_S = 0.001


class Clock:
    """Time that passes in sleep only."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def meter_of(clock: Clock, times_s=(0, 1e6), source=ReplaySource, **watts) -> EnergyMeter:
    trace = Trace(times_s, watts)
    return EnergyMeter([source(trace, clock, "a trace")], clock=clock, background=False)


def idle_of(**watts: float) -> IdlePower:
    powers = {part: PartPower(power, 0.0, "measured (a test)") for part, power in watts.items()}
    absent = dict.fromkeys(("gpu", "cpu", "ram"))
    return IdlePower(**{**absent, **powers}, measured_on="today", hardware="a test")


def test_joules_of_a_call_are_power_times_its_time(clock):
    meter = meter_of(clock, cpu=(60, 60), ram=(20, 20))
    calls = {"a": lambda: clock.sleep(CALL_S), "b": lambda: clock.sleep(3 * CALL_S)}
    energies = inference_energies(calls, meter, None, 2.0, clock)
    assert energies["a"].gross.median_j == pytest.approx(80 * CALL_S)
    assert energies["b"].gross.median_j == pytest.approx(240 * CALL_S)
    for energy in energies.values():
        assert energy.spread == pytest.approx(0, abs=1e-9)
        assert energy.window_s == pytest.approx(2.0, abs=0.1)
        assert energy.rejected is None
        assert energy.net is None
        assert energy.provenance["cpu"] == "measured (replayed from a trace)"
        assert energy.provenance["gpu"].startswith("absent")


def test_net_is_gross_less_what_idling_takes_in_the_same_time(clock):
    meter = meter_of(clock, cpu=(60, 60))
    calls = {"a": lambda: clock.sleep(CALL_S)}
    energy = inference_energies(calls, meter, idle_of(cpu=45), 2.0, clock)["a"]
    assert energy.net is not None
    assert energy.net.median_j == pytest.approx(15 * CALL_S)
    assert energy.gross.median_j == pytest.approx(60 * CALL_S)


def test_idle_power_without_a_part_that_is_measured_is_refused(clock):
    meter = meter_of(clock, cpu=(60, 60), ram=(20, 20))
    with pytest.raises(ValueError, match="no reading of the ram"):
        inference_energies({"a": lambda: clock.sleep(1)}, meter, idle_of(cpu=45), 2.0, clock)


def test_windows_take_turns_after_a_warm_up_and_each_is_long_enough(clock):
    meter = meter_of(clock, cpu=(60, 60))
    opened: list[tuple[str, float]] = []
    window_of = meter.window

    def window(name):
        opened.append((name, clock.now()))
        return window_of(name)

    meter.window = window
    calls = {name: lambda: clock.sleep(CALL_S) for name in ("a", "b")}
    energies = inference_energies(calls, meter, None, 2.0, clock)
    names = [name for name, _ in opened]
    assert names == ["inference_warm_up"] * 2 + ["inference_a", "inference_b"] * WINDOWS
    assert WINDOWS >= 5
    lengths = [later - at for (_, at), (_, later) in pairwise(opened[2:])]
    assert all(2.0 <= length < 2.05 for length in lengths)
    assert opened[2][1] >= 2 * WARM_UP_SHARE * 2.0
    assert sum(energy.inferences for energy in energies.values()) >= 2 * WINDOWS * 2.0 / CALL_S


@pytest.mark.parametrize(("burst", "stands"), [(1 + 0.8 * WIDEST_SPREAD, True), (2.0, False)])
def test_joules_are_thrown_out_with_the_reason_where_a_window_differs_too_much(
    burst, stands, clock
):
    # The last window lies in the burst, all others before it.
    times = (0, 8.5, 8.6, 1e6)
    meter = meter_of(clock, times, cpu=(50, 50, 50 * burst, 50 * burst))
    energy = inference_energies({"a": lambda: clock.sleep(CALL_S)}, meter, None, 2.0, clock)["a"]
    assert energy.gross.low_j == pytest.approx(50 * CALL_S)
    assert energy.gross.high_j == pytest.approx(50 * burst * CALL_S, rel=0.05)
    assert energy.gross.median_j == pytest.approx(50 * CALL_S)
    assert (energy.rejected is None) is stands
    if not stands:
        assert "windows differ by" in energy.rejected
        assert energy.rejected.endswith("allowed are 5%")


class FailingSource(ReplaySource):
    """Loses the processor after so many seconds."""

    def span(self, start, end):
        span = super().span(start, end)
        if end.elapsed_s < 6:
            return span
        return dataclasses.replace(span, parts={**span.parts, "cpu": Part(None, None, "absent")})


def test_windows_that_measured_different_parts_are_not_compared(clock):
    meter = meter_of(clock, source=FailingSource, cpu=(60, 60), ram=(60, 60))
    energy = inference_energies({"a": lambda: clock.sleep(CALL_S)}, meter, None, 2.0, clock)["a"]
    assert energy.rejected == "not all windows measured the same parts of the machine"


def test_without_anything_to_measure_with_there_are_no_joules_and_no_long_wait(clock):
    calls = {"a": lambda: clock.sleep(CALL_S)}
    assert inference_energies(calls, EnergyMeter([], clock=clock), None, 2.0, clock) == {}
    assert clock.now() < 1.0


def test_joules_of_which_some_windows_have_none_are_absent(clock):
    meter = meter_of(clock, source=FailingSource, cpu=(60, 60))
    assert inference_energies({"a": lambda: clock.sleep(CALL_S)}, meter, None, 2.0, clock) == {}
