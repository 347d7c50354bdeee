"""One graph call per epoch against `model.fit`: seconds per epoch, and from nothing to a target.

    python benchmarks/training.py [--quick] [--json FILE]

Three contenders train the same model on the same rows, in turns, in one process: Greenest with
``--jit-compile auto``; `model.fit` with its default arguments; and `model.fit` with its best ones,
which are ``steps_per_execution`` = the steps of an epoch over a cached and prefetched `tf.data`
that is never shuffled. A figure is the median over the turns.

The floor is what an epoch's multiply-adds (forward, both gradients, validation) would take at the
rate at which this machine multiplies matrices: no epoch can be faster. Beside it stands how many
times the floor an epoch of Greenest takes.
"""

import math
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import tensorflow as tf
from _rows import Row, arguments, in_turns, ratios, report, row
from sklearn.datasets import load_digits

from steps.train.fit import fit_in_graph
from steps.train.reuse import GraphCache
from steps.train.rule import TrainToAccuracy

NOISE = 0.97
"""A ratio above this is no slower than the other."""

MANY_EPOCHS = 10**6
"""Expected of a training whose steady state is measured: compilation is paid back."""

VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Work:
    """A model, rows to train it on, and the ratio to reach against default `model.fit`."""

    name: str
    build: Callable[[], keras.Model]
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    batch_size: int | None
    """None for all training rows."""
    goal: float | None = None
    quick: bool = False


def mlp(features: int, hidden: Sequence[int], classes: int, activation: str) -> keras.Model:
    model = keras.Sequential([keras.Input((features,))])
    for width in hidden:
        model.add(keras.layers.Dense(width, activation=activation))
    one = classes == 2
    model.add(keras.layers.Dense(1 if one else classes, "sigmoid" if one else "softmax"))
    return compiled(model, "binary_crossentropy" if one else "sparse_categorical_crossentropy")


def small_cnn() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPool2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return compiled(model, "sparse_categorical_crossentropy")


def resnet50() -> keras.Model:
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10)
    return compiled(model, "sparse_categorical_crossentropy")


def compiled(model: keras.Model, loss: str) -> keras.Model:
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])
    return model


def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x - x.mean(0)) / (x.std(0) + 1e-9), y


