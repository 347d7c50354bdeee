"""Small models, small data, and `model.fit` on the very batches of `fit_in_graph`."""

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from steps.train.fit import FitReport, fit_in_graph
from steps.train.rows import epoch_order

layers = keras.layers

ROWS, VALIDATION_ROWS, BATCH_SIZE = 90, 34, 16
"""90 = 5 * 16 + 10: the last batch is partial."""


def table(features: int = 5, classes: int = 3) -> tuple[Any, Any]:
    """Training and validation (x, y) of a learnable problem; y is float (rows, 1) for 2 classes."""
    generator = np.random.default_rng(7)
    x = generator.normal(size=(ROWS + VALIDATION_ROWS, features)).astype(np.float32)
    y = (x @ generator.normal(size=(features, classes))).argmax(1)
    if classes == 2:
        y = y.astype(np.float32)[:, None]
    return (x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:])


def images() -> tuple[Any, Any]:
    """The same, as 8 by 8 grey images of 3 classes."""
    (x, y), (x_val, y_val) = table(64)
    return (x.reshape(-1, 8, 8, 1), y), (x_val.reshape(-1, 8, 8, 1), y_val)


def mlp(optimizer: Any = "adam", seed: int = 0, width: int = 8, **compiling: Any) -> keras.Model:
    random.seed(seed)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(width, activation="relu"),
            layers.Dense(3, activation="softmax", dtype=softmax_dtype()),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **compiling)
    return model


def cnn_with_batch_norm(optimizer: Any = "adam") -> keras.Model:
    random.seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def binary(optimizer: Any = "rmsprop") -> keras.Model:
    random.seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, activation="relu"),
            layers.Dense(6, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


def softmax_dtype() -> str | None:
    """Probabilities are float32 where the policy is mixed, as Keras advises."""
    mixed = keras.config.dtype_policy().name.startswith("mixed")
    return "float32" if mixed else None


def state(model: keras.Model) -> list[np.ndarray]:
    """All that training changes: weights, batch statistics, seeds, the optimizer's variables."""
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


def same_state(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def farthest(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Largest absolute difference of two states."""
    return max(
        float(np.abs(a.astype(float) - b.astype(float)).max())
        for a, b in zip(one, other, strict=True)
    )


def keras_fit(
    model: keras.Model, data: Any, epochs: range, seed: int | None = 0, **options: Any
) -> dict[str, list[float]]:
    """`model.fit` without validation, epoch by epoch on rows in the order of `fit_in_graph`."""
    (x, y), _ = data
    weights = options.pop("sample_weight", None)
    history: dict[str, list[float]] = {}
    for epoch in epochs:
        order = epoch_order(len(x), seed, epoch)
        fit = model.fit(
            x[order],
            y[order],
            sample_weight=None if weights is None else weights[order],
            batch_size=BATCH_SIZE,
            shuffle=False,
            verbose=0,
            **options,
        )
        for name, values in fit.history.items():
            history.setdefault(name, []).extend(values)
    return history


def graph_fit(model: keras.Model, data: Any, epochs: int, **options: Any) -> FitReport:
    """`fit_in_graph` without XLA, unless asked for."""
    options = {"batch_size": BATCH_SIZE, "jit_compile": "off", **options}
    return fit_in_graph(model, data[0], validation_data=data[1], epochs=epochs, **options)
