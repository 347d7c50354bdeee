"""A running total of joules by the GPU's own energy counter.

A counter moves in steps (every 20 to 100 ms on NVIDIA's cards), so a naive difference of two
readings is wrong by up to one step at each end: 5 % of a window of 2 s. `CounterGauge` watches
for two of them after a window's edge, which tell the joules of the step that the edge lies in and
of the whole step after it; the mean before it is known from earlier readings. From these three
follows how much of the edge's step came before the edge, even where the load began or ended
within that step, as it does when work starts and stops with its window: see `bend`.
"""

import math
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise

from energy.clock import Clock
from energy.sources.base import HEARTBEAT_S
from energy.sources.device import Device, DeviceError
from energy.sources.gauges import Edge, Gauge

POLL_S = 0.002
STEPS_TO_OBSERVE = 4
STEPS_TO_REMEMBER = 16
LONGEST_OBSERVATION_S = 0.5
PERIOD_OF_A_STILL_COUNTER_S = 0.1
EARLIEST_STEP = 0.9
"""When to look for a counter's next step, in periods since its last."""
LEAST_BASE = 10
"""The least length of a stretch to take a mean power from, in doubts about its beginning."""


@dataclass(frozen=True)
class Sighting:
    """A step of the counter, seen by readings before and after it.

    Attributes:
        time_s: When the counter stepped, by the meter's clock.
        total_j: The running total from then on.
        doubt_s: Half-width of the error of `time_s`.
    """

    time_s: float
    total_j: float
    doubt_s: float


@dataclass(frozen=True)
class Interpolated:
    """An edge placed within its step, to be corrected once the step after it is known.

    Attributes:
        edge: The edge.
        share: How much of its step had passed, 0 to 1.
        before_j: What a step used before that one, in joules.
        within_j: What that step used, in joules.
        jitter_j: Half-width of the error that the doubt about the step's time makes, in joules.
    """

    edge: Edge
    share: float
    before_j: float
    within_j: float
    jitter_j: float

    def correct(self, after_j: float) -> None:
        """Correct the edge, the next step having used `after_j` joules."""
        correction_j, slack_j = bend(self.share, self.before_j, self.within_j, after_j)
        self.edge.total_j += correction_j
        self.edge.slack_j = slack_j + self.jitter_j


def bend(share: float, before_j: float, within_j: float, after_j: float) -> tuple[float, float]:
    """Correct a linear interpolation within a step for a power that jumped in that step.

    If the power held still on both sides of one jump, the energy runs along two lines: one with
    the power before, through the step's begin, and one with the power after, through its end.
    Where they cross is the jump; it lies within the step if `within_j` lies between the other
    two, and else nothing is known better than linear. This is the subcell resolution of
    A. Harten, "ENO schemes with subcell resolution", J. Comput. Phys. 83 (1989), with constants
    for the reconstruction on both sides.

    Args:
        share: How much of the step has passed, 0 to 1.
        before_j: What a step used before this one, in joules.
        within_j: What this step used, in joules.
        after_j: What the next step used, in joules.

    Returns:
        What to add to `share * within_j`, and the half-width of the error of the sum, both in
        joules. The error is how far the two lines miss each other, plus what one more jump would
        do, as large as the step's own power and just at that moment.
    """
    by_past_j = (before_j - within_j) * share
    by_future_j = (within_j - after_j) * (1 - share)
    jumped_within = by_past_j * by_future_j > 0
    correction_j = min(by_past_j, by_future_j, key=abs) if jumped_within else 0.0
    miss_j = max(abs(by_past_j - correction_j), abs(by_future_j - correction_j))
    return correction_j, miss_j + within_j * share * (1 - share)


