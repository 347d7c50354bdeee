"""The record of one window: joules with their provenance and their error."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from energy.sources.base import ABSENT, Part


def _sum(*values: float | None) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) if present else None


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a block of work used. None always means "not measured"; 0 is a measured zero.

    Attributes:
        name: The window's name.
        duration_s: Length of the window in seconds, by a monotonic clock.
        gpu: Energy of all visible GPUs, with provenance and error.
        cpu: Energy of the processors, with provenance and error.
        ram: Energy of the memory, with provenance and error.
        emissions_kg: Carbon dioxide equivalent of `energy_j`, in kilograms.
        codecarbon_energy_kwh: CodeCarbon's own total with GPU, in kilowatt-hours. For the
            cross-check only: it is no part of `energy_j`.
        codecarbon_gpu_energy_j: The GPU's part of it in joules; never added to anything.
        gpu_energies_j: Joules per visible GPU.
        gpu_temperature_c: Mean temperature of the GPUs in degrees Celsius.
        gpu_utilization: Mean share of the time in which the GPUs were busy, 0 to 1.
        cpu_utilization: Share of all processors' time that was busy, 0 to 1, whole machine.
        flags: `shared_gpu` (another process was on a GPU, or only a slice of it is ours),
            `gpu_lost`, `too_short` (the window is short against the sources' periods),
            `self_check_failed` (CodeCarbon's constant RAM power did not come out constant),
            `sync_failed` (the caller's `sync` raised at the window's end), `net` (idle energy
            was subtracted).
    """

    name: str
    duration_s: float
    gpu: Part = ABSENT
    cpu: Part = ABSENT
    ram: Part = ABSENT
    emissions_kg: float | None = None
    codecarbon_energy_kwh: float | None = None
    codecarbon_gpu_energy_j: float | None = None
    gpu_energies_j: tuple[float | None, ...] = ()
    gpu_temperature_c: float | None = None
    gpu_utilization: float | None = None
    cpu_utilization: float | None = None
    flags: frozenset[str] = frozenset()

    @property
    def parts(self) -> Mapping[str, Part]:
        """The three parts by name."""
        return MappingProxyType({"gpu": self.gpu, "cpu": self.cpu, "ram": self.ram})

    @property
    def gpu_energy_j(self) -> float | None:
        """Energy of all visible GPUs in joules."""
        return self.gpu.energy_j

    @property
    def cpu_energy_j(self) -> float | None:
        """Energy of the processors in joules."""
        return self.cpu.energy_j

    @property
    def ram_energy_j(self) -> float | None:
        """Energy of the memory in joules."""
        return self.ram.energy_j

    @property
    def energy_j(self) -> float | None:
        """Sum of the parts that were measured or estimated, in joules."""
        return _sum(*(part.energy_j for part in self.parts.values()))

    @property
    def energy_error_j(self) -> float | None:
        """Half-width of the error of `energy_j` in joules.

        The parts' errors are added, not combined in quadrature: the larger ones are systematic.
        """
        return _sum(*(part.error_j for part in self.parts.values()))

    @property
    def provenance(self) -> Mapping[str, str]:
        """For each of `gpu`, `cpu`, `ram`: `measured (…)`, `estimated (…)` or `absent`."""
        return MappingProxyType({name: part.provenance for name, part in self.parts.items()})

    @property
    def gpu_power_w(self) -> float | None:
        """Mean power of all visible GPUs over the window, in watts."""
        if self.gpu.energy_j is None or self.duration_s <= 0:
            return None
        return self.gpu.energy_j / self.duration_s

    def __add__(self, other: "Measurement") -> "Measurement":
        """Both windows together, as if they were one.

        A part that is absent on either side is absent from the sum: half a figure is no figure.
        """
        if not isinstance(other, Measurement):
            return NotImplemented
        total_s = self.duration_s + other.duration_s
        return Measurement(
            name=self.name if self.name == other.name else f"{self.name} + {other.name}",
            duration_s=total_s,
            gpu=_add_parts(self.gpu, other.gpu),
            cpu=_add_parts(self.cpu, other.cpu),
            ram=_add_parts(self.ram, other.ram),
            emissions_kg=_add(self.emissions_kg, other.emissions_kg),
            codecarbon_energy_kwh=_add(self.codecarbon_energy_kwh, other.codecarbon_energy_kwh),
            codecarbon_gpu_energy_j=_add(
                self.codecarbon_gpu_energy_j, other.codecarbon_gpu_energy_j
            ),
            gpu_energies_j=(
                tuple(map(_add, self.gpu_energies_j, other.gpu_energies_j))
                if len(self.gpu_energies_j) == len(other.gpu_energies_j)
                else ()
            ),
            gpu_temperature_c=self._mean_with(other, "gpu_temperature_c"),
            gpu_utilization=self._mean_with(other, "gpu_utilization"),
            cpu_utilization=self._mean_with(other, "cpu_utilization"),
            flags=self.flags | other.flags,
        )

    def flagged(self, flags: frozenset[str]) -> "Measurement":
        """The same with more flags."""
        return dataclasses.replace(self, flags=self.flags | flags) if flags else self

    def _mean_with(self, other: "Measurement", attribute: str) -> float | None:
        mine, theirs = getattr(self, attribute), getattr(other, attribute)
        total_s = self.duration_s + other.duration_s
        if mine is None or theirs is None or total_s <= 0:
            return None
        return float((mine * self.duration_s + theirs * other.duration_s) / total_s)


def _add(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _add_parts(first: Part, second: Part) -> Part:
    if first.energy_j is None or second.energy_j is None:
        return first if first.energy_j is None else second
    provenances = dict.fromkeys((*first.provenance.split(" + "), *second.provenance.split(" + ")))
    # An estimate anywhere makes the whole sum an estimate, so it has to be named first.
    ordered = sorted(provenances, key=lambda provenance: not provenance.startswith("estimated"))
    return Part(
        energy_j=first.energy_j + second.energy_j,
        error_j=_add(first.error_j, second.error_j),
        provenance=" + ".join(ordered),
    )
