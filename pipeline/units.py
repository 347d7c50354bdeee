"""Energy and emissions for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun


def joules(energy_j: float) -> str:
    """Energy for people, in J, kJ or MJ with three digits."""
    for unit, size in (("MJ", 1e6), ("kJ", 1e3)):
        if energy_j >= size:
            return f"{energy_j / size:.3g} {unit}"
    return f"{energy_j:.3g} J"


def grams(emissions_kg: float) -> str:
    """Emissions (of CO2 equivalent) for people, in mg, g or kg."""
    for unit, size in (("kg", 1.0), ("g", 1e-3)):
        if emissions_kg >= size:
            return f"{emissions_kg / size:.3g} {unit}"
    return f"{emissions_kg / 1e-6:.3g} mg"


def energy_parts(run: "RecordedRun") -> Mapping[str, str]:
    """For GPU, CPU and RAM: joules and what they are worth, ``absent`` where there are none."""
    parts = {}
    for part in ("gpu", "cpu", "ram"):
        told = run.tags.get(f"energy.{part}", "absent")
        energy_j = run.metrics.get(f"{part}_energy_j")
        parts[part.upper()] = told if energy_j is None else f"{joules(energy_j)}, {told}"
    return parts