class CounterGauge(Gauge):
    """A running total by the device's own energy counter.

    Costs one reading per mark and per second, and after a window's edge a few dozen more until
    the counter has stepped twice.

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
        self.period_s = PERIOD_OF_A_STILL_COUNTER_S if period_s is None else period_s
        self._raw_j = device.energy_j()
        self._seen_s = clock.now()
        self._before_resets_j = -self._raw_j
        self._power_w = 0.0
        self._sightings: deque[Sighting] = deque(maxlen=STEPS_TO_REMEMBER)
        self._sightings.append(self._step_since(-math.inf))
        self._pending: list[Edge] = []
        self._interpolated: list[Interpolated] = []
        self._due_s = self._seen_s
        if period_s is None:
            self.period_s = self._observe_period()

    def mark(self, *, edge: bool) -> Edge:
        """The total now; an edge is refined at the counter's next two steps."""
        self._read()
        made = Edge(self._clock.now(), self._total_j, None, self._log)
        if edge and not self._log.lost:
            self._pending.append(made)
            self._due_s = made.time_s
        return made

    @property
    def is_settled(self) -> bool:
        """Whether the counter has stepped twice since the last edge was marked."""
        return not self._pending and not self._interpolated

    def give_up(self) -> None:
        """Stop waiting for the counter's steps."""
        self._pending.clear()
        self._interpolated.clear()

    def step(self) -> float:
        """Look for the steps that pending edges wait for; return when to look again."""
        if self._log.lost:
            return math.inf
        now = self._clock.now()
        if now >= self._due_s:
            self._read()
            self._due_s = now + self._pause_s(now)
        return self._due_s - now

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

    def _pause_s(self, now: float) -> float:
        if self.is_settled:
            # A glance now and then keeps the mean power before the next edge a recent one, and
            # what a reset or a lost GPU can take small.
            return HEARTBEAT_S
        if self._pending:
            return POLL_S
        return max(POLL_S, self._sightings[-1].time_s + EARLIEST_STEP * self.period_s - now)

    def _read(self) -> None:
        if self._log.lost:
            return
        try:
            raw_j = self._device.energy_j()
        except DeviceError as error:
            self._note_failure(error)
            if self._log.lost:
                self.give_up()
            return
        unchanged_s, self._seen_s = self._seen_s, self._clock.now()
        if raw_j < self._raw_j:
            self._bridge_reset(raw_j, unchanged_s)
        elif raw_j > self._raw_j:
            self._raw_j = raw_j
            self._note_step(self._step_since(unchanged_s))

    def _bridge_reset(self, raw_j: float, unchanged_s: float) -> None:
        # What ran up between the last sight of the old counter and its reset is gone; the last
        # known power stands in for it.
        estimated_j = self._power_w * (self._seen_s - unchanged_s)
        self._before_resets_j = self._total_j + max(estimated_j - raw_j, 0.0)
        self._raw_j = raw_j
        self._log = replace(
            self._log,
            bridged_j=self._log.bridged_j + max(estimated_j, raw_j),
            resets=self._log.resets + 1,
        )
        self._sightings.clear()
        self._sightings.append(self._step_since(unchanged_s))
        self.give_up()

    def _step_since(self, unchanged_s: float) -> Sighting:
        """The counter's last step, before which it was seen at `unchanged_s`."""
        doubt_s = min(self._seen_s - unchanged_s, self.period_s) / 2
        return Sighting(self._seen_s - doubt_s, self._total_j, doubt_s)

    def _note_step(self, step: Sighting) -> None:
        last = self._sightings[-1]
        if step.time_s > last.time_s:
            self._power_w = (step.total_j - last.total_j) / (step.time_s - last.time_s)
        interpolated = []
        # Of a step that was seen late neither the time is known nor whether it was one: the
        # edges stay as they are.
        if step.doubt_s < self.period_s / 2:
            for each in self._interpolated:
                each.correct(step.total_j - last.total_j)
            interpolated = [self._interpolate(edge, step) for edge in self._pending]
        self._pending.clear()
        self._interpolated = interpolated
        self._sightings.append(step)

    def _interpolate(self, edge: Edge, step: Sighting) -> Interpolated:
        """Place an edge within the step that ended its wait, as if the power had held still."""
        begun_s, begun_j = step.time_s - self.period_s, edge.total_j
        share = min(max((edge.time_s - begun_s) / self.period_s, 0.0), 1.0)
        within_j = step.total_j - begun_j
        jitter_j = within_j * step.doubt_s / self.period_s
        edge.total_j += share * within_j
        # Allows for a jump at the very edge; what follows may tell better.
        edge.slack_j = 2 * within_j * share * (1 - share) + jitter_j
        before_w = self._mean_power_w(begun_s, begun_j)
        before_j = within_j if before_w is None else before_w * self.period_s
        return Interpolated(edge, share, before_j, within_j, jitter_j)

    def _mean_power_w(self, until_s: float, until_j: float) -> float | None:
        """The mean power of the shortest stretch up to a moment whose length is well known."""
        for past in reversed(self._sightings):
            elapsed_s = until_s - past.time_s
            if elapsed_s > max(LEAST_BASE * past.doubt_s, self.period_s / 2):
                return (until_j - past.total_j) / elapsed_s
        return None

    def _observe_period(self) -> float:
        """Watch the counter step a few times; return the time between steps in seconds."""
        deadline = self._clock.now() + LONGEST_OBSERVATION_S
        while len(self._sightings) <= STEPS_TO_OBSERVE and self._clock.now() < deadline:
            self._clock.sleep(POLL_S)
            self._read()
        # The first of them is no step, but where the counter was found.
        steps_s = [step.time_s for step in list(self._sightings)[1:]]
        gaps_s = sorted(later - earlier for earlier, later in pairwise(steps_s))
        return max(gaps_s[len(gaps_s) // 2], POLL_S) if gaps_s else PERIOD_OF_A_STILL_COUNTER_S
