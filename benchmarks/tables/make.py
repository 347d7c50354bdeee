"""Train every configuration of ``space.yaml`` with every seed and keep what that gave and cost.

    python benchmarks/search.py --make-tables
    python benchmarks/search.py --measure-tables

Trainings run one after the other in one process with one meter, as in a search. Seeds are the
outer loop, so that a slow hour of the machine falls on all configurations alike; each seed begins
without graphs, so that each graph is compiled, and that measured, once per seed. Where power is
estimated from the load of the machine, what else runs there is in the joules of a training; the
readers of these tables take medians. Accuracies do not depend on that: energies alone can be
measured anew, by a few epochs of each training, on a quiet machine.
"""

import dataclasses
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from energy import EnergyMeter
from pipeline.search.space import Space
from steps.configuration import Configuration
from steps.partition import partition
from steps.preprocess import preprocess
from steps.train import Epoch, Training, train
from steps.train.fit import GRAPHS

SPACE = Path(__file__).with_name("space.yaml")
SEEDS = 5
MAX_EPOCHS = 500
"""As `python -m pipeline run` has it, where nothing else was typed."""
MEASURED_EPOCHS = 30
"""Where energies alone are measured."""

FIXED = {
    "digits": {"target_accuracy": "0.95"},
    # A tenth of its 569 rows could not tell an accuracy of 96 % from one of 94 %.
    "breast_cancer": {"target_accuracy": "0.96", "partitioning": "60-20-20"},
}
"""By dataset, what all configurations share."""


def make_tables() -> None:
    """Write ``NAME.npz`` beside the space, for each dataset; after each seed what there is."""
    meter = meter_of_this_machine()
    for name, fixed in FIXED.items():
        shared = {"dataset": name, **fixed, "max_epochs": str(MAX_EPOCHS)}
        make_table(shared, meter, file_of(name))


def measure_tables() -> None:
    """Write the energies of ``NAME.npz`` anew; accuracies and outcomes stay."""
    meter = meter_of_this_machine()
    for name in FIXED:
        with np.load(file_of(name), allow_pickle=False) as kept:
            arrays = dict(kept)
        fixed = json.loads(str(arrays["fixed"])) | {"max_epochs": str(MEASURED_EPOCHS)}
        for seed in range(SEEDS):
            for place, training, epochs in trainings(fixed, seed, meter):
                arrays["epoch_j"][place, seed] = median_joules(epochs)
                arrays["compile_j"][place, seed] = compile_joules(training)
        np.savez_compressed(file_of(name), allow_pickle=False, **arrays)


def meter_of_this_machine() -> EnergyMeter:
    return EnergyMeter.for_this_machine(
        carbon_intensity_g_per_kwh=0, sync=tf.test.experimental.sync_devices
    )


def file_of(dataset: str) -> Path:
    return SPACE.with_name(f"{dataset}.npz")


def make_table(fixed: dict[str, str], meter: EnergyMeter, file: Path) -> None:
    """Train all of the space on one dataset.

    Writes arrays over configurations (axis 0) and seeds (axis 1):

    - ``points``: the point of the space, as JSON; over configurations.
    - ``graphs``: a number for all configurations that share a compiled graph; over configurations.
    - ``outcomes``: text.
    - ``val_accuracy``: float32, axis 2 is the epoch, NaN after the last.
    - ``epoch_j``: the median epoch's energy in joules.
    - ``compile_j``: energy of compiling in joules; NaN where an earlier training had done it.
    - ``fixed``: as given, as JSON; no axis.
    """
    points = list(Space.load(SPACE).points(fixed))
    shape = len(points), SEEDS
    graphs = [""] * len(points)
    outcomes = np.full(shape, "", "<U16")
    val_accuracy = np.full((*shape, MAX_EPOCHS), np.nan, np.float32)
    epoch_j, compile_j = np.full(shape, np.nan), np.full(shape, np.nan)
    for seed in range(SEEDS):
        for place, training, epochs in trainings(fixed, seed, meter):
            graphs[place] = training.report.graph_key or points_text(points[place])
            outcomes[place, seed] = str(training.outcome)
            val_accuracy[place, seed, : len(epochs)] = [epoch.val_accuracy for epoch in epochs]
            epoch_j[place, seed] = median_joules(epochs)
            compile_j[place, seed] = compile_joules(training)
        np.savez_compressed(
            file,
            allow_pickle=False,
            points=np.array([points_text(point) for point in points]),
            graphs=np.unique(graphs, return_inverse=True)[1],
            outcomes=outcomes[:, : seed + 1],
            val_accuracy=val_accuracy[:, : seed + 1],
            epoch_j=epoch_j[:, : seed + 1],
            compile_j=compile_j[:, : seed + 1],
            fixed=np.array(json.dumps(fixed)),
        )


def trainings(
    fixed: dict[str, str], seed: int, meter: EnergyMeter
) -> Iterator[tuple[int, Training, list[Epoch]]]:
    """Train all of the space with one seed, in an order of chance; the place of each point."""
    space = Space.load(SPACE)
    points = list(space.points(fixed))
    dataset = preprocess(space.configuration(points[0], fixed))
    GRAPHS.clear()
    for place in random.Random(seed).sample(range(len(points)), len(points)):
        configuration = dataclasses.replace(space.configuration(points[place], fixed), seed=seed)
        parts = partition(dataset, configuration.partitioning, configuration.preprocessing, seed)
        epochs: list[Epoch] = []
        training = train(dataset, parts, configuration, meter, epochs.extend)
        say(configuration, training, median_joules(epochs), compile_joules(training))
        yield place, training, epochs


def median_joules(epochs: list[Epoch]) -> float:
    return float(np.median([joules(epoch.energy_j) for epoch in epochs]))


def points_text(point: object) -> str:
    return json.dumps(point, sort_keys=True)


def joules(energy_j: float | None) -> float:
    return np.nan if energy_j is None else energy_j


def compile_joules(training: Training) -> float:
    return np.nan if training.compilation_is_shared else joules(training.compilation.energy_j)


def say(configuration: Configuration, training: Training, epoch_j: float, compile_j: float) -> None:
    print(
        f"{configuration.dataset} {configuration.run_name} momentum {configuration.momentum:g}: "
        f"{training.outcome} after {training.epochs} epochs of {epoch_j:.3g} J, "
        f"{training.measurement.duration_s:.2f} s, compiling {compile_j:.3g} J",
        flush=True,
    )
