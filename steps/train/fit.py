"""`fit_in_graph`: what ``model.fit`` does, one graph call per epoch."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.train.epoch_graph import Augment, Data, EpochResult, Plan
from steps.train.lending import Storage
from steps.train.reuse import GraphCache, Graphs, graph_key
from steps.train.rows import (
    as_arrays,
    class_weights,
    epoch_order,
    resident,
    resident_limit_bytes,
    size_bytes,
)
from steps.train.runner import Compiling, EpochRunner
from steps.train.streamed import fit_streamed
from steps.train.xla import JitCompile

VALIDATION_BATCH_SIZE = 1024
"""At least so many rows per validation batch: batch sizes are for gradients, and it has none."""

LARGEST_SEED = 2**31 - 1
"""Of TensorFlow's int32."""

GRAPHS = GraphCache()
"""The graphs of this process."""


@dataclass(frozen=True)
class FitReport:
    """How a model was trained.

    Attributes:
        history: by metric, its value after each epoch, as `keras.callbacks.History` has it.
        epoch_times_s: of each epoch, validation included, compilation and callbacks not.
        validation_time_s: of all validation passes.
        batch_losses: float64, shape (epochs, steps): the loss of each batch alone; NaN for batches
            of the last epoch that were not trained, None where `model.fit` trained, which tells
            running means only.
        compile_time_s: of tracing, optimizing and XLA in this fit; None where `model.fit` did it
            inside its first epoch.
        graph_compile_time_s: of the graphs that were used, in whichever fit that was.
        graph_key: names the graphs in this process; None if no other fit can share them.
        graph_reused: whether they were there before.
        jit_compile: whether XLA trained the last epoch.
        jit_compile_reason: one sentence.
        ended_within: whether the last epoch ended before its last batch.
        engine: what trained.
        engine_reason: one sentence.
    """

    history: dict[str, list[float]]
    epoch_times_s: tuple[float, ...]
    validation_time_s: float
    batch_losses: npt.NDArray[np.float64] | None
    compile_time_s: float | None
    graph_compile_time_s: float | None
    graph_key: str | None
    graph_reused: bool
    jit_compile: Literal["on", "off"]
    jit_compile_reason: str
    ended_within: bool
    engine: Literal["graph", "model.fit"]
    engine_reason: str


