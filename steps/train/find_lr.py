"""Find a learning rate: raise it from batch to batch and look where the loss falls fastest.

The learning-rate range test of Smith 2017, "Cyclical Learning Rates for Training Neural Networks"
(arXiv:1506.01186), with the exponential sweep, the stop at 4 times the best loss and the pick of
the steepest descent of fastai's ``lr_find``.

Batches differ in how hard they are, which would hide a gentle descent and look like one where
there is none. So the same batches are also gone through at rate 0, and the curve that is looked at
is the difference: common random numbers, as in the comparison of simulations. Each of the two
passes is one call of the same graph.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.train.epoch_graph import Data
from steps.train.lending import inner_optimizer
from steps.train.rows import as_arrays, epoch_order, take

DIVERGED = 4.0
"""The sweep ends where the loss is that many times its best, both averaged over the last few
batches: of single rows, one is often four times as hard as the easiest."""

FEWEST_STEPS, MOST_STEPS = 100, 1000
"""By default one pass over the rows, but no fewer batches and no more than these."""

SMA_SHARE, MOST_SMA_SHARE, SMA_ROWS = 0.05, 0.2, 256
"""By default the moving average is over that share of the steps, or that many rows if these are
more (a mean over few rows is noise), but over no larger share than the second."""

FALL = 0.01
"""A descent takes at least that share of the loss away."""


@dataclass(frozen=True)
class LearningRateCurve:
    """What the sweep saw; all arrays are float64, shape (batches before the stop,).

    Attributes:
        rates: learning rate of each batch, growing.
        losses: of each batch alone.
        smoothed: `losses` less those of the same batches at rate 0, plus the mean of these, under
            a centred moving average applied twice.
        chosen: the rate at the steepest descent of `smoothed` over the logarithm of `rates`.
    """

    rates: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    smoothed: npt.NDArray[np.float64]
    chosen: float


def find_lr(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    batch_size: int,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    steps: int | None = None,
    sma: int | None = None,
    seed: int = 0,
) -> LearningRateCurve:
    """Train for a few batches at rising learning rates, and give back the model as it was.

    Weights, batch statistics, seeds, metrics and the optimizer's state and learning rate (a
    variable or a schedule) are restored to the last bit, also if this raises.

    Args:
        model: compiled.
        x: training rows, array or nest of arrays of shape (rows, ...).
        y: their labels, as the model's loss takes them.
        batch_size: that of the training to come.
        start_lr: of the first batch.
        end_lr: of the last one; rates grow by the same factor from batch to batch.
        steps: batches; by default one pass, at least `FEWEST_STEPS`, at most `MOST_STEPS`.
        sma: batches in the moving average; by default see `SMA_SHARE`.
        seed: of the order of the rows.

    Raises:
        ValueError: a value is out of range, or the loss falls nowhere.
    """
    _check_rates(start_lr, end_lr)
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size}: must be 1 or more")
    data, rows = as_arrays("training data", (x, y))
    batch_size = min(batch_size, rows)
    if steps is None:
        steps = min(max(FEWEST_STEPS, rows // batch_size), MOST_STEPS)
    if steps < 2:
        raise ValueError(f"steps {steps}: must be 2 or more")
    if sma is None:
        sma = _default_sma(steps, batch_size)
    if not 1 <= sma <= steps:
        raise ValueError(f"sma {sma}: must be 1 to {steps}, the number of steps")
    # Only the rows that the sweep sees need memory, however many there are.
    seen, places = np.unique(_batches(rows, batch_size, steps, seed), return_inverse=True)
    data = tf.nest.map_structure(lambda part: tf.constant(take(part, seen)), data)
    order = tf.constant(places.reshape(steps, batch_size), tf.int32)
    rates = np.geomspace(start_lr, end_lr, steps)

    model._symbolic_build(data_batch=tf.nest.map_structure(lambda t: t[:batch_size], data))
    with _learning_rate_of(model) as schedule:
        sweep = tf.function(_sweep_of(model, schedule, steps, sma), autograph=False)
        # A concrete function, lest TensorFlow warn of retracing after a few models.
        sweep = sweep.get_concrete_function(
            *tf.nest.map_structure(tf.TensorSpec.from_tensor, (data, order)),
            tf.TensorSpec((steps,), tf.float64),
            tf.TensorSpec((), tf.float64),
        )
        with _restored(model):
            still = sweep(data, order, np.zeros(steps), math.inf).numpy()
        with _restored(model):
            losses = sweep(data, order, rates, DIVERGED).numpy()
    return _curve(rates, losses, still, sma)


class _RateOfBatch(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that is set batch by batch while the graph is traced."""

    rate: tf.Tensor

    def __call__(self, step: Any) -> tf.Tensor:
        """The same at any `step`: loss scaling may leave steps out."""
        return self.rate


