"""What the quantize step found out, as MLflow's metrics and tags."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.tracking import fine_tuning

if TYPE_CHECKING:
    from energy import Calibration, IdlePower
    from energy.calibration import PartCalibration
    from pipeline.tracking.store import RecordedRun
    from steps.quantize import Quantization, Variant

QUANTIZED = "quantized_"
"""Before the figures of the variant that is told as the run's own: the chosen one."""

LESS_IS_BETTER = ("_j", "_ms", "_bytes")
"""Units of figures that a comparison may look for the least of."""

OF_ONE_CALL = ("quantized.", "inference.")
"""Beginnings of the tags that the next call of the step replaces."""


def told(
    run: "RecordedRun",
    quantization: "Quantization",
    idle: "IdlePower | None",
    calibration: "Calibration | PartCalibration | None",
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Metrics and tags.

    Args:
        run: so far; fine-tuning that its configuration asks for is part of what it has cost.
        quantization: what the step found out.
        idle: to tell net from gross.
        calibration: onto a wall meter.
    """
    metrics, described = figures(quantization), tags(quantization)
    metrics |= _taken_back(run, metrics)
    cost = fine_tuning.cost_of(quantization)
    if cost is not None and fine_tuning.is_asked_for(run, quantization):
        metrics |= fine_tuning.figures(run, cost, idle, calibration)
        described |= fine_tuning.tags(run, quantization, cost)
    return metrics, described


def told_as_own(quantization: "Quantization") -> "Variant | None":
    """The variant whose figures stand for the run: the chosen one, else the most accurate.

    One that loses too much is told too: the user asked for it. None where none was made.
    """
    if quantization.chosen is not None:
        return quantization.chosen
    return max(quantization.variants, key=_validation_accuracy, default=None)


def _validation_accuracy(variant: "Variant") -> float:
    return -1.0 if variant.validation is None else variant.validation.accuracy


def slug(mode: str) -> str:
    """A mode as the first part of a metric's name, where a slash begins the second."""
    return mode.replace("/", "_")


def figures(quantization: "Quantization") -> dict[str, float | None]:
    """Of each variant behind ``MODE/``; of float32 and of the one that counts by their names."""
    float32, own = quantization.float32, told_as_own(quantization)
    told: dict[str, float | None] = {}
    for variant in (*([float32] if float32 else []), *quantization.variants):
        of_variant = _figures(variant, float32)
        told |= {f"{slug(variant.mode)}/{name}": value for name, value in of_variant.items()}
        if variant is float32:
            told |= {name: of_variant.get(name) for name in OF_FLOAT32}
        if variant is own:
            told |= {f"{QUANTIZED}{name}": value for name, value in of_variant.items()}
            told |= {name: of_variant[name] for name in ("average_bitwidth", "memory_density")}
    return told


OF_FLOAT32 = (
    "model_size_bytes",
    "latency_ms",
    "energy_per_inference_j",
    "net_energy_per_inference_j",
    "bit_operations",
)
"""Figures that a run has of its model whether or not there is a smaller one."""


def _figures(variant: "Variant", float32: "Variant | None") -> dict[str, float | None]:
    told: dict[str, float | None] = {
        "test_accuracy": variant.test.accuracy,
        "test_loss": variant.test.loss,
        "model_size_bytes": variant.size_bytes,
        "average_bitwidth": variant.average_bitwidth,
        "memory_density": variant.memory_density,
        "bit_operations": variant.bit_operations,
    }
    if variant.validation is not None:
        told["val_accuracy"] = variant.validation.accuracy
        told["val_loss"] = variant.validation.loss
    if variant.fine_tuning is not None:
        told["qat_time_s"] = variant.fine_tuning.duration_s
        told["qat_energy_j"] = variant.fine_tuning.energy_j
    return told | _speed(variant, float32) | _inference(variant)


def _speed(variant: "Variant", float32: "Variant | None") -> dict[str, float | None]:
    from steps.quantize import speed_up

    told: dict[str, float | None] = {}
    for rows, latency in variant.latency.items():
        batch = "" if rows == 1 else f"batch{rows}_"
        told[f"{batch}latency_ms"] = latency.median_ms
        told[f"{batch}latency_low_ms"] = latency.low_ms
        told[f"{batch}latency_high_ms"] = latency.high_ms
        if float32 is not None and variant is not float32:
            faster = speed_up(float32.latency[rows], latency)
            told[f"{batch}speed_up"] = faster.median
            told[f"{batch}speed_up_low"] = faster.low
            told[f"{batch}speed_up_high"] = faster.high
    return told


def _inference(variant: "Variant") -> dict[str, float | None]:
    energy = variant.inference
    if energy is None:
        return {}
    told: dict[str, float | None] = {
        "inference_spread": energy.spread,
        "inference_cpu_utilization": energy.cpu_utilization,
        "inference_gpu_utilization": energy.gpu_utilization,
    }
    if energy.rejected is not None:
        return told
    told |= {
        "energy_per_inference_j": energy.gross.median_j,
        "energy_per_inference_low_j": energy.gross.low_j,
        "energy_per_inference_high_j": energy.gross.high_j,
    }
    if energy.net is not None:
        told["net_energy_per_inference_j"] = energy.net.median_j
    return told


def _taken_back(run: "RecordedRun", figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """What an earlier call of the step told as the run's own and this one does not.

    Infinite: MLflow cannot take a metric back, and what is infinite wins nothing.
    """
    return {
        name: math.inf
        for name in run.metrics
        if name.startswith(QUANTIZED)
        and name.endswith(LESS_IS_BETTER)
        and figures.get(name) is None
    }


def tags(quantization: "Quantization") -> dict[str, str]:
    """Which variant counts, what could not be made or measured, and what the joules are worth."""
    own, choice, variants = told_as_own(quantization), quantization.choice, quantization.variants
    beside = [*([quantization.float32] if quantization.float32 else []), *variants]
    energies = {each.mode: each.inference for each in beside if each.inference is not None}
    chosen = "none" if choice.variant is None else choice.variant.mode
    told = {
        "quantized.modes": ", ".join(each.mode for each in beside),
        "quantized.mode": own.mode if own is not None else "",
        "quantized.chosen": f"{chosen}: {choice.reason}" if variants else "",
        "quantized.simulated": ", ".join(each.mode for each in variants if each.simulated),
        "quantized.refused": "; ".join(_by_reason(quantization.refused)),
        "quantized.uncovered": "; ".join(
            f"{each.mode}: {', '.join(each.uncovered)}" for each in variants if each.uncovered
        ),
        "inference.rejected": "; ".join(
            f"{mode}: {energy.rejected}" for mode, energy in energies.items() if energy.rejected
        ),
    }
    if energies:
        told["inference.windows"] = _windows(min(each.window_s for each in energies.values()))
    for energy in energies.values():
        told |= {f"inference.energy.{part}": worth for part, worth in energy.provenance.items()}
    return {name: text for name, text in told.items() if text}


def _windows(shortest_s: float) -> str:
    from steps.quantize.inference import PUBLISHED_S, WINDOWS

    told = f"{WINDOWS} of {shortest_s:.3g} s each"
    if shortest_s >= PUBLISHED_S:
        return told
    return f"{told}, short of the {PUBLISHED_S:.0f} s of figures to publish"


def _by_reason(refused: Mapping[str, str]) -> Iterator[str]:
    for reason in dict.fromkeys(refused.values()):
        modes = ", ".join(mode for mode, why in refused.items() if why == reason)
        yield f"{modes}: {reason}"