def fit_in_graph(
    model: keras.Model,
    data: Data,
    *,
    validation_data: Data | None = None,
    batch_size: int = 32,
    validation_batch_size: int | None = None,
    epochs: int = 1,
    epochs_expected: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    shuffle_seed: int | None = 0,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    augment: Augment | None = None,
    jit_compile: JitCompile = "auto",
    memory_limit_bytes: int | None = None,
    compiling: Compiling = nullcontext,
    ends_within: Callable[[], bool] | None = None,
    cache: GraphCache = GRAPHS,
) -> FitReport:
    """Train `model` as ``model.fit`` would, to the same weights, one graph call per epoch.

    Without XLA, float32 weights are those of ``model.fit`` to the last bit, if that gets the rows
    in the order of `epoch_order` and its batches are small enough to be computed in one way.
    Callbacks see what they see of ``model.fit(..., steps_per_execution=steps)``: batch hooks once
    an epoch. Here that is after the validation pass.

    Args:
        model: compiled, of any kind; its variables are its own again when this returns.
        data: (x, y), arrays or nests of arrays whose first axis is rows; floats become
            `keras.config.floatx()`.
        validation_data: (x, y) or (x, y, sample_weight).
        batch_size: rows per gradient, at most all rows.
        validation_batch_size: rows at once in validation; by default `VALIDATION_BATCH_SIZE` or
            `batch_size`, whichever is more. Affects rounding of val_loss alone.
        epochs: at most so many; callbacks end it earlier by ``model.stop_training``.
        epochs_expected: how many are likely, if the caller knows; for ``jit_compile="auto"``.
            Without callbacks nothing can end it early, so that all `epochs` are.
        callbacks: Keras'.
        shuffle_seed: of `epoch_order` and of `augment`; None keeps the rows in their order.
        sample_weight: as in ``model.fit``, one per row.
        class_weight: as in ``model.fit``, by class index.
        augment: changes training batches inside the graph; give it an attribute ``graph_key``
            (text that says all about it) to let fits share the graph.
        jit_compile: compile by XLA: on, off, or auto (see `steps.train.xla`).
        memory_limit_bytes: of resident data; above it `model.fit` trains from host memory. By
            default half the memory that is free.
        compiling: makes a context for each stretch of tracing and compiling, to measure it apart.
        ends_within: asked about twice a second within an epoch whether to end it, and the fit,
            where it is; validation and callbacks follow as after any epoch. Not asked where
            `model.fit` trains.
        cache: where graphs are looked for and kept.

    Raises:
        ValueError: a value is out of range, or XLA is asked for and cannot compile the model.
    """
    _check(batch_size, epochs, shuffle_seed, jit_compile)
    if sample_weight is not None and class_weight is not None:
        raise ValueError("sample_weight and class_weight: give one of them")
    if class_weight is not None:
        sample_weight = class_weights(data[1], class_weight)
    train, rows = as_arrays("training data", (*data, sample_weight))
    validation, validation_rows = (), 0
    if validation_data is not None:
        validation, validation_rows = as_arrays("validation data", validation_data)
    at_once = validation_batch_size or max(batch_size, VALIDATION_BATCH_SIZE)
    plan = Plan(
        rows=rows,
        batch_size=min(batch_size, rows),
        validation_rows=validation_rows,
        validation_batch_size=max(1, min(at_once, validation_rows)),
        augment=augment,
    )
    limit_bytes = resident_limit_bytes() if memory_limit_bytes is None else memory_limit_bytes
    obstacle = _obstacle(model, size_bytes(train, validation), limit_bytes)
    if obstacle is not None:
        return _fit_streamed(
            model, plan, train, validation, epochs, callbacks, shuffle_seed, jit_compile, obstacle
        )
    train, validation = tf.nest.map_structure(resident, (train, validation))
    model._symbolic_build(data_batch=tf.nest.map_structure(lambda t: t[: plan.batch_size], train))
    key = graph_key(model, plan, train, validation, jit_compile)
    graphs = (cache.find(key) if key else None) or Graphs(Storage(model))
    with graphs.storage.lent_to(model):
        runner = EpochRunner(
            model, graphs, plan, train, validation, jit_compile, compiling, ends_within
        )
        results, times_s = _epochs(
            model, runner, plan, epochs, epochs_expected, callbacks, shuffle_seed
        )
    shared = key is not None and graphs.is_free_of_foreign_state
    if key is not None and shared:
        cache.keep(key, graphs)
    return FitReport(
        history=dict(model.history.history),
        epoch_times_s=tuple(times_s),
        validation_time_s=sum(result.validation_time_s for result in results),
        batch_losses=np.array([result.batch_losses for result in results]),
        compile_time_s=runner.compile_time_s,
        graph_compile_time_s=graphs.compile_time_s,
        graph_key=hashlib.sha256(key.encode()).hexdigest()[:12] if key and shared else None,
        graph_reused=runner.compile_time_s == 0,
        jit_compile="on" if runner.uses_xla else "off",
        jit_compile_reason=runner.why,
        ended_within=runner.ended_within,
        engine="graph",
        engine_reason=f"{size_bytes(train, validation)} bytes of data fit in memory",
    )


