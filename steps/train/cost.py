"""Parts of a training's cost that are told apart: compilation, and the search for a rate."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from energy import Window
from steps.train.fit import FitReport


@dataclass(frozen=True)
class Cost:
    """A part of the training's cost that is told apart."""

    time_s: float
    energy_j: float | None


class Stopwatch:
    """Adds up the cost of stretches inside an open window, by cheap looks at its reading.

    Windows of their own would wait for the GPU's counter at each edge.
    """

    def __init__(self, window: Window) -> None:
        """Args: the window that the stretches lie in."""
        self._window = window
        self.cost = Cost(0.0, None)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A context for one stretch."""
        before = self._window.read()
        try:
            yield
        finally:
            after = self._window.read()
            energy_j = self.cost.energy_j
            if before.energy_j is not None and after.energy_j is not None:
                energy_j = (energy_j or 0.0) + after.energy_j - before.energy_j
            self.cost = Cost(self.cost.time_s + after.duration_s - before.duration_s, energy_j)


_COMPILATIONS: dict[str, Cost] = {}
"""What the graphs of this process took to make, by their key."""


def compilation_of(report: FitReport, paid: Cost) -> tuple[Cost, bool]:
    """What the graphs took in all, and whether this run found them ready made."""
    if report.graph_key is None:
        return paid, False
    before = _COMPILATIONS.get(report.graph_key, Cost(0.0, None))
    if report.compile_time_s == report.graph_compile_time_s:
        # All of it was done in this run: graphs of that key had been let go, and are made anew.
        before = Cost(0.0, None)
    if report.graph_reused:
        return before, True
    energies = [cost.energy_j for cost in (before, paid) if cost.energy_j is not None]
    whole = Cost(before.time_s + paid.time_s, math.fsum(energies) if energies else None)
    _COMPILATIONS[report.graph_key] = whole
    return whole, False
