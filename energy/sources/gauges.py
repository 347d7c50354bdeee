"""Two ways to turn what a GPU tells into a running total of joules: its counter, or its power.

A counter moves in steps (every 20 to 100 ms on NVIDIA's cards), so a naive difference of two
readings is wrong by up to one step at each end: 5 % of a window of 2 s. `CounterGauge` watches
for the first step after each window's edge and interpolates, so the error shrinks to what the
power changed within that one step. Neither says anything of the sensor's own calibration, for
which Yang, Adamek and Armour, "Part-time power measurements: nvidia-smi's lack of attention"
(arXiv:2312.02741, 2023), found about 5 %.
"""

import math
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise

from energy.clock import Clock
from energy.sources.device import Device, DeviceError, DeviceLostError

POLL_S = 0.002
STEPS_TO_OBSERVE = 4
LONGEST_OBSERVATION_S = 0.5
PERIOD_OF_A_STILL_COUNTER_S = 0.1
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
    """A gauge at one instant; a counter's edge is refined once the counter has stepped.

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


class CounterGauge(Gauge):
    """A running total by the device's own energy counter.

    Costs one reading per mark, and after a window's edge a few dozen more until the counter's
    next step; nothing in between.

    Args:
        device: A device whose `energy_j` works.
        clock: The meter's clock.
        period_s: The time between the counter's steps in seconds, where it is known from a
            device of the same kind; else it is observed, which takes up to half a second.

    Raises:
        DeviceError: The counter cannot be read.
    """

    how = "energy counter"

    def __init__(self, device: Device, clock: Clock, period_s: float | None = None) -> None:
        super().__init__(device, clock)
        self._raw_j = device.energy_j()
        self._seen_s = clock.now()
        self._before_resets_j = -self._raw_j
        self._power_w = 0.0
        self._last_step = (self._seen_s, self._raw_j)
        self._pending: list[Edge] = []
        self.period_s = self._observe_period() if period_s is None else period_s

    def mark(self, *, edge: bool) -> Edge:
        """The total now; an edge is refined at the counter's next step."""
        self._read()
        made = Edge(self._clock.now(), self._total_j, None, self._log)
        if edge and not self._log.lost:
            self._pending.append(made)
        return made

    @property
    def is_settled(self) -> bool:
        """Whether the counter has stepped since the last edge was marked."""
        return not self._pending

    def give_up(self) -> None:
        """Stop waiting for the counter's step."""
        self._pending.clear()

    def step(self) -> float:
        """Look for the step that pending edges wait for; return when to look again."""
        if self._pending:
            self._read()
        return POLL_S if self._pending else math.inf

    def energy_between(self, start: Edge, end: Edge) -> tuple[float, float]:
        """Energy between two edges and its error, both in joules."""
        energy_j = max(0.0, end.total_j - start.total_j)
        elapsed_s = end.time_s - start.time_s
        power_w = max(self._power_w, energy_j / elapsed_s if elapsed_s > 0 else 0.0)
        slack_j = sum(
            power_w * self.period_s if edge.slack_j is None else edge.slack_j
            for edge in (start, end)
        )
        return energy_j, slack_j + end.log.bridged_j - start.log.bridged_j

    @property
    def _total_j(self) -> float:
        return self._before_resets_j + self._raw_j

    def _read(self) -> None:
        if self._log.lost:
            return
        try:
            raw_j = self._device.energy_j()
        except DeviceError as error:
            self._note_failure(error)
            if self._log.lost:
                self._pending.clear()
            return
        unchanged_s, now = self._seen_s, self._clock.now()
        if raw_j < self._raw_j:
            self._bridge_reset(raw_j, now)
        elif raw_j > self._raw_j:
            stepped_s, stepped_j = self._last_step
            if now > stepped_s:
                self._power_w = (raw_j - stepped_j) / (now - stepped_s)
            self._last_step = (now, raw_j)
        changed = raw_j != self._raw_j
        self._raw_j, self._seen_s = raw_j, now
        if changed and self._pending:
            self._refine_pending(unchanged_s, now)

    def _bridge_reset(self, raw_j: float, now: float) -> None:
        # What ran up between the last sight of the old counter and its reset is gone; the last
        # known power stands in for it.
        estimated_j = self._power_w * (now - self._seen_s)
        self._before_resets_j = self._total_j + max(estimated_j - raw_j, 0.0)
        self._log = replace(
            self._log,
            bridged_j=self._log.bridged_j + max(estimated_j, raw_j),
            resets=self._log.resets + 1,
        )
        self._last_step = (now, raw_j)

    def _refine_pending(self, unchanged_s: float, changed_s: float) -> None:
        """Interpolate the pending edges between the counter's previous step and this one."""
        jitter = (changed_s - unchanged_s) / 2 / self.period_s
        stepped_s = (changed_s + unchanged_s) / 2
        for edge in self._pending:
            # A step that was seen late, or across a reset, has no known time: the edge keeps
            # the counter's own reading, with a whole period of slack.
            if jitter > 0.5 or self._log.resets != edge.log.resets:
                continue
            gained_j = self._total_j - edge.total_j
            share = min(max((edge.time_s - stepped_s) / self.period_s + 1, 0.0), 1.0)
            edge.total_j += share * gained_j
            # Exact if the power held still within the step; the slack allows for a change at
            # the very edge, which is where work begins and ends.
            edge.slack_j = gained_j * (2 * share * (1 - share) + jitter)
        self._pending.clear()

    def _observe_period(self) -> float:
        """Watch the counter step a few times; return the time between steps in seconds."""
        steps: list[float] = []
        deadline = self._clock.now() + LONGEST_OBSERVATION_S
        while len(steps) < STEPS_TO_OBSERVE and self._clock.now() < deadline:
            unchanged_s, unchanged_j = self._seen_s, self._raw_j
            self._clock.sleep(POLL_S)
            self._read()
            if self._raw_j > unchanged_j:
                steps.append((unchanged_s + self._seen_s) / 2)
        gaps = sorted(later - earlier for earlier, later in pairwise(steps))
        return max(gaps[len(gaps) // 2], POLL_S) if gaps else PERIOD_OF_A_STILL_COUNTER_S


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
