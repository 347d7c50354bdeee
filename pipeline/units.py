"""Energy and emissions for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun


PARTS = ("gpu", "cpu", "ram")

FLAGS = {
    "too_short": "the window is short against the meter's period",
    "shared_gpu": "another process used the GPU",
    "gpu_lost": "the GPU was lost in between",
    "self_check_failed": "CodeCarbon did not add up",
    "sync_failed": "TensorFlow could not be synchronized at the window's end",
    "shared_machine": "other trainings ran on the machine at the same time",
    "trace_ended": "the recorded power trace was shorter than the window",
}
"""What the meter's flags mean."""


def flags_in_words(tag: str) -> str:
    """The tag ``energy.flags`` for people."""
    return "; ".join(FLAGS.get(flag, flag) for flag in tag.split(", "))


def epochs_in_a_row(patience: str) -> str:
    """Such as ``3 epochs in a row``; of one epoch none is a row."""
    return "1 epoch" if patience == "1" else f"{patience} epochs in a row"


def three_digits(number: float) -> str:
    """Such as ``0.123``, ``41.3`` and ``4320``: no exponent where the number is large."""
    return f"{float(f'{number:.3g}'):.15g}"


def joules(energy_j: float) -> str:
    """Energy for people, in J, kJ or MJ with three digits."""
    for unit, size in (("MJ", 1e6), ("kJ", 1e3)):
        if energy_j >= size:
            return f"{three_digits(energy_j / size)} {unit}"
    return f"{three_digits(energy_j)} J"


def seconds(time_s: float) -> str:
    """Time for people."""
    return f"{three_digits(time_s)} s"


def grams(emissions_kg: float) -> str:
    """Emissions (of CO2 equivalent) for people, in mg, g or kg."""
    for unit, size in (("kg", 1.0), ("g", 1e-3)):
        if emissions_kg >= size:
            return f"{three_digits(emissions_kg / size)} {unit}"
    return f"{three_digits(emissions_kg / 1e-6)} mg"


def energy_parts(run: "RecordedRun") -> Mapping[str, str]:
    """For GPU, CPU and RAM: joules and what they are worth, ``absent`` where there are none."""
    parts = {}
    for part in PARTS:
        told = run.tags.get(f"energy.{part}", "absent")
        energy_j = run.metrics.get(f"{part}_energy_j")
        parts[part.upper()] = told if energy_j is None else f"{joules(energy_j)}, {told}"
    return parts


def kind_of(provenance: str) -> str:
    """``measured``, ``estimated`` or ``absent``, of what a tag says of a part of the energy.

    What is said in other words, by another version or author, is not known to be measured.
    """
    kind, *_ = provenance.split() or ("absent",)
    return kind if kind in ("measured", "absent") else "estimated"


def worth(run: "RecordedRun") -> str:
    """What the total is worth: ``(measured)``, ``(estimated)`` or ``(partly estimated)``."""
    kinds = {kind_of(run.tags.get(f"energy.{part}", "")) for part in PARTS} - {"absent"}
    if not kinds:
        return "(absent)"
    return f"({kinds.pop()})" if len(kinds) == 1 else "(partly estimated)"