def synthetic(rows: int, shape: tuple[int, ...], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose class is where a random projection, with a bend, points."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, *shape)).astype(np.float32)
    flat = x.reshape(rows, -1)
    scores = flat @ generator.normal(size=(flat.shape[1], classes)) + np.abs(flat[:, :1])
    return x, scores.argmax(1)


DIGITS: dict[str, Any] = {"build": lambda: mlp(64, [256], 10, "sigmoid"), "data": digits}
TABLE: dict[str, Any] = {
    "build": lambda: mlp(4, [6, 6], 2, "relu"),
    "data": lambda: synthetic(1372, (4,), 2),
}
LARGE: dict[str, Any] = {
    "build": lambda: mlp(120, [256], 10, "relu"),
    "data": lambda: synthetic(66_247, (120,), 10),
}
WORKS = [
    Work("digits batch 25", **DIGITS, batch_size=25),
    Work("digits batch 128", **DIGITS, batch_size=128, goal=30, quick=True),
    Work("digits batch full", **DIGITS, batch_size=None),
    Work("1372x4 batch 1", **TABLE, batch_size=1, goal=300),
    Work("1372x4 batch 8", **TABLE, batch_size=8),
    Work("1372x4 batch 32", **TABLE, batch_size=32, goal=100, quick=True),
    Work("1372x4 batch 128", **TABLE, batch_size=128),
    Work("1372x4 batch full", **TABLE, batch_size=None),
    Work("66247x120 batch 64", **LARGE, batch_size=64),
    Work("66247x120 batch 128", **LARGE, batch_size=128, goal=5),
    Work("66247x120 batch 1024", **LARGE, batch_size=1024),
    Work("66247x120 batch 8192", **LARGE, batch_size=8192),
    Work("cnn 28x28x1", small_cnn, lambda: synthetic(2560, (28, 28, 1), 10), 64, 2.5, quick=True),
    Work("resnet50 32x32x3", resnet50, lambda: synthetic(320, (32, 32, 3), 10), 64, NOISE),
]
"""The issue's table. Goals are for a quiet machine with 2 cores."""

COLD_STARTS = [("digits batch 128", 0.97, 8.0), ("1372x4 batch 32", 0.99, 8.0)]
"""Work, target validation accuracy (3 epochs in a row), ratio to reach."""


class Marks(keras.callbacks.Callback):  # type: ignore[misc]
    """When each epoch ended, of a training that ends after so many."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.at: list[float] = []
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the time."""
        self.at.append(time.perf_counter())
        self.model.stop_training = len(self.at) == self._epochs


Fit = Callable[[keras.callbacks.Callback], Any]
"""Trains until the callback ends it."""


def split(work: Work) -> tuple[Any, Any, int]:
    """Training and validation (x, y), and the batch size."""
    x, y = work.data()
    shuffled = np.random.default_rng(0).permutation(len(x))
    x, y = x[shuffled], y[shuffled]
    y = y[:, None].astype(np.float32) if y.max() == 1 else y
    x = x.astype(np.float32)
    rows = math.ceil(len(x) * (1 - VALIDATION_SHARE))
    return (x[:rows], y[:rows]), (x[rows:], y[rows:]), work.batch_size or rows


def in_graph(work: Work) -> tuple[Fit, list[Any]]:
    """Greenest, and the reports of its fits."""
    train, validation, batch_size = split(work)
    model, cache, reports = work.build(), GraphCache(), []

    def fit(callback: keras.callbacks.Callback) -> None:
        reports.append(
            fit_in_graph(
                model,
                train,
                validation_data=validation,
                batch_size=batch_size,
                epochs=MANY_EPOCHS,
                epochs_expected=MANY_EPOCHS,
                callbacks=[callback],
                cache=cache,
            )
        )

    return fit, reports


def by_default(work: Work) -> Fit:
    """`model.fit` as people call it."""
    (x, y), validation, batch_size = split(work)
    model = work.build()
    return lambda callback: model.fit(
        x,
        y,
        validation_data=validation,
        batch_size=batch_size,
        epochs=MANY_EPOCHS,
        callbacks=[callback],
        verbose=0,
    )


def at_its_best(work: Work) -> Fit:
    """`model.fit` with what Keras offers against its own overhead."""
    train, validation, batch_size = split(work)
    model = work.build()
    model.steps_per_execution = math.ceil(len(train[0]) / batch_size)
    batches, validation_batches = (
        tf.data.Dataset.from_tensor_slices(data).batch(size).cache().prefetch(tf.data.AUTOTUNE)
        for data, size in ((train, batch_size), (validation, max(batch_size, 1024)))
    )
    return lambda callback: model.fit(
        batches,
        validation_data=validation_batches,
        epochs=MANY_EPOCHS,
        callbacks=[callback],
        verbose=0,
    )


def seconds_per_epoch(fit: Fit, epochs: int) -> float:
    """Median of `epochs` epochs after a first one, which is not counted."""
    marks = Marks(epochs + 1)
    fit(marks)
    return median(np.diff(marks.at).tolist())


def steady_state(work: Work, turns: int, turn_s: float, multiply_adds_per_s: float) -> list[Row]:
    ours, reports = in_graph(work)
    fits = {"graph": ours, "default": by_default(work), "best": at_its_best(work)}
    ours(Marks(8))  # trace, compile, decide

    def side(fit: Fit) -> Callable[[], float]:
        epochs = max(2, min(200, round(turn_s / seconds_per_epoch(fit, 2))))
        return lambda: seconds_per_epoch(fit, epochs)

    times = in_turns({name: side(fit) for name, fit in fits.items()}, turns)
    floor_s = multiply_adds(work) / multiply_adds_per_s
    xla = f"XLA {reports[-1].jit_compile}"
    gained = ", ".join(
        f"{median(ratios(times, other, 'graph')):.1f}x {other}" for other in ("default", "best")
    )
    print(f"{work.name}: {gained}; {xla}: {reports[-1].jit_compile_reason}", flush=True)
    return [
        row(f"{work.name}: epoch of graph, {xla}", times["graph"], "s"),
        row(f"{work.name}: epoch of default model.fit", times["default"], "s"),
        row(f"{work.name}: epoch of best model.fit", times["best"], "s"),
        row(
            f"{work.name}: default model.fit / graph",
            ratios(times, "default", "graph"),
            "x",
            at_least=work.goal,
        ),
        row(
            f"{work.name}: best model.fit / graph",
            ratios(times, "best", "graph"),
            "x",
            at_least=NOISE,
        ),
        row(f"{work.name}: graph / floor", [time_s / floor_s for time_s in times["graph"]], "x"),
    ]


def cold_start(work: Work, target: float, goal: float, turns: int) -> Row:
    """From a built model to the target, tracing and compilation included, in turns."""
    train, validation, batch_size = split(work)
    quotients = []
    for turn in range(turns):
        seconds, epochs = [], []
        for fit in (graph_afresh, keras_afresh):
            random.seed(turn)  # the weights of Keras' initializers follow from it
            model, rule = work.build(), TrainToAccuracy(target, patience=3)
            began = time.perf_counter()
            fit(model, train, validation, batch_size, rule, turn)
            seconds.append(time.perf_counter() - began)
            epochs.append(len(model.history.epoch))
        quotients.append(seconds[1] / seconds[0])
        print(
            f"{work.name:22} to {target:.0%}: model.fit {seconds[1]:6.2f} s ({epochs[1]} epochs), "
            f"graph {seconds[0]:5.2f} s ({epochs[0]} epochs), {quotients[-1]:.1f}x",
            flush=True,
        )
    name = f"{work.name}: cold start to {target:.0%}, model.fit / graph"
    return row(name, quotients, "x", at_least=goal)


def graph_afresh(
    model: keras.Model,
    train: Any,
    validation: Any,
    batch_size: int,
    rule: TrainToAccuracy,
    seed: int,
) -> None:
    fit_in_graph(
        model,
        train,
        validation_data=validation,
        batch_size=batch_size,
        epochs=500,
        callbacks=[rule],
        shuffle_seed=seed,
        cache=GraphCache(),
    )


def keras_afresh(
    model: keras.Model,
    train: Any,
    validation: Any,
    batch_size: int,
    rule: TrainToAccuracy,
    seed: int,
) -> None:
    tf.random.set_seed(seed)
    model.fit(
        *train,
        validation_data=validation,
        batch_size=batch_size,
        epochs=500,
        callbacks=[rule],
        verbose=0,
    )


def multiply_adds(work: Work) -> int:
    """Of an epoch: forward, gradient by weights, gradient by inputs (not of the first layer)."""
    model = work.build()
    (x, _), (x_val, _), _ = split(work)
    layers = [forward_multiply_adds(layer) for layer in model.layers]
    forward = sum(layers)
    first = next(count for count in layers if count)
    return len(x) * (3 * forward - first) + len(x_val) * forward


def forward_multiply_adds(layer: keras.Layer) -> int:
    """Of one row through a dense or convolutional layer; 0 for others."""
    if not isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
        return 0
    places = math.prod(layer.output.shape[1:-1])
    return int(math.prod(layer.kernel.shape) * places)


def measured_multiply_adds_per_s(size: int = 2048, repeats: int = 7) -> float:
    """The best rate of a float32 matrix product."""
    a = tf.random.stateless_normal((size, size), (0, 0))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        tf.matmul(a, a).numpy()
        times.append(time.perf_counter() - began)
    return size**3 / min(times)


def main() -> None:
    options = arguments(__doc__.partition("\n")[0])
    warnings.filterwarnings("ignore", "`shuffle=True` was passed")
    turns, turn_s = (3, 0.2) if options.quick else (7, 0.5)
    works = [work for work in WORKS if work.quick or not options.quick]
    rate = measured_multiply_adds_per_s()
    rows = [row("multiply-adds of a matrix product", [rate / 1e9], "G/s")]
    for work in works:
        rows += steady_state(work, turns, turn_s, rate)
    by_name = {work.name: work for work in works}
    for name, target, goal in COLD_STARTS:
        rows.append(cold_start(by_name[name], target, goal, 1 if options.quick else 5))
    report(rows, options.json)


if __name__ == "__main__":
    main()
