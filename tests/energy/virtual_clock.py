"""A clock that passes only when told to, and steps a meter as its background thread would."""

import math
from typing import Protocol


class Stepped(Protocol):
    @property
    def is_measuring(self) -> bool: ...

    def step(self) -> float: ...


class VirtualClock:
    def __init__(self, start_s: float = 1000.0) -> None:
        self._now = start_s
        self._meter: Stepped | None = None
        self._due_s = -math.inf

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def drive(self, meter: Stepped) -> None:
        """Have `run` step this meter when it is due and a window is open."""
        self._meter = meter

    def run(self, seconds: float) -> None:
        """Let time pass, with all the steps that fall due on the way.

        The first is due at once, as a meter's thread is woken when a window opens.
        """
        end_s = self._now + seconds
        self._due_s = self._now
        while self._meter is not None and self._meter.is_measuring and self._due_s <= end_s:
            self._now = max(self._now, self._due_s)
            self._due_s = self._now + max(self._meter.step(), 1e-4)
        self._now = max(self._now, end_s)
