"""XLA where it pays: what it would save, what it would cost, and a trial that stays small.

XLA takes away what TensorFlow spends on each operation beside its arithmetic, so it gains most
where a batch is tiny. It costs a second trace and a compilation, and on a CPU its convolutions are
ten to thirty times slower than TensorFlow's. Hence, for ``--jit-compile auto``:

1. It is not tried where it cannot win: a model with convolutions or pooling, on a CPU.
2. It is tried once the epochs likely to remain would save more than the compilation costs. Unless
   the caller knows better, as many epochs are likely to remain as have been trained: the rule of
   Lindy, under which one never pays much more than twice what the wiser choice would have cost
   (ski rental; Karlin, Manasse, Rudolph & Sleator 1988, "Competitive snoopy caching").
3. The trial is two stretches of a few batches, real training both, and the faster graph is kept.
"""

import math
from collections.abc import Iterable
from typing import Literal

import tensorflow as tf

JitCompile = Literal["on", "off", "auto"]

DISPATCH_S = 0.6e-6
"""What TensorFlow spends on an operation beside its arithmetic; measured, 2 cores, TF 2.21."""

MOST_OF_A_STEP = 0.95
"""XLA saves no more of a batch than this."""

COMPILE_TIMES = 3.5
"""Tracing for XLA and compiling takes that many times the tracing and optimizing without."""

TRIAL_S = 0.03
"""A trial is as many batches as take this long without XLA, and at least one."""

SLOW_ON_CPU = ("Conv", "DepthwiseConv", "MaxPool", "AvgPool")
"""Beginnings of the types of operations that XLA does badly on a CPU."""


def cannot_win(operation_types: Iterable[str]) -> str | None:
    """Why XLA is not worth a trial, or None.

    Args:
        operation_types: of all operations in the graph.
    """
    slow = sorted(name for name in operation_types if name.startswith(SLOW_ON_CPU))
    if slow and not tf.config.list_logical_devices("GPU"):
        return f"XLA on a CPU is many times slower at {slow[0]}"
    return None


def is_worth_a_trial(
    operations_per_step: int, step_time_s: float, steps_remaining: int, compile_time_s: float
) -> bool:
    """Whether XLA can be expected to save more than its compilation costs.

    Args:
        operations_per_step: how many operations a batch dispatches.
        step_time_s: what a batch takes without XLA.
        steps_remaining: batches that are likely to remain.
        compile_time_s: what tracing and optimizing without XLA took.
    """
    saving_s = min(operations_per_step * DISPATCH_S, MOST_OF_A_STEP * step_time_s)
    return saving_s * steps_remaining > COMPILE_TIMES * compile_time_s


def trial_steps(step_time_s: float, steps: int) -> int:
    """How many of the `steps` of an epoch to try, given what a batch takes without XLA."""
    return min(steps, max(1, math.ceil(TRIAL_S / step_time_s)))
