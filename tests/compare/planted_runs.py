"""Recorded runs whose costs are made of planted effects and noise."""

import hashlib
from collections.abc import Mapping

import numpy as np

from pipeline.choice import Interval, Ranked
from pipeline.tracking import RecordedRun

COMPILE_J, COMPILE_S = 7.0, 3.0
JOULES_PER_SECOND = 20.0

NOISE = 0.2
"""As measured: the coefficient of variation of the energy to a target."""


def run_of(
    parameters: Mapping[str, object],
    *,
    seed: int = 0,
    energy_per_epoch_j: float | None = 2.0,
    epochs: float = 10.0,
    outcome: str = "REACHED",
    val_accuracy: float = 0.96,
    hardware: str = "one",
    digest: str = "d1",
    **metrics: float,
) -> RecordedRun:
    """A run as the pipeline leaves it; its time follows from its energy at 20 W."""
    texts = {
        "dataset": "digits",
        "target_accuracy": "0.95",
        "patience": "3",
        **{name: str(value) for name, value in parameters.items()},
    }
    config_id = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:10]
    per_epoch_j = 2.0 if energy_per_epoch_j is None else energy_per_epoch_j
    told = {
        "epochs": epochs,
        "val_accuracy": val_accuracy,
        "compile_time_s": COMPILE_S,
        "time_spent_s": epochs * per_epoch_j / JOULES_PER_SECOND + COMPILE_S,
        **metrics,
    }
    if energy_per_epoch_j is not None:
        told["compile_energy_j"] = COMPILE_J
        told["energy_spent_j"] = epochs * energy_per_epoch_j + COMPILE_J
    if outcome == "REACHED":
        told["time_to_accuracy_s"] = told["time_spent_s"]
        if energy_per_epoch_j is not None:
            told["energy_to_accuracy_j"] = told["energy_spent_j"]
    return RecordedRun(
        run_id=f"{config_id}-{seed}-{digest}-{hardware}",
        name=f"{config_id}-s{seed}",
        status="FINISHED",
        started_at_ms=0,
        parameters={**texts, "seed": str(seed)},
        metrics=told,
        tags={
            "config_id": config_id,
            "outcome": outcome,
            "hardware": hardware,
            "dataset_digest": digest,
        },
    )


def scattered(generator: np.random.Generator, spread: float) -> float:
    """A lognormal factor about 1."""
    return float(np.exp(spread * generator.standard_normal()))


def ranked(number: int = 0, *, energy_j: float | None = 100.0, **metrics: float) -> Ranked:
    """A configuration of one run, told from others by its learning rate."""
    run = run_of({"lr": 0.001 * (number + 1)}, energy_per_epoch_j=None, **metrics)
    interval = {} if energy_j is None else {"energy_to_accuracy_j": Interval(energy_j, None, None)}
    return Ranked(run.tags["config_id"], run.parameters, (run,), interval)


def noisy(generator: np.random.Generator, energy_j: float = 2.0, epochs: float = 100.0) -> dict:
    return {
        "energy_per_epoch_j": energy_j * scattered(generator, NOISE),
        "epochs": epochs * scattered(generator, NOISE),
    }
