"""Quantization-aware fine-tuning as part of what a run has cost."""

import math
from typing import TYPE_CHECKING

from steps.quantization_modes import FLOAT32

if TYPE_CHECKING:
    from energy import Calibration, IdlePower, Measurement
    from energy.calibration import PartCalibration
    from pipeline.tracking.store import RecordedRun
    from steps.quantize import Quantization

FINE_TUNED = "fine_tuned"
"""Tag: variants whose fine-tuning is in the figures of the run. A new training takes it back."""

TO_ACCURACY = {
    "time_to_accuracy_s": "time_spent_s",
    "energy_to_accuracy_j": "energy_spent_j",
    "emissions_to_accuracy_kg": "emissions_kg",
}
"""Figures whose part in fine-tuning is that of another one."""


def cost_of(quantization: "Quantization") -> "Measurement | None":
    """What fine-tuning took, all variants together; None without any."""
    costs = [each.fine_tuning for each in quantization.variants if each.fine_tuning is not None]
    return sum(costs[1:], start=costs[0]) if costs else None


def is_asked_for(run: "RecordedRun", quantization: "Quantization") -> bool:
    """Whether these are the modes of the run's configuration, and not others tried afterwards.

    Those cost energy, too, but say nothing of what the configuration costs.
    """
    done = {each.mode for each in quantization.variants} | set(quantization.refused)
    return done - {FLOAT32} == set(run.parameters["quantization"].split(","))


def figures(
    run: "RecordedRun",
    cost: "Measurement",
    idle: "IdlePower | None",
    calibration: "Calibration | PartCalibration | None",
) -> dict[str, float | None]:
    """What fine-tuning took, and the figures of the run with that in them.

    Args:
        run: so far. Where the step has run before, its part is in the figures and is replaced.
        cost: of the fine-tuning.
        idle: to tell net from gross, as for training.
        calibration: onto a wall meter, as for training.

    Returns:
        Metrics. A figure of the run is infinite if its part in fine-tuning is not known: MLflow
        cannot take a metric back, and what is infinite wins nothing.
    """
    took = {
        "time_spent_s": cost.duration_s,
        "energy_spent_j": cost.energy_j,
        "energy_error_j": cost.energy_error_j,
        "emissions_kg": cost.emissions_kg,
        "gpu_energy_j": cost.gpu_energy_j,
        "cpu_energy_j": cost.cpu_energy_j,
        "ram_energy_j": cost.ram_energy_j,
        "codecarbon_energy_kwh": cost.codecarbon_energy_kwh,
        "codecarbon_gpu_energy_j": cost.codecarbon_gpu_energy_j,
        "net_energy_j": None if idle is None else (cost - idle).energy_j,
        "calibrated_energy_j": None if calibration is None else calibration.wall_energy_of(cost),
    }
    earlier = run.metrics if FINE_TUNED in run.tags else {}
    told = {_part(figure): part for figure, part in took.items()}
    for figure in (*took, *TO_ACCURACY):
        if figure in run.metrics:
            of = TO_ACCURACY.get(figure, figure)
            before, part = run.metrics[figure] - earlier.get(_part(of), 0.0), took[of]
            told[figure] = math.inf if part is None else before + part
    return told


def _part(figure: str) -> str:
    """Name of the part of a figure that fine-tuning took, such as ``qat_energy_j``."""
    return f"qat_{figure.replace('_spent', '')}"


def tags(run: "RecordedRun", quantization: "Quantization", cost: "Measurement") -> dict[str, str]:
    """Whose fine-tuning is in the figures of the run, and what its meter warned of."""
    tuned = ", ".join(each.mode for each in quantization.variants if each.fine_tuning is not None)
    flags = set(filter(None, run.tags.get("energy.flags", "").split(", "))) | cost.flags
    return {FINE_TUNED: tuned} | ({"energy.flags": ", ".join(sorted(flags))} if flags else {})
