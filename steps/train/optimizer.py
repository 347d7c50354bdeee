"""The optimizer, its learning-rate schedule, and the horizon that the schedule runs over."""

import math
from typing import Any

import keras
from keras import ops

from steps.configuration import OPTIMIZERS_WITH_MOMENTUM, Configuration

FINAL_SHARE = 0.01
"""Of the learning rate, left at the horizon by exponential and polynomial decay."""

COSINE_CYCLES = 3
CYCLE_EPOCHS = 8
"""Length of a triangular cycle; Smith 2017 finds half cycles of 2 to 10 epochs good."""

CYCLE_BASE_SHARE = 0.25
"""Of the learning rate, at the foot of a triangle; Smith 2017 takes a third or a fourth."""


def build_optimizer(
    configuration: Configuration, learning_rate: float, steps_per_epoch: int
) -> keras.Optimizer:
    """The Keras optimizer of that name, with all that the configuration says of it.

    Args:
        configuration: names optimizer, momentum, weight decay, schedule and warm-up; its
            ``max_epochs`` is the horizon of the schedule.
        learning_rate: highest rate of the schedule.
        steps_per_epoch: gradient steps in an epoch.
    """
    options: dict[str, Any] = {}
    if configuration.optimizer in OPTIMIZERS_WITH_MOMENTUM:
        options["momentum"] = configuration.momentum
    if configuration.weight_decay is not None:
        options["weight_decay"] = configuration.weight_decay
    rate = build_schedule(configuration, learning_rate, steps_per_epoch)
    # Keras would number the optimizers of a process, and TensorFlow keeps 35 kB for good for each
    # new name of a variable.
    options["name"] = configuration.optimizer
    optimizer = keras.optimizers.get(
        {"class_name": configuration.optimizer, "config": {"learning_rate": 0.0, **options}}
    )
    return type(optimizer).from_config({**optimizer.get_config(), "learning_rate": rate})


def build_schedule(
    configuration: Configuration, learning_rate: float, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a number, or as a function of the gradient step.

    The horizon is the step budget of the run: a schedule that ends after a fixed number of steps
    says something else for each batch size.
    """
    schedules = keras.optimizers.schedules
    warmup_steps = configuration.warmup_epochs * steps_per_epoch
    horizon = max(1, configuration.max_epochs * steps_per_epoch - warmup_steps)
    match configuration.lr_schedule:
        case "exponential":
            rate = schedules.ExponentialDecay(learning_rate, horizon, FINAL_SHARE)
        case "polynomial":
            rate = schedules.PolynomialDecay(learning_rate, horizon, FINAL_SHARE * learning_rate)
        case "cosine":
            rate = schedules.CosineDecay(learning_rate, horizon)
        case "cosine_restarts":
            # Each cycle is twice as long as the one before, so they add to 2^cycles - 1 firsts.
            first = math.ceil(horizon / (2**COSINE_CYCLES - 1))
            rate = schedules.CosineDecayRestarts(learning_rate, first, t_mul=2.0)
        case "cyclical":
            half_cycle = max(1, CYCLE_EPOCHS * steps_per_epoch // 2)
            rate = Triangular(CYCLE_BASE_SHARE * learning_rate, learning_rate, half_cycle)
        case _:
            rate = learning_rate
    return Warmup(rate, learning_rate, warmup_steps) if warmup_steps else rate


class Triangular(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Up and down between two rates in straight lines.

    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186.
    """

    def __init__(self, base: float, top: float, half_cycle: int) -> None:
        """Args: lowest rate, highest rate, steps from one to the other."""
        self.base, self.top, self.half_cycle = base, top, half_cycle

    def __call__(self, step: Any) -> Any:
        """The rate at a gradient step, counted from 0."""
        position = ops.cast(step, "float32") / self.half_cycle
        from_top = ops.abs(position - 2 * ops.floor(position / 2) - 1)
        return self.base + (self.top - self.base) * (1 - from_top)

    def get_config(self) -> dict[str, float]:
        """What `__init__` takes."""
        return {"base": self.base, "top": self.top, "half_cycle": self.half_cycle}


class Warmup(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Straight from near 0 up to a rate, and then on by another schedule.

    Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv:1706.02677.
    """

    def __init__(self, schedule: Any, top: float, steps: int) -> None:
        """Args: the schedule or number that follows, the rate to reach, and in how many steps."""
        self.schedule, self.top, self.steps = schedule, top, steps

    def __call__(self, step: Any) -> Any:
        """The rate at a gradient step, counted from 0."""
        position = ops.cast(step, "float32")
        rising = self.top * (position + 1) / self.steps
        after = ops.maximum(position - self.steps, 0)
        follows = self.schedule(after) if callable(self.schedule) else self.schedule
        return ops.where(position < self.steps, rising, follows)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        schedule = self.schedule
        if callable(schedule):
            schedule = keras.optimizers.schedules.serialize(schedule)
        return {"schedule": schedule, "top": self.top, "steps": self.steps}
