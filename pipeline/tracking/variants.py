"""What the quantize step found out, as MLflow's metrics and tags."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from energy import Measurement
    from steps.quantize import Quantization, Variant

QUANTIZED = "quantized_"
"""Before the figures of the variant that is told as the run's own: the chosen one."""

FINE_TUNING_IN = {
    "time_spent_s": "qat_time_s",
    "time_to_accuracy_s": "qat_time_s",
    "energy_spent_j": "qat_energy_j",
    "energy_to_accuracy_j": "qat_energy_j",
    "emissions_kg": "qat_emissions_kg",
    "gpu_energy_j": "qat_gpu_energy_j",
    "cpu_energy_j": "qat_cpu_energy_j",
    "ram_energy_j": "qat_ram_energy_j",
}
"""By figure of the run, the part of it that quantization-aware fine-tuning took."""


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
    return told | fine_tuning(quantization)


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
    # How long the emulation of an arithmetic takes says nothing of that arithmetic.
    return told if variant.simulated else told | _speed(variant, float32) | _inference(variant)


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


def fine_tuning(quantization: "Quantization") -> dict[str, float | None]:
    """What quantization-aware training took, all variants together; empty without any."""
    costs = [each.fine_tuning for each in quantization.variants if each.fine_tuning is not None]
    if not costs:
        return {}
    cost: Measurement = sum(costs[1:], start=costs[0])
    return {
        "qat_time_s": cost.duration_s,
        "qat_energy_j": cost.energy_j,
        "qat_emissions_kg": cost.emissions_kg,
        "qat_gpu_energy_j": cost.gpu_energy_j,
        "qat_cpu_energy_j": cost.cpu_energy_j,
        "qat_ram_energy_j": cost.ram_energy_j,
    }


def tags(quantization: "Quantization") -> dict[str, str]:
    """Which variant counts, what could not be made or measured, and what the joules are worth."""
    own = told_as_own(quantization)
    variants = quantization.variants
    measured = [each for each in variants if each.inference is not None]
    told = {
        "quantized.mode": own.mode if own is not None else "",
        "quantized.simulated": ", ".join(each.mode for each in variants if each.simulated),
        "quantized.refused": "; ".join(f"{m}: {why}" for m, why in quantization.refused.items()),
        "quantized.uncovered": "; ".join(
            f"{each.mode}: {', '.join(each.uncovered)}" for each in variants if each.uncovered
        ),
        "inference.rejected": "; ".join(
            f"{each.mode}: {each.inference.rejected}"
            for each in ([quantization.float32] if quantization.float32 else []) + measured
            if each.inference is not None and each.inference.rejected is not None
        ),
    }
    if measured and measured[0].inference is not None:
        provenance = measured[0].inference.provenance
        told |= {f"inference.energy.{part}": worth for part, worth in provenance.items()}
    return {name: text for name, text in told.items() if text}
