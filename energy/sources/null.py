"""The source of a machine that has nothing to measure."""

from collections.abc import Iterable

from energy.sources.base import HEARTBEAT_S, Span, absent


class NullSource:
    """Measures nothing and says why: `None` joules, never 0.

    Args:
        parts: The parts that it speaks for.
        why: What keeps them from being measured, in a few words.
    """

    def __init__(self, parts: Iterable[str], why: str = "") -> None:
        self._span = Span(parts={part: absent(why) for part in parts})

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing to stop."""

    def mark(self, *, edge: bool) -> None:
        """There is no total to mark."""

    def settle(self) -> None:
        """Nothing to wait for."""

    def step(self) -> float:
        """No background work."""
        return HEARTBEAT_S

    def span(self, start: None, end: None) -> Span:
        """Each part absent, with the reason."""
        return self._span

    def close(self) -> None:
        """Nothing to give back."""
