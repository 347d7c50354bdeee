"""Joules of one inference: long windows of nothing else, in turns, and thrown out if they differ.

One call takes microseconds and no meter sees it, so a window is as many calls as go into seconds.
They are calls of one row: a classifier that is in use answers rows as they come, and what a batch
would save depends on how many happen to come together.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from energy import EnergyMeter, IdlePower, Measurement
from energy.clock import Clock, MonotonicClock

WINDOWS = 5
PUBLISHED_S = 10.0
"""Of a window whose joules are for others to see."""

WARM_UP_SHARE = 0.25
"""Of a window, before the first one."""

WIDEST_SPREAD = 0.05
"""Between windows of the same work, above which the machine did something else as well."""

LOOKS = 1000
"""At the clock in one window, about: each takes as long as a call of a small file."""


@dataclass(frozen=True)
class Joules:
    """Per inference, over all windows of one file.

    Attributes:
        median_j: of the windows, joules.
        low_j: of the lowest window.
        high_j: of the highest.
    """

    median_j: float
    low_j: float
    high_j: float


@dataclass(frozen=True)
class InferenceEnergy:
    """What one inference of one row costs.

    Attributes:
        gross: all that the machine used in the windows, divided by their inferences.
        net: less what it would have used idling; None where its idle power is not known.
        spread: highest less lowest window, divided by the median, of `gross`.
        rejected: why these joules stand for nothing, None if they do stand.
        inferences: in all windows.
        window_s: seconds of the shortest window.
        provenance: of the parts gpu, cpu and ram, as for training.
        cpu_utilization: of the whole machine, 0 to 1, in all windows; None if not known.
        gpu_utilization: likewise, of the GPUs.
    """

    gross: Joules
    net: Joules | None
    spread: float
    rejected: str | None
    inferences: int
    window_s: float
    provenance: Mapping[str, str]
    cpu_utilization: float | None
    gpu_utilization: float | None


def inference_energies(
    calls: Mapping[str, Callable[[], object]],
    meter: EnergyMeter,
    idle: IdlePower | None,
    window_s: float,
    clock: Clock | None = None,
) -> dict[str, InferenceEnergy]:
    """Measure some calls in turns, `WINDOWS` times each: A B C A B C ...

    Args:
        calls: by name, what runs one inference each.
        meter: measures a window for each call and turn, named ``inference_NAME``.
        idle: to tell net from gross.
        window_s: seconds of a window, at least; above 0.
        clock: tells when a window is over.

    Returns:
        By name; without those that nothing measured the energy of.

    Raises:
        ValueError: the idle power lacks a part of the machine that the meter measures.
    """
    clock = clock or MonotonicClock()
    for call in calls.values():
        with meter.window("inference_warm_up") as warm_up:
            _run(call, WARM_UP_SHARE * window_s, clock)
        if warm_up.measurement.energy_j is None:
            return {}
    windows: dict[str, list[tuple[Measurement, int]]] = {name: [] for name in calls}
    for _ in range(WINDOWS):
        for name, call in calls.items():
            with meter.window(f"inference_{name}") as window:
                inferences = _run(call, window_s, clock)
            windows[name].append((window.measurement, inferences))
    energies = {name: _of_windows(taken, idle) for name, taken in windows.items()}
    return {name: energy for name, energy in energies.items() if energy is not None}


def _run(call: Callable[[], object], seconds: float, clock: Clock) -> int:
    """Call for so long, and count."""
    began_s = looked_s = clock.now()
    calls, at_once = 0, 1
    while looked_s - began_s < seconds:
        for _ in repeat(None, at_once):
            call()
        calls += at_once
        before_s, looked_s = looked_s, clock.now()
        if looked_s - before_s < seconds / LOOKS:
            at_once *= 2
    return calls


def _of_windows(
    windows: Sequence[tuple[Measurement, int]], idle: IdlePower | None
) -> InferenceEnergy | None:
    gross = _joules([(window.energy_j, count) for window, count in windows])
    if gross is None:
        return None
    whole = sum((window for window, _ in windows[1:]), start=windows[0][0])
    spread = (gross.high_j - gross.low_j) / gross.median_j if gross.median_j > 0 else math.inf
    return InferenceEnergy(
        gross=gross,
        net=_net(windows, idle) if idle is not None else None,
        spread=spread,
        rejected=_why_rejected([window for window, _ in windows], spread),
        inferences=sum(count for _, count in windows),
        window_s=min(window.duration_s for window, _ in windows),
        provenance=dict(whole.provenance),
        cpu_utilization=whole.cpu_utilization,
        gpu_utilization=whole.gpu_utilization,
    )


def _net(windows: Sequence[tuple[Measurement, int]], idle: IdlePower) -> Joules | None:
    return _joules([((window - idle).energy_j, count) for window, count in windows])


def _joules(windows: Sequence[tuple[float | None, int]]) -> Joules | None:
    """Per inference; None if a window has no energy."""
    each = [energy_j / count for energy_j, count in windows if energy_j is not None]
    if len(each) < len(windows):
        return None
    return Joules(statistics.median(each), min(each), max(each))


def _why_rejected(windows: Sequence[Measurement], spread: float) -> str | None:
    measured = {
        tuple(name for name, part in window.parts.items() if part.energy_j is not None)
        for window in windows
    }
    if len(measured) > 1:
        return "not all windows measured the same parts of the machine"
    if spread > WIDEST_SPREAD:
        return f"its {len(windows)} windows differ by {spread:.1%}, allowed are {WIDEST_SPREAD:.0%}"
    return None
