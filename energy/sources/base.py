"""What every energy source offers to the meter.

A source is a cumulative meter. The meter takes a *mark* of it at each edge of a window and asks
what lies between two marks, so windows can nest and overlap without losing or doubling anything:
they are differences of one and the same running total.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

PARTS = ("gpu", "cpu", "ram")

HEARTBEAT_S = 1.0
"""How often a source wants to be stepped while a window is open, in seconds, if nothing presses."""

SHORTEST_IN_PERIODS = 20
"""A window shorter than this many periods of a source is flagged `too_short`."""


@dataclass(frozen=True)
class Part:
    """The energy of one part of the machine, with what it is worth.

    Attributes:
        energy_j: Joules, or None where nothing was measured.
        error_j: Half-width of the error of `energy_j` in joules, None where there is no energy.
        provenance: `measured (how)`, `estimated (how)`, `absent` or `absent (why)`.
    """

    energy_j: float | None
    error_j: float | None
    provenance: str

    def __post_init__(self) -> None:
        if (self.energy_j is None) != self.provenance.startswith("absent"):
            raise ValueError(
                f"a part with {self.energy_j} J cannot be {self.provenance!r}: "
                "energy is absent exactly where it is None"
            )

    @property
    def is_measured(self) -> bool:
        """Whether the joules come from a counter or a power sensor."""
        return self.provenance.startswith("measured")


def absent(why: str = "") -> Part:
    """A part that nothing measured.

    Args:
        why: What kept it from being measured, in a few words.
    """
    return Part(None, None, f"absent ({why})" if why else "absent")


ABSENT = absent()


@dataclass(frozen=True)
class Span:
    """What one source has to say about the time between two marks.

    Attributes:
        parts: The parts that this source speaks for, by name (`gpu`, `cpu`, `ram`).
        gpu_energies_j: Joules per GPU, in the order of the source's devices.
        gpu_temperature_c: Mean temperature of the GPUs in degrees Celsius.
        gpu_utilization: Mean share of time in which the GPUs were busy, 0 to 1.
        codecarbon_energy_kwh: CodeCarbon's own total, GPU included, in kilowatt-hours.
        codecarbon_gpu_energy_j: CodeCarbon's GPU energy in joules; for the cross-check only.
        flags: What a reader of the numbers must know.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    gpu_energies_j: tuple[float | None, ...] = ()
    gpu_temperature_c: float | None = None
    gpu_utilization: float | None = None
    codecarbon_energy_kwh: float | None = None
    codecarbon_gpu_energy_j: float | None = None
    flags: frozenset[str] = frozenset()


class Source(Protocol):
    """A cumulative energy meter for some parts of the machine.

    A mark belongs to the source that made it and means nothing to any other. All methods may be
    called from the meter's background thread and from the user's threads at once.
    """

    def start(self) -> None:
        """The first window is about to open: begin whatever runs only while measuring."""
        ...

    def stop(self) -> None:
        """The last window has closed: stop what `start` began."""
        ...

    def mark(self, *, edge: bool) -> Any:
        """The source's running totals at this instant.

        Args:
            edge: True at a window's edge, where care is worth some work afterwards (see
                `settle`); False for a cheap look in the middle of a window.
        """
        ...

    def settle(self) -> None:
        """Wait a fraction of a second until all marked edges are as good as they get."""
        ...

    def step(self) -> float:
        """Do the background work that is due now; return the seconds until the next is wanted."""
        ...

    def span(self, start: Any, end: Any) -> Span:
        """What was used between two marks of this source."""
        ...

    def close(self) -> None:
        """Give everything back. The source is not used again."""
        ...
