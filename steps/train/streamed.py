"""`model.fit` over `tf.data`, for what one graph call cannot hold."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.train.epoch_graph import Data, Plan
from steps.train.rows import epoch_order


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
        train: training arrays.
        validation: validation arrays; empty for none.
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
            validation_data=validation or None,
            validation_batch_size=plan.validation_batch_size,
            epochs=epochs,
            callbacks=[clock, *callbacks],
            shuffle=False,  # `epoch_order` does
            verbose=0,
        )
    finally:
        model.steps_per_execution, model.jit_compile = before
        model.train_function = model.test_function = None
    return clock


def _batches(data: Data, plan: Plan, shuffle_seed: int | None, clock: Clock) -> tf.data.Dataset:
    """The batches of the epoch that is under way whenever the dataset is gone through anew."""
    arrays = [np.asarray(array) for array in tf.nest.flatten(data)]

    def gathered(rows: npt.NDArray[np.int32]) -> list[npt.NDArray[Any]]:
        return [array[rows] for array in arrays]

    def order() -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int]]:
        permutation = epoch_order(plan.rows, shuffle_seed, clock.epoch)
        seed = np.array([shuffle_seed or 0, clock.epoch], np.int32)
        for index in range(plan.steps):
            yield permutation[index * plan.batch_size :][: plan.batch_size], seed, index

    def batch(rows: tf.Tensor, seed: tf.Tensor, index: tf.Tensor) -> Data:
        tensors = tf.numpy_function(gathered, [rows], [array.dtype for array in arrays])
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.set_shape((None, *array.shape[1:]))
        x, y, *weights = tf.nest.pack_sequence_as(data, tensors)
        if plan.augment is not None:
            x, y = plan.augment(x, y, tf.random.experimental.stateless_fold_in(seed, index))
        return (x, y, *weights)

    signature = tuple(tf.TensorSpec(shape, tf.int32) for shape in ((None,), (2,), ()))
    return (
        tf.data.Dataset.from_generator(order, output_signature=signature)
        .apply(tf.data.experimental.assert_cardinality(plan.steps))
        .map(batch)
        .prefetch(tf.data.AUTOTUNE)
    )
