"""Training rows: as arrays of one precision, their weights, their order, and their size."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import psutil
import tensorflow as tf
from tensorflow.python.client import device_lib

from steps.scaling import ScaledRows
from steps.train.epoch_graph import Data

SHARE_OF_MEMORY = 0.5
"""Of the free memory, for resident data: the rest is for activations and the optimizer."""


def as_arrays(name: str, data: Data) -> tuple[Data, int]:
    """The data with its floats as `keras.config.floatx()`, as `model.fit` has them; its rows.

    Args:
        name: of the data, for messages.
        data: (x, y) or (x, y, sample_weight), None for no weights. `ScaledRows` stay what they
            are, to be scaled when it is known whether all of them fit in memory.

    Raises:
        ValueError: the parts have different numbers of rows, or none.
    """
    present = tuple(part for part in data if part is not None)
    arrays = tf.nest.map_structure(_as_array, present)
    rows = {len(array) for array in tf.nest.flatten(arrays)}
    if len(rows) != 1 or rows == {0}:
        counts = ", ".join(map(str, sorted(rows)))
        raise ValueError(f"{name} has {counts} rows: all parts must have the same, at least one")
    return arrays, rows.pop()


def _as_array(values: Any) -> Any:
    array = values if isinstance(values, tf.Tensor | ScaledRows) else np.asarray(values)
    floatx = keras.config.floatx()
    dtype = keras.backend.standardize_dtype(array.dtype)
    if not keras.backend.is_float_dtype(dtype) or dtype == floatx:
        return array
    return tf.cast(array, floatx) if tf.is_tensor(array) else array.astype(floatx)


def resident(data: Any) -> tf.Tensor:
    """An array, a tensor or `ScaledRows` as one tensor in memory."""
    return data if tf.is_tensor(data) else tf.convert_to_tensor(np.asarray(data))


def take(data: Any, rows: npt.NDArray[np.integer[Any]] | slice) -> npt.NDArray[Any]:
    """Some rows of an array, a tensor or `ScaledRows`."""
    return data[rows] if isinstance(data, ScaledRows) else np.asarray(data)[rows]


def class_weights(y: Any, weights: Mapping[int, float]) -> npt.NDArray[np.float32]:
    """A weight per row, shape (rows,): that of its class, 1 for classes that have none.

    Args:
        y: class indices of shape (rows,) or (rows, 1), or one-hot of shape (rows, classes).
        weights: by class index.
    """
    classes = np.asarray(y)
    if classes.ndim > 1:
        classes = classes[:, 0] if classes.shape[-1] == 1 else classes.argmax(-1)
    labels, places = np.unique(np.round(classes).astype(int), return_inverse=True)
    return np.array([weights.get(int(label), 1.0) for label in labels], np.float32)[places]


def epoch_order(rows: int, seed: int | None, epoch: int) -> npt.NDArray[np.int32]:
    """The order of the training rows in an epoch: a permutation, int32, shape (rows,).

    Drawn on the host by ``numpy.random.default_rng((seed, epoch))``, so that an epoch's order
    follows from its number alone and a resumed training goes on as it would have.

    Args:
        rows: how many there are.
        seed: of all epochs; None leaves the rows as they are.
        epoch: counted from 0.
    """
    order = np.arange(rows, dtype=np.int32)
    return order if seed is None else np.random.default_rng((seed, epoch)).permutation(order)


def size_bytes(*data: Data) -> int:
    """Memory that the arrays take."""
    return sum(
        int(np.prod(array.shape)) * tf.as_dtype(array.dtype).size for array in tf.nest.flatten(data)
    )


def resident_limit_bytes() -> int:
    """Half the memory that the device which computes has to give."""
    gpus = [d.memory_limit for d in device_lib.list_local_devices() if d.device_type == "GPU"]
    free = min(gpus) if gpus else psutil.virtual_memory().available
    return int(free * SHARE_OF_MEMORY)
