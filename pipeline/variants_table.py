"""The table of a run's models in its description: each beside float32 in the same runtime."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.units import joules, three_digits

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
    "energy of a row",
)
ACCURACY = "/test_accuracy"
ABSENT = "-"


def variants_table(run: "RecordedRun") -> str:
    """Markdown; empty where nothing was converted."""
    slugs = list(_slugs(run.metrics))
    if not slugs:
        return ""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(_row(run, slug) for slug in slugs)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join((table, *_remarks(run)))


def _slugs(metrics: Mapping[str, float]) -> Iterator[str]:
    """Of the variants, float32 first."""
    found = sorted(name.removesuffix(ACCURACY) for name in metrics if name.endswith(ACCURACY))
    yield from (slug for slug in found if slug == "float32")
    yield from (slug for slug in found if slug != "float32")


def _row(run: "RecordedRun", slug: str) -> tuple[str, ...]:
    def told(name: str) -> float | None:
        return run.metrics.get(f"{slug}/{name}")

    def written(name: str, form: str) -> str:
        value = told(name)
        return ABSENT if value is None else form.format(value)

    return (
        f"**{slug}**" if run.tags.get("quantized.mode", "").replace("/", "_") == slug else slug,
        written("val_accuracy", "{:.4f}"),
        written("test_accuracy", "{:.4f}"),
        written("model_size_bytes", "{:.0f} bytes"),
        written("average_bitwidth", "{:.3g}"),
        _between(told("latency_ms"), told("latency_low_ms"), told("latency_high_ms"), "ms"),
        _between(told("speed_up"), told("speed_up_low"), told("speed_up_high"), "x"),
        _energy(run, slug),
    )


def _between(middle: float | None, low: float | None, high: float | None, unit: str) -> str:
    if middle is None or low is None or high is None:
        return ABSENT
    return f"{three_digits(middle)} {unit} ({three_digits(low)} to {three_digits(high)})"


def _energy(run: "RecordedRun", slug: str) -> str:
    middle, low, high = (
        run.metrics.get(f"{slug}/energy_per_inference{edge}_j") for edge in ("", "_low", "_high")
    )
    if middle is None or low is None or high is None:
        return ABSENT
    return f"{joules(middle)} ({joules(low)} to {joules(high)})"


def _remarks(run: "RecordedRun") -> Iterator[str]:
    tags = run.tags
    yield (
        "All run in LiteRT on one thread, float32 too; in brackets the range from 5 to 95 % of "
        "latency and speed-up, and the lowest and highest window of energy."
    )
    parts = ("gpu", "cpu", "ram")
    worth = [
        f"{part.upper()} {tags[f'inference.energy.{part}']}"
        for part in parts
        if f"inference.energy.{part}" in tags
    ]
    if worth:
        yield f"Energy of a row: {'; '.join(worth)}."
    told = {
        "Chosen": "quantized.mode",
        "Energy that stands for nothing": "inference.rejected",
        "Could not be made": "quantized.refused",
        "Left in floating point": "quantized.uncovered",
        "Emulated, so that speed and energy mean nothing": "quantized.simulated",
    }
    for heading, tag in told.items():
        if tag in tags:
            yield f"{heading}: `{tags[tag].replace('`', chr(39))}`."
