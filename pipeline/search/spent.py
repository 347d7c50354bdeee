"""What a search has spent, its earlier sittings included."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pipeline.tags import MACHINE
from pipeline.tracking.search_log import BrokenOff, SearchLog


@dataclass(frozen=True)
class Spent:
    """By the search as a whole, since its very beginning; None where nothing was measured."""

    energy_j: float | None
    emissions_kg: float | None
    time_s: float

    def and_then(self, later: "Spent") -> "Spent":
        """Both of them, one after the other."""
        return Spent(
            total((self.energy_j, later.energy_j)),
            total((self.emissions_kg, later.emissions_kg)),
            self.time_s + later.time_s,
        )


def spent_before(log: SearchLog) -> Spent:
    """In earlier sittings: what they said, and what trainings took that broke off since."""
    told = log.recorded().metrics
    spent = Spent(
        told.get("search_energy_j"),
        told.get("search_emissions_kg"),
        told.get("search_time_s", 0.0),
    )
    for at_once in _at_once(log.unbilled()):
        spent = spent.and_then(_spent_by(at_once))
    return spent


def total(parts: Iterable[float | None]) -> float | None:
    """Of what is known; None if nothing is."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _at_once(lost: Sequence[BrokenOff]) -> Iterator[list[BrokenOff]]:
    """By sitting, of which one with several workers lost several trainings."""
    together: list[BrokenOff] = []
    for each in sorted(lost, key=attrgetter("run.started_at_ms")):
        if together and each.run.started_at_ms >= max(other.ended_at_ms for other in together):
            yield together
            together = []
        together.append(each)
    if together:
        yield together


def _spent_by(at_once: Sequence[BrokenOff]) -> Spent:
    """By trainings side by side.

    Each of them measured CPU and RAM for all of its machine: these are counted once per machine, as
    by the training that saw most of them. A GPU is one training's own, and counts always.
    """
    machines: dict[str, list[BrokenOff]] = {}
    for each in at_once:
        machines.setdefault(each.run.tags.get(MACHINE, ""), []).append(each)
    spent = Spent(None, None, max(each.spent("time_spent_s") or 0.0 for each in at_once))
    for of_one in machines.values():
        of_one.sort(key=_shared_j, reverse=True)
        for place, each in enumerate(of_one):
            energy_j, emissions_kg = each.spent("energy_spent_j"), each.spent("emissions_kg")
            if place and energy_j:
                own = 1 - _shared_j(each) / energy_j
                energy_j *= own
                emissions_kg = None if emissions_kg is None else own * emissions_kg
            spent = spent.and_then(Spent(energy_j, emissions_kg, 0.0))
    return spent


def _shared_j(each: BrokenOff) -> float:
    return (each.spent("energy_spent_j") or 0.0) - (each.spent("gpu_energy_j") or 0.0)
