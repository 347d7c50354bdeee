"""`model.fit` over `tf.data`, for what one graph call cannot hold."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.train.epoch_graph import Augment, Data, Plan
from steps.train.rows import epoch_order, take


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Times the epochs and the validation passes of a `model.fit`."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.epoch_times_s: list[float] = []
        self.validation_time_s = 0.0
        self._epoch_began = self._validation_began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The epoch begins."""
        self.epoch = epoch
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """The epoch ends."""
        self.epoch_times_s.append(time.perf_counter() - self._epoch_began)

    def on_test_begin(self, logs: Any = None) -> None:
        """The validation pass begins."""
        self._validation_began = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:
        """The validation pass ends."""
        self.validation_time_s += time.perf_counter() - self._validation_began


def fit_streamed(
    model: keras.Model,
    plan: Plan,
    train: Data,
    validation: Data,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
    shuffle_seed: int | None,
    jit_compile: bool | None,
) -> Clock:
    """Train by `model.fit`, batches gathered from host memory ahead of time.

    The order of the rows is that of `fit_in_graph`, and so, without augmentation, are the weights.

    Args:
        model: compiled.
        plan: sizes of an epoch.
        train: training arrays, or rows that are scaled as they are gathered.
        validation: validation arrays or rows; empty for none.
        epochs: how many at most.
        callbacks: Keras'.
        shuffle_seed: of `epoch_order`.
        jit_compile: whether each batch is compiled by XLA; None leaves it as the model has it.
    """
    clock = Clock()
    before = model.steps_per_execution, model.jit_compile
    model.steps_per_execution = plan.steps
    if jit_compile is not None:
        model.jit_compile = jit_compile
    model.train_function = model.test_function = None
    try:
        model.fit(
            _batches(train, plan, shuffle_seed, clock),
            validation_data=_validation_batches(validation, plan) if validation else None,
            epochs=epochs,
            callbacks=[clock, *callbacks],
            shuffle=False,  # `epoch_order` does
            verbose=0,
        )
    finally:
        model.steps_per_execution, model.jit_compile = before
        model.train_function = model.test_function = None
    return clock


Order = Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int]]
"""Row numbers of each batch, the seed of its augmentation, and its number."""


def _batches(data: Data, plan: Plan, shuffle_seed: int | None, clock: Clock) -> tf.data.Dataset:
    """The batches of the epoch that is under way whenever the dataset is gone through anew."""

    def order() -> Order:
        permutation = epoch_order(plan.rows, shuffle_seed, clock.epoch)
        seed = np.array([shuffle_seed or 0, clock.epoch], np.int32)
        for index in range(plan.steps):
            yield permutation[index * plan.batch_size :][: plan.batch_size], seed, index

    return _gathered(data, order, plan.steps, plan.augment)


def _validation_batches(data: Data, plan: Plan) -> tf.data.Dataset:
    def order() -> Order:
        rows = np.arange(plan.validation_rows, dtype=np.int32)
        for index in range(plan.validation_steps):
            size = plan.validation_batch_size
            yield rows[index * size :][:size], np.zeros(2, np.int32), index

    return _gathered(data, order, plan.validation_steps, None)


def _gathered(
    data: Data, order: Callable[[], Order], steps: int, augment: Augment | None
) -> tf.data.Dataset:
    parts = tf.nest.flatten(data)

    def gather(rows: npt.NDArray[np.int32]) -> list[npt.NDArray[Any]]:
        return [take(part, rows) for part in parts]

    def batch(rows: tf.Tensor, seed: tf.Tensor, index: tf.Tensor) -> Data:
        tensors = tf.numpy_function(gather, [rows], [tf.as_dtype(part.dtype) for part in parts])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.set_shape((None, *part.shape[1:]))
        x, y, *weights = tf.nest.pack_sequence_as(data, tensors)
        if augment is not None:
            x, y = augment(x, y, tf.random.experimental.stateless_fold_in(seed, index))
        return (x, y, *weights)

    signature = tuple(tf.TensorSpec(shape, tf.int32) for shape in ((None,), (2,), ()))
    return (
        tf.data.Dataset.from_generator(order, output_signature=signature)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .map(batch)
        .prefetch(tf.data.AUTOTUNE)
    )
