"""The table of a run's models in its description: each beside float32 in the same runtime."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.markdown import table
from pipeline.units import joules, seconds, three_digits
from steps.quantization_modes import FLOAT32

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

HEADINGS = (
    "model",
    "validation accuracy",
    "test accuracy",
    "weights",
    "bits",
    "latency of a row",
    "speed-up",
    "speed-up, 256 rows",
    "energy of a row",
)
ABSENT = "-"
EDGES = ("", "_low", "_high")
"""Behind the name of a figure: its middle and the ends of its range."""

LATENCY = (("s", 1e-3), ("ms", 1.0), ("µs", 1e3))
ENERGY = (("J", 1.0), ("mJ", 1e3), ("µJ", 1e6))
SPEED_UP = (("x", 1.0),)
"""Units from the largest, and how many of each make one of the metric's unit."""

WORTH = "inference.energy."
"""Beginning of the tags that say what the joules of the last call of the step are worth."""


def variants_table(run: "RecordedRun") -> str:
    """Markdown; empty where nothing was converted."""
    modes = run.tags.get("quantized.modes", "")
    if not modes:
        return "\n\n".join(_remarks(run))
    names = modes.split(", ")
    # What is emulated runs nowhere, and without float32 there is no file.
    measured = [_how_measured(run)] if FLOAT32 in names else []
    written = table(HEADINGS, [_row(run, mode) for mode in names])
    return "\n\n".join((written, *measured, *_remarks(run)))


def _row(run: "RecordedRun", mode: str) -> tuple[str, ...]:
    def told(name: str) -> float | None:
        return run.metrics.get(f"{mode.replace('/', '_')}/{name}")

    def written(name: str, form: str) -> str:
        value = told(name)
        return ABSENT if value is None else form.format(value)

    def ranged(form: str, units: Sequence[tuple[str, float]]) -> str:
        return _ranged([told(form.format(edge)) for edge in EDGES], units)

    is_chosen = run.tags.get("quantized.chosen", "").startswith(f"{mode}: ")
    return (
        f"**{mode}**" if is_chosen else mode,
        written("val_accuracy", "{:.4f}"),
        written("test_accuracy", "{:.4f}"),
        written("model_size_bytes", "{:.0f} bytes"),
        written("average_bitwidth", "{:.3g}"),
        ranged("latency{}_ms", LATENCY),
        ranged("speed_up{}", SPEED_UP),
        ranged("batch256_speed_up{}", SPEED_UP),
        _why_without_energy(run, mode) or ranged("energy_per_inference{}_j", ENERGY),
    )


def _ranged(edges: Sequence[float | None], units: Sequence[tuple[str, float]]) -> str:
    """All three in the unit that suits the first."""
    middle, low, high = edges
    if middle is None or low is None or high is None:
        return ABSENT
    unit, size = next((each for each in units if abs(middle) * each[1] >= 1), units[-1])
    told = [three_digits(number * size) for number in (middle, low, high)]
    return f"{told[0]} {unit} ({told[1]} to {told[2]})"


def _why_without_energy(run: "RecordedRun", mode: str) -> str:
    """Not what an earlier call of the step has measured."""
    rejected = run.tags.get("inference.rejected", "").split("; ")
    if any(each.startswith(f"{mode}: ") for each in rejected):
        return "rejected"
    return "" if any(name.startswith(WORTH) for name in run.tags) else ABSENT


def _how_measured(run: "RecordedRun") -> str:
    told = (
        "All run in LiteRT on one thread, float32 too; in brackets the range from 5 to 95 % of "
        "latency and speed-up, and the lowest and highest window of energy."
    )
    worth = [
        f"{part.upper()} {run.tags[f'{WORTH}{part}']}"
        for part in ("gpu", "cpu", "ram")
        if f"{WORTH}{part}" in run.tags
    ]
    windows = run.tags.get("inference.windows")
    worth += [f"windows: {windows}"] if windows else []
    return f"{told} Energy: {'; '.join(worth)}." if worth else told


def _remarks(run: "RecordedRun") -> Iterator[str]:
    told = {
        "For deployment": run.tags.get("quantized.chosen"),
        "Fine-tuned": _fine_tuned(run),
        "Energy that stands for nothing": run.tags.get("inference.rejected"),
        "Could not be made": run.tags.get("quantized.refused"),
        "Left in floating point": run.tags.get("quantized.uncovered"),
        "Emulated, so that it has neither speed nor energy": run.tags.get("quantized.simulated"),
    }
    for heading, text in told.items():
        if text:
            yield f"{heading}: `{text.replace('`', chr(39))}`."


def _fine_tuned(run: "RecordedRun") -> str:
    """Which of the models were, and what that took."""
    told = []
    for mode in run.tags["quantized.modes"].split(", ") if "quantized.modes" in run.tags else ():
        slug = mode.replace("/", "_")
        took_s, energy_j = (
            run.metrics.get(f"{slug}/qat_{name}") for name in ("time_s", "energy_j")
        )
        if took_s is not None:
            total = "" if energy_j is None else f", {joules(energy_j)}"
            told.append(f"{mode} ({seconds(took_s)}{total})")
    if told and "fine_tuned" not in run.tags:
        told.append("no part of what the run has cost, which was opened with other modes")
    return "; ".join(told)
