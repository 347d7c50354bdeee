"""A window: a stretch of time whose energy is wanted."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from energy.measurement import Measurement


@dataclass(frozen=True)
class Mark:
    """Where all sources of a meter stood at one instant.

    Attributes:
        time_s: When, by the meter's clock.
        sources: Each source's own mark.
        cpu_busy_s: Busy seconds of all processors since the machine started.
        cpu_total_s: All seconds of all processors since then.
    """

    time_s: float
    sources: tuple[Any, ...]
    cpu_busy_s: float
    cpu_total_s: float


class Recorder(Protocol):
    """What a window needs of its meter."""

    def enter(self, window: "Window") -> Mark:
        """Synchronize, have the sources run, and mark them."""
        ...

    def leave(self, window: "Window") -> None:
        """Let the sources rest if no other window is open."""
        ...

    def synchronize(self) -> frozenset[str]:
        """Synchronize the caller's framework; return the flags to raise."""
        ...

    def mark(self, *, edge: bool) -> Mark:
        """Mark all sources."""
        ...

    def settle(self) -> None:
        """Wait until the marked edges are as good as they get."""
        ...

    def between(self, name: str, start: Mark, end: Mark) -> Measurement:
        """The measurement between two marks."""
        ...


class Window:
    """A stretch of time whose energy is wanted; made by a meter's `window` or `begin`.

    Attributes:
        name: What the window is called.
    """

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.name = name
        self._recorder = recorder
        self._opened: Mark | None = None
        self._lapped: Mark | None = None
        self._measurement: Measurement | None = None

    @property
    def measurement(self) -> Measurement:
        """What the closed window used; it is there too when the block raised.

        Raises:
            RuntimeError: The window is not closed yet.
        """
        if self._measurement is None:
            raise RuntimeError(f"window {self.name!r} is not closed yet: read() looks inside")
        return self._measurement

    def open(self) -> Self:
        """Open the window, after the caller's framework has finished what it was doing.

        Raises:
            RuntimeError: The window was opened before.
        """
        if self._opened is not None:
            raise RuntimeError(f"window {self.name!r} was opened before: begin a new one")
        self._opened = self._lapped = self._recorder.enter(self)
        return self

    def close(self) -> Measurement:
        """Close the window and return its measurement; closing again returns it once more.

        Where a GPU's energy comes from its counter, this waits for the counter's next two
        steps, a fifth of a second at most on today's cards. The wait is not part of the window.

        Raises:
            RuntimeError: The window was never opened.
        """
        if self._opened is None:
            raise RuntimeError(f"window {self.name!r} was never opened")
        if self._measurement is not None:
            return self._measurement
        flags: frozenset[str] = frozenset()
        # A second Ctrl-C may strike at any point below; what was measured is kept all the same.
        try:
            flags = self._recorder.synchronize()
        finally:
            closed = self._recorder.mark(edge=True)
            try:
                self._recorder.settle()
            finally:
                self._recorder.leave(self)
                self._measurement = self._recorder.between(self.name, self._opened, closed).flagged(
                    flags
                )
        return self._measurement

    def read(self) -> Measurement:
        """What the window has used so far: cheap, and not refined as a closed window's edges.

        Raises:
            RuntimeError: The window is not open.
        """
        opened, _ = self._marks_of_open_window()
        return self._recorder.between(self.name, opened, self._recorder.mark(edge=False))

    def lap(self) -> Measurement:
        """What was used since the last lap, or since the opening; laps add up to `read()`.

        Raises:
            RuntimeError: The window is not open.
        """
        _, start = self._marks_of_open_window()
        self._lapped = self._recorder.mark(edge=False)
        return self._recorder.between(self.name, start, self._lapped)

    def __enter__(self) -> Self:
        return self if self._opened is not None else self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _marks_of_open_window(self) -> tuple[Mark, Mark]:
        if self._opened is None or self._lapped is None or self._measurement is not None:
            raise RuntimeError(f"window {self.name!r} is not open")
        return self._opened, self._lapped
