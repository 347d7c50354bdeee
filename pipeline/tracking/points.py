"""Measurements and results as MLflow's metrics and tags."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from steps.outcome import Outcome

if TYPE_CHECKING:
    from energy import Measurement
    from steps.train import Epoch, Training


SHORTEST_LAP_S = 0.25
"""Energy counters move every tenth of a second: the power of a shorter lap says nothing."""


def spent(epochs: int, measurement: "Measurement") -> dict[str, float | None]:
    """What training has cost, whatever came of it."""
    return {
        "epochs": epochs,
        "time_spent_s": measurement.duration_s,
        "energy_spent_j": measurement.energy_j,
        "energy_error_j": measurement.energy_error_j,
        "emissions_kg": measurement.emissions_kg,
        "gpu_energy_j": measurement.gpu_energy_j,
        "cpu_energy_j": measurement.cpu_energy_j,
        "ram_energy_j": measurement.ram_energy_j,
        "codecarbon_energy_kwh": measurement.codecarbon_energy_kwh,
        "codecarbon_gpu_energy_j": measurement.codecarbon_gpu_energy_j,
    }


def told_apart(training: "Training") -> dict[str, float | None]:
    """Parts of the cost; `compile_energy_j` also where another run of the process paid for it."""
    found = training.finding_lr
    return {
        "found_lr": None if found is None else training.learning_rate,
        "compile_time_s": training.compilation.time_s,
        "compile_energy_j": training.compilation.energy_j,
        "validation_time_s": training.report.validation_time_s,
        "find_lr_time_s": None if found is None else found.time_s,
        "find_lr_energy_j": None if found is None else found.energy_j,
    }


def to_accuracy(training: "Training") -> dict[str, float | None]:
    """Only where the target was reached, so that nothing takes the cost of a miss for a result.

    A run that found its graphs compiled is charged for them all the same: which of two
    configurations is greener may not depend on which of them came first.
    """
    if training.outcome is not Outcome.REACHED:
        return {}
    measurement = training.measurement
    time_s, energy_j = measurement.duration_s, measurement.energy_j
    emissions_kg = measurement.emissions_kg
    if training.compilation_is_shared:
        time_s += training.compilation.time_s
        if energy_j is not None:
            energy_j += training.compilation.energy_j or 0.0
            if emissions_kg is not None and measurement.energy_j:
                emissions_kg *= energy_j / measurement.energy_j
    return {
        "time_to_accuracy_s": time_s,
        "energy_to_accuracy_j": energy_j,
        "emissions_to_accuracy_kg": emissions_kg,
    }


def of_epoch(epoch: "Epoch") -> list[tuple[str, float, int, int]]:
    """Points of the curves.

    Utilization comes from the meter's own readings. MLflow's system metrics would sample it in a
    thread of theirs, inside the window and for more than it costs to train a small model.
    """
    points: dict[str, float | None] = {
        "train_loss": epoch.train_loss,
        "train_accuracy": epoch.train_accuracy,
        "val_loss": epoch.val_loss,
        "val_accuracy": epoch.val_accuracy,
        "learning_rate": epoch.learning_rate,
        "epoch_time_s": epoch.time_s,
        "epoch_energy_j": epoch.energy_j,
    }
    if epoch.lap is not None and epoch.lap.duration_s >= SHORTEST_LAP_S:
        points["gpu_power_w"] = epoch.lap.gpu_power_w
        points["gpu_temperature_c"] = epoch.lap.gpu_temperature_c
        points["gpu_utilization"] = epoch.lap.gpu_utilization
        points["cpu_utilization"] = epoch.lap.cpu_utilization
    timestamp = int(epoch.ended_at * 1000)
    return [(name, value, timestamp, epoch.number) for name, value in present(points).items()]


def present(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Without what was not measured."""
    return {name: value for name, value in figures.items() if value is not None}


def provenance(measurement: "Measurement") -> dict[str, str]:
    """What each part's joules are worth, as tags."""
    tags = {f"energy.{part}": told for part, told in measurement.provenance.items()}
    if measurement.flags:
        tags["energy.flags"] = ", ".join(sorted(measurement.flags))
    return tags
