"""Quantize: variants of the trained classifier in fewer bits, and what each really buys.

The files run in LiteRT, the float32 baseline too: against Keras' own ``predict`` any file of LiteRT
would look thousands of times faster, for reasons that have nothing to do with quantization.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import keras
import numpy as np

from energy import EnergyMeter, IdlePower
from steps.configuration import Configuration
from steps.errors import one_line
from steps.partition import Partition
from steps.preprocess import Dataset
from steps.quantization_modes import FLOAT32, FixedPoint, modes
from steps.quantize.convert import converted
from steps.quantize.inference import InferenceEnergy, Joules, inference_energies
from steps.quantize.litert import LiteRTModel, Rows
from steps.quantize.making import Workshop
from steps.quantize.timing import Latency, SpeedUp, latencies, speed_up
from steps.quantize.variants import Choice, Quantization, Variant
from steps.train.model import CLASSIFIER

__all__ = [
    "Choice",
    "InferenceEnergy",
    "Joules",
    "Latency",
    "Quantization",
    "SpeedUp",
    "Variant",
    "quantize",
    "speed_up",
]

BATCHES = (1, 256)
"""Rows in a call whose latency is told."""


def quantize(
    model: keras.Model,
    dataset: Dataset,
    partition: Partition,
    configuration: Configuration,
    meter: EnergyMeter,
    idle: IdlePower | None = None,
    inference_window_s: float = 2.0,
) -> Quantization:
    """Make, score, time and measure the variants that the configuration asks for.

    A variant that cannot be made is among the refused, with the reason, and the others go on. Where
    LiteRT's converter refuses the model itself, that holds for all files.

    Args:
        model: as `train` gives it, from raw rows to probabilities; stays as it is.
        dataset: raw rows.
        partition: training rows calibrate and fine-tune, validation rows decide, test rows report.
        configuration: its ``quantization`` and ``qat_epochs``; for fine-tuning also what the model
            was trained with, ``lr`` as a number.
        meter: measures fine-tuning and the windows of inference.
        idle: the machine's idle power, to tell net joules from gross; None if not known.
        inference_window_s: seconds of each window of inference, 0 for none: 2 tell the variants of
            one run apart, figures for others to see want 10.

    Raises:
        ValueError: the rows are of another shape than the model takes, or the idle power lacks a
            part of the machine that the meter measures.
    """
    classifier = model.get_layer(CLASSIFIER)
    if classifier.input_shape[1:] != dataset.scaled_shape:
        found, taken = dataset.scaled_shape, classifier.input_shape[1:]
        raise ValueError(f"{dataset.source}: rows of shape {found}, and the model takes {taken}")
    workshop = Workshop(classifier, dataset, partition, configuration, meter)
    made, refused = _made(workshop, modes(configuration.quantization))
    told = made | _measured(made, workshop.calibration(), meter, idle, inference_window_s)
    return Quantization(told.pop(FLOAT32, None), tuple(told.values()), refused)


def _made(
    workshop: Workshop, wanted: tuple[str | FixedPoint, ...]
) -> tuple[dict[str, Variant], dict[str, str]]:
    made: dict[str, Variant] = {}
    refused: dict[str, str] = {}

    def attempt(mode: str, make: Callable[[], Variant]) -> None:
        try:
            made[mode] = make()
        except ValueError as problem:
            refused[mode] = one_line(problem)

    attempt(FLOAT32, lambda: workshop.file(FLOAT32, converted(workshop.classifier)))
    baseline = made[FLOAT32].content if FLOAT32 in made else None
    stored = workshop.stored(baseline) if baseline is not None else None
    for mode in wanted:
        if isinstance(mode, FixedPoint):
            attempt(str(mode), partial(workshop.emulation, mode, stored))
        elif baseline is not None:
            attempt(mode, partial(workshop.file, mode, baseline))
        else:
            refused[mode] = refused[FLOAT32]
    return made, refused


def _measured(
    made: Mapping[str, Variant],
    rows: Rows,
    meter: EnergyMeter,
    idle: IdlePower | None,
    inference_window_s: float,
) -> dict[str, Variant]:
    """Those that have a file, with their latencies and joules, all taken in turns.

    How long an emulation takes, and on how much energy, says nothing of what it emulates.
    """
    files = {mode: LiteRTModel(each.content) for mode, each in made.items() if each.content}
    if not files:
        return {}

    def calls(batch: int) -> dict[str, Callable[[], object]]:
        block = np.resize(rows, (batch, *rows.shape[1:]))
        return {mode: file.caller(block) for mode, file in files.items()}

    latency = {batch: latencies(calls(batch)) for batch in BATCHES}
    joules: Mapping[str, InferenceEnergy] = {}
    if inference_window_s > 0:
        joules = inference_energies(calls(1), meter, idle, inference_window_s)
    return {
        mode: replace(
            made[mode],
            latency={batch: latency[batch][mode] for batch in BATCHES},
            inference=joules.get(mode),
        )
        for mode in files
    }