@contextmanager
def _learning_rate_of(model: keras.Model) -> Iterator[_RateOfBatch]:
    """Within, the optimizer's learning rate is what this says."""
    optimizer, schedule = inner_optimizer(model), _RateOfBatch()
    own = optimizer._learning_rate
    # Not by the setter, which would take the variable from the optimizer's for good.
    object.__setattr__(optimizer, "_learning_rate", schedule)
    try:
        yield schedule
    finally:
        object.__setattr__(optimizer, "_learning_rate", own)


@contextmanager
def _restored(model: keras.Model) -> Iterator[None]:
    """Afterwards every variable that training can change has its value from before."""
    variables = (*model.variables, *model.optimizer.variables, *model.metrics_variables)
    before = [(variable, tf.identity(variable._value)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable._value.assign(value)


def _sweep_of(
    model: keras.Model, schedule: _RateOfBatch, steps: int, sma: int
) -> Callable[[Data, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """``sweep(data, order, rates, limit)``: losses of the batches before the stop, float64.

    It stops at a loss that is not finite, or whose average over the last `sma` batches is above
    `limit` times the best; the batch that stops it is left out.
    """

    def sweep(data: Data, order: tf.Tensor, rates: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
        def body(
            index: tf.Tensor, losses: tf.Tensor, best: tf.Tensor, _: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            schedule.rate = tf.cast(rates[index], keras.config.floatx())
            model.reset_metrics()  # so that the mean over the epoch is that of one batch
            logs = model.train_step(
                tf.nest.map_structure(lambda part: tf.gather(part, order[index]), data)
            )
            losses = tf.tensor_scatter_nd_update(
                losses, [[index]], [tf.cast(logs["loss"], tf.float64)]
            )
            first = tf.maximum(index + 1 - sma, 0)
            recent = tf.reduce_mean(losses[first : index + 1])
            ends = ~tf.math.is_finite(recent) | (recent > limit * best)
            full = index + 1 >= sma
            return index + 1, losses, tf.where(full, tf.minimum(best, recent), best), ends

        infinite = tf.constant(math.inf, tf.float64)
        index, losses, _, ended = tf.while_loop(
            lambda index, losses, best, ends: (index < steps) & ~ends,
            body,
            (tf.constant(0), tf.zeros(steps, tf.float64), infinite, tf.constant(False)),
            parallel_iterations=1,
        )
        return losses[: index - tf.cast(ended, tf.int32)]

    return sweep


def _batches(rows: int, batch_size: int, steps: int, seed: int) -> npt.NDArray[np.int32]:
    """Rows of all batches, in the order of the epochs to come, shape (steps * batch_size,)."""
    needed = steps * batch_size
    epochs = range(math.ceil(needed / rows))
    return np.concatenate([epoch_order(rows, seed, epoch) for epoch in epochs])[:needed]


def _curve(
    all_rates: npt.NDArray[np.float64],
    all_losses: npt.NDArray[np.float64],
    still: npt.NDArray[np.float64],
    sma: int,
) -> LearningRateCurve:
    """Pick from the losses of the sweep and those of the same batches at rate 0."""
    batches = min(len(all_losses), len(still))
    if batches < 2:
        raise ValueError(_no_descent(all_rates, batches, "not finite, or growing at once"))
    rates, losses, still = all_rates[:batches], all_losses[:batches], still[:batches]
    level = still.mean()
    smoothed = level + _moving_average(_moving_average(losses - still, sma), sma)
    lowest = int(smoothed.argmin())
    if not smoothed[lowest] < level - FALL * abs(level):
        problem = f"{level:.4g} without learning, {smoothed[lowest]:.4g} at best"
        raise ValueError(_no_descent(all_rates, batches, problem))
    # Beyond the lowest point it can only fall back from a loss that had already risen.
    slope = np.gradient(smoothed, np.log(rates))[: lowest + 1]
    return LearningRateCurve(rates, losses, smoothed, float(rates[slope.argmin()]))


def _moving_average(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Of `width` values about each, fewer towards the ends."""
    window = np.ones(min(width, len(values)))
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def _no_descent(rates: npt.NDArray[np.float64], batches: int, problem: str) -> str:
    return (
        f"no learning rate found: the loss did not fall ({problem}) in {batches} of {len(rates)} "
        f"batches at learning rates {rates[0]:g} to {rates[-1]:g}; "
        "try another --start-lr or --end-lr, more --steps, or look at the data"
    )


def _default_sma(steps: int, batch_size: int) -> int:
    rows_worth = min(SMA_ROWS / batch_size, MOST_SMA_SHARE * steps)
    return max(1, round(max(SMA_SHARE * steps, rows_worth)))


def _check_rates(start_lr: float, end_lr: float) -> None:
    if not (math.isfinite(start_lr) and start_lr > 0):
        raise ValueError(f"start_lr {start_lr}: must be a number above 0")
    if not (math.isfinite(end_lr) and end_lr > start_lr):
        raise ValueError(f"end_lr {end_lr}: must be a number above start_lr, {start_lr}")
