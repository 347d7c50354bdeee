"""The clock that every duration in `energy` is taken from."""

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock, in seconds from an arbitrary start."""

    def now(self) -> float:
        """Seconds since the clock's start; never goes backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class MonotonicClock:
    """The machine's own clock: unaffected by changes of date or time zone."""

    def now(self) -> float:
        """Seconds since an arbitrary start."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds`."""
        time.sleep(seconds)
