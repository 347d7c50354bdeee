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
import os
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

SMALL_LOOP_BYTES = 100_000
"""XLA makes one machine-code function of a loop whose body moves fewer bytes than this, instead of
dispatching each of its operations (default: 1024). Measured on a 4-6-6-1 MLP, 2 cores, TF 2.21: a
step of one row takes 0.8 µs instead of 4.8, of 32 rows 1.4 instead of 17; larger bodies gain
nothing, and from a few megabytes on lose XLA's fast matrix products."""


def compile_small_loops_whole() -> None:
    """Tell XLA of `SMALL_LOOP_BYTES`, unless the user has set options of XLA's backend.

    It reads its flags from the environment, once, when it compiles for the first time.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_extra_options" not in flags:
        option = f"xla_cpu_small_while_loop_byte_threshold={SMALL_LOOP_BYTES}"
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options={option}".strip()


compile_small_loops_whole()


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
