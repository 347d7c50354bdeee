"""What a GPU's joules are read from: any gauge, and the one that integrates power samples.

The other kind, by the GPU's own energy counter, is `energy.sources.counter`. Neither knows of an
error of the sensor itself, for which Yang, Adamek and Armour, "Part-time power measurements:
nvidia-smi's lack of attention" (arXiv:2312.02741, 2023), found about 5 %.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

from energy.clock import Clock
from energy.sources.device import Device, DeviceError, DeviceLostError

SAMPLING_PERIOD_S = 0.1


@dataclass(frozen=True)
class Log:
    """What went wrong with a device so far; the difference of two tells of a window.

    Attributes:
        bridged_j: Sum of the errors of all estimated joules, in joules.
        resets: How often the counter went backwards.
        failures: How often a reading failed.
        lost: Whether the device is gone for good.
    """

    bridged_j: float = 0.0
    resets: int = 0
    failures: int = 0
    lost: bool = False


@dataclass
class Edge:
    """A gauge at one instant; a counter's edge is refined when the counter steps.

    Attributes:
        time_s: When, by the meter's clock.
        total_j: The running total at `time_s`.
        slack_j: Half-width of the error of `total_j`; None while the counter's lag is unknown.
        log: What had gone wrong by then.
    """

    time_s: float
    total_j: float
    slack_j: float | None
    log: Log


class Gauge:
    """A device's running total of joules; the base of the two kinds."""

    how = ""
    period_s = 0.0

    def __init__(self, device: Device, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self._log = Log()

    def start(self) -> None:
        """The first window is about to open."""

    def mark(self, *, edge: bool) -> Edge:
        """The total at this instant; with `edge`, worth refining."""
        raise NotImplementedError

    @property
    def is_settled(self) -> bool:
        """Whether all marked edges are as good as they get."""
        return True

    def give_up(self) -> None:
        """Leave the edges that are not settled as they are."""

    def step(self) -> float:
        """Do the work that is due; return the seconds until the next, infinite if none is."""
        raise NotImplementedError

    def energy_between(self, start: Edge, end: Edge) -> tuple[float, float]:
        """Energy between two edges and its error, both in joules."""
        raise NotImplementedError

    def _note_failure(self, error: DeviceError) -> None:
        if isinstance(error, DeviceLostError):
            self._log = replace(self._log, lost=True)
        else:
            self._log = replace(self._log, failures=self._log.failures + 1)


class SampledGauge(Gauge):
    """A running total by power samples and the trapezoid rule, for devices without a counter.

    Args:
        device: A device whose `power_w` works.
        clock: The meter's clock.

    Raises:
        DeviceError: The power cannot be read.
    """

    how = "power samples, integrated"

    def __init__(self, device: Device, clock: Clock) -> None:
        super().__init__(device, clock)
        self._total_j = 0.0
        self._last: tuple[float, float] | None = None
        self._gaps: deque[float] = deque([SAMPLING_PERIOD_S], maxlen=32)
        device.power_w()

    @property
    def period_s(self) -> float:  # type: ignore[override]
        """Mean time between the last samples in seconds, as observed."""
        return sum(self._gaps) / len(self._gaps)

    def start(self) -> None:
        """Begin anew: nothing is known about the time since the last window closed."""
        self._last = None

    def mark(self, *, edge: bool) -> Edge:
        """Take a sample now, so that the total is up to date."""
        self._sample()
        return Edge(self._clock.now(), self._total_j, 0.0, self._log)

    def step(self) -> float:
        """Take a sample if one is due; return the seconds until the next."""
        due_s = -math.inf if self._last is None else self._last[0] + SAMPLING_PERIOD_S
        if self._clock.now() >= due_s:
            self._sample()
            return math.inf if self._log.lost else SAMPLING_PERIOD_S
        return due_s - self._clock.now()

    def energy_between(self, start: Edge, end: Edge) -> tuple[float, float]:
        """Energy between two edges and its error, both in joules."""
        return end.total_j - start.total_j, end.log.bridged_j - start.log.bridged_j

    def _sample(self) -> None:
        if self._log.lost:
            return
        try:
            power_w = self._device.power_w()
        except DeviceError as error:
            self._note_failure(error)
            return
        now = self._clock.now()
        if self._last is not None:
            last_s, last_w = self._last
            gap_s = now - last_s
            self._total_j += (power_w + last_w) / 2 * gap_s
            # Half of it for the power's unknown path between the samples, half because the
            # sensor's own value may be as old as the last sample.
            error_j = abs(power_w - last_w) * gap_s
            self._log = replace(self._log, bridged_j=self._log.bridged_j + error_j)
            self._gaps.append(gap_s)
        self._last = (now, power_w)
