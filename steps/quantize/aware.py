"""Quantization-aware fine-tuning: a trained classifier learns to live with rounded numbers.

Each dense and convolution layer is trained on inputs and weights rounded as they will be, in this
project's own training loop, and gives back its weights. This stands in for TensorFlow's Model
Optimization Toolkit, which is no longer kept up: it knows Keras 2 only, so that a model would have
to be built and trained anew in ``tf_keras``, in a loop of its own that no meter of ours looks into.

For int8 the rounding is that of LiteRT's converter (Jacob et al. 2018, arXiv:1712.05877): kernels
symmetric per output channel, inputs with one step and zero point for all, biases as they are. The
converter learns the ranges of inputs from calibration rows, fine-tuning takes those of each batch.
That the converter multiplies batch statistics into a kernel first changes nothing of its rounding,
as that is per output channel, too.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from energy import EnergyMeter, Measurement
from steps.configuration import Configuration
from steps.partition import Partition
from steps.preprocess import Dataset
from steps.quantization_modes import FixedPoint
from steps.quantize.fixed_point import FixedPointRounding
from steps.quantize.rounding import Rounding, copied, rounded
from steps.train import Rows, warm_up
from steps.train.fit import VALIDATION_BATCH_SIZE, fit_in_graph
from steps.train.optimizer import build_optimizer

layers = keras.layers

WINDOW = "quantization_aware_training"

FIXED_POINT_SHARE, INT8_SHARE = 1.0, 0.1
"""Of the learning rate of training, to begin with.

A weight in few bits changes nothing until it has moved half a step, so that small rates leave it
where it is: on digits at fixed:8.4/4.2 (CNN, 512 hidden units, 10 epochs, 3 seeds) a tenth of the
rate gave 0.79 to 0.91 of the test rows right, the whole 0.95 to 0.96. The 255 steps of int8 cost
little to begin with, and the whole rate moves the classifier about by more than that.
"""

SMALLEST_RANGE = 1e-9
"""Of numbers that shall have steps between them, where all are the same."""


class Int8Rounding:
    """What LiteRT's int8 does to one layer."""

    def __init__(self, layer: keras.Layer) -> None:
        """Args: the layer."""
        depthwise = isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D)
        self._channel_axes = 2 if depthwise else 1

    def inputs(self, values: tf.Tensor) -> tf.Tensor:
        """In 255 steps over the range of the batch and 0."""
        low = tf.minimum(tf.reduce_min(values), 0.0)
        high = tf.maximum(tf.reduce_max(values), 0.0)
        scale = 255 / tf.maximum(high - low, SMALLEST_RANGE)
        lowest = tf.round(low * scale)
        return rounded(values, scale, lowest, lowest + 255)

    def weights(self, values: tf.Tensor) -> tf.Tensor:
        """A kernel in 127 steps to either side of 0, per channel; a bias as it is."""
        if len(values.shape) == 1:
            return values
        axes = list(range(len(values.shape) - self._channel_axes))
        largest = tf.reduce_max(tf.abs(values), axes, keepdims=True)
        scale = 127 / tf.maximum(largest, SMALLEST_RANGE)
        return rounded(values, scale, tf.constant(-127.0), tf.constant(127.0))


def fine_tuned(
    classifier: keras.Model,
    dataset: Dataset,
    partition: Partition,
    configuration: Configuration,
    meter: EnergyMeter,
    scheme: Literal["int8"] | FixedPoint,
    epochs: int,
) -> tuple[keras.Model, Measurement]:
    """Train a copy of a classifier with its numbers rounded.

    Optimizer, batch size, class weights, seed and ``jit_compile`` are those of the configuration;
    rows are not augmented. The learning rate falls in a cosine to 0 over the `epochs`, as a weight
    would go on jumping between two codes otherwise. It begins at the configuration's in fixed point
    and at a tenth of it for int8 (`FIXED_POINT_SHARE`, `INT8_SHARE`).

    The weights that are given back are those of the highest validation accuracy in rounded numbers,
    after whichever epoch or before the first; of equals the earliest. Without validation rows, as
    after a final training, they are those of the last epoch.

    Args:
        classifier: trained, a Functional model of float32 from scaled rows to probabilities; it
            stays as it is.
        dataset: raw rows.
        partition: training rows train, validation rows, if there are some, choose the epoch.
        configuration: of the run; its ``lr`` as a number, the one found where it was ``auto``.
        meter: measures the window ``quantization_aware_training``, tracing included.
        scheme: ``int8``, as LiteRT's converter rounds, or fixed point in all covered layers.
        epochs: how many to train, 1 or more.

    Returns:
        The classifier with other weights, floats that are not rounded; and what it took.

    Raises:
        ValueError: the scheme is unknown, `epochs` is below 1, the configuration's learning rate is
            not a number, a layer is not of float32, or XLA was asked for and cannot compile.
    """
    if scheme != "int8" and not isinstance(scheme, FixedPoint):
        raise ValueError(f"scheme {scheme}: must be int8 or fixed point")
    if epochs < 1:
        raise ValueError(f"epochs {epochs}: must be 1 or more")
    if isinstance(configuration.lr, str):
        raise ValueError(f"lr {configuration.lr}: fine-tuning takes the number that was found")
    copy = copied(classifier, rounding_of=partial(_rounding, scheme))
    share = INT8_SHARE if scheme == "int8" else FIXED_POINT_SHARE
    rows = Rows.of(dataset, partition)
    batch_size = rows.batch_size(configuration)
    steps = math.ceil(len(rows.train_y) / batch_size)
    schedule = replace(configuration, lr_schedule="cosine", warmup_epochs=0, max_epochs=epochs)
    warm_up()
    decides = len(rows.validation_y) > 0
    best = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=epochs, restore_best_weights=True
    )
    with meter.window(WINDOW) as window:
        copy.model.compile(
            optimizer=build_optimizer(schedule, share * configuration.lr, steps),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )
        before = _validation_accuracy(copy.model, rows) if decides else 0.0
        report = fit_in_graph(
            copy.model,
            (rows.train_x, rows.train_y),
            validation_data=(rows.validation_x, rows.validation_y) if decides else None,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[best] if decides else [],
            shuffle_seed=configuration.seed,
            class_weight=rows.class_weights(configuration),
            jit_compile=configuration.jit_compile,
        )
    tuned = copied(classifier)
    if not decides or max(report.history["val_accuracy"]) > before:
        tuned.take_weights(copy)
    return tuned.model, window.measurement


def _rounding(scheme: Literal["int8"] | FixedPoint, layer: keras.Layer) -> Rounding:
    if isinstance(scheme, FixedPoint):
        return FixedPointRounding(scheme, "float32")
    return Int8Rounding(layer)


def _validation_accuracy(model: keras.Model, rows: Rows) -> float:
    """By batches of the size that the training loop validates by, for the same ranges in int8."""
    blocks = (
        slice(start, start + VALIDATION_BATCH_SIZE)
        for start in range(0, len(rows.validation_y), VALIDATION_BATCH_SIZE)
    )
    hits = [
        model(rows.validation_x[block], training=False).numpy().argmax(axis=1)
        == rows.validation_y[block]
        for block in blocks
    ]
    # In float32, as the training loop tells it, so that equals are equal.
    return float(np.concatenate(hits).mean(dtype=np.float32))