def _epochs(
    model: keras.Model,
    runner: EpochRunner,
    plan: Plan,
    epochs: int,
    epochs_expected: int | None,
    given_callbacks: Sequence[keras.callbacks.Callback],
    shuffle_seed: int | None,
) -> tuple[list[EpochResult], list[float]]:
    """Train, driving the callbacks in the order of ``model.fit``; what each epoch gave and took."""
    callbacks = keras.callbacks.CallbackList(
        list(given_callbacks), add_history=True, model=model, epochs=epochs, steps=plan.steps
    )
    hears_batches = any(_overrides(callback, BATCH_HOOKS) for callback in given_callbacks)
    model.stop_training = False
    results: list[EpochResult] = []
    times_s: list[float] = []
    logs: dict[str, Any] = {}
    callbacks.on_train_begin()
    for epoch in range(model._initial_epoch or 0, epochs):  # set by BackupAndRestore
        callbacks.on_epoch_begin(epoch)
        if hears_batches:
            callbacks.on_train_batch_begin(0)
        began = time.perf_counter()
        order = tf.constant(epoch_order(plan.rows, shuffle_seed, epoch))
        seed = (shuffle_seed or 0, epoch)
        left = epochs - epoch
        certain = None if given_callbacks else left
        likely = certain if epochs_expected is None else max(1, epochs_expected - epoch)
        compiled_before_s = runner.compile_time_s
        result = runner.run(order, seed, left, likely)
        compiling_s = runner.compile_time_s - compiled_before_s
        times_s.append(time.perf_counter() - began - compiling_s)
        results.append(result)
        if runner.ended_within:
            model.stop_training = True
        logs = dict(result.metrics)
        if hears_batches:
            callbacks.on_train_batch_end(plan.steps - 1, logs)
        if plan.validation_rows:
            callbacks.on_test_begin()
            callbacks.on_test_end(result.validation_metrics)
            logs |= {f"val_{name}": value for name, value in result.validation_metrics.items()}
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)
    return results, times_s


BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


def _overrides(callback: keras.callbacks.Callback, hooks: Sequence[str]) -> bool:
    methods = ((hook, getattr(callback, hook)) for hook in hooks)
    return any(
        getattr(method, "__func__", method) is not getattr(keras.callbacks.Callback, hook)
        for hook, method in methods
    )


def _obstacle(model: keras.Model, needed_bytes: int, limit_bytes: int) -> str | None:
    """Why one graph call cannot do an epoch, or None."""
    if needed_bytes > limit_bytes:
        return f"{needed_bytes} bytes of data do not fit in the {limit_bytes} bytes for them"
    if model.run_eagerly:
        return "the model is compiled with run_eagerly=True"
    if tf.distribute.has_strategy() or model._distribute_strategy is not None:
        return "the model belongs to a tf.distribute strategy"
    if not hasattr(model.optimizer, "_trainable_variables_indices"):
        return f"{type(model.optimizer).__name__} does not name its variables as Keras' own do"
    return None


def _fit_streamed(
    model: keras.Model,
    plan: Plan,
    train: Data,
    validation: Data,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
    shuffle_seed: int | None,
    jit_compile: JitCompile,
    obstacle: str,
) -> FitReport:
    asked = {"on": True, "off": False, "auto": None}[jit_compile]
    clock = fit_streamed(model, plan, train, validation, epochs, callbacks, shuffle_seed, asked)
    compiled = bool(model.jit_compile) if asked is None else asked
    return FitReport(
        history=dict(model.history.history),
        epoch_times_s=tuple(clock.epoch_times_s),
        validation_time_s=clock.validation_time_s,
        batch_losses=None,
        compile_time_s=None,
        graph_compile_time_s=None,
        graph_key=None,
        graph_reused=False,
        jit_compile="on" if compiled else "off",
        jit_compile_reason=(
            "model.fit takes what Keras chose for this device"
            if asked is None
            else f"--jit-compile {jit_compile}"
        ),
        ended_within=False,
        engine="model.fit",
        engine_reason=obstacle,
    )


def _check(batch_size: int, epochs: int, shuffle_seed: int | None, jit_compile: str) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size}: must be 1 or more")
    if epochs < 1:
        raise ValueError(f"epochs {epochs}: must be 1 or more")
    if shuffle_seed is not None and not 0 <= shuffle_seed <= LARGEST_SEED:
        raise ValueError(f"shuffle_seed {shuffle_seed}: must be 0 to {LARGEST_SEED}")
    if jit_compile not in ("on", "off", "auto"):
        raise ValueError(f"jit_compile {jit_compile}: must be on, off or auto")
