"""The epoch as one graph call: every batch's gradient and update, then the validation pass.

`model.fit` goes back to Python for every batch, which for a small model costs ten to a hundred
times its mathematics. Here one call of a `tf.function` does a whole epoch over data that stay in
memory as tensors. The step itself is Keras' own ``model.train_step`` and ``model.test_step``, so
loss, optimizer, loss scaling, batch statistics and metrics are those of `model.fit`, and without
XLA its weights are the same to the last bit, given the same order of samples.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.train.grappler import optimized_once

Data = tuple[Any, ...]
"""(x, y) or (x, y, sample_weight), each a tensor or a nest of tensors of shape (rows, ...)."""

Augment = Callable[[Any, Any, tf.Tensor], tuple[Any, Any]]
"""``augment(x, y, seed) -> (x, y)`` in graph operations; `seed` is int32 of shape (2,)."""


@dataclass(frozen=True)
class Plan:
    """The sizes of an epoch. With XLA a graph is compiled for exactly one plan."""

    rows: int
    batch_size: int
    validation_rows: int
    """0 for no validation pass."""
    validation_batch_size: int
    augment: Augment | None = None

    @property
    def steps(self) -> int:
        """Batches in an epoch, the last one perhaps partial."""
        return math.ceil(self.rows / self.batch_size)

    @property
    def validation_steps(self) -> int:
        """Batches in a validation pass."""
        return math.ceil(self.validation_rows / self.validation_batch_size)


@dataclass(frozen=True)
class EpochResult:
    """What one call gave.

    Attributes:
        metrics: by name, over the batches since the epoch began.
        validation_metrics: by name; empty where the call did not validate.
        validation_time_s: of the validation pass, by the clock inside the graph.
        batch_losses: of the batches that the call trained, float64, shape (last - first,); NaN
            where a ``train_step`` of the model's own gets its loss past ``compute_loss``.
    """

    metrics: dict[str, Any]
    validation_metrics: dict[str, Any]
    validation_time_s: float
    batch_losses: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Sizes:
    """Those of a plan while tracing: tensors, or whole numbers for XLA."""

    rows: Any
    batch_size: Any
    validation_rows: Any
    validation_batch_size: Any

    @property
    def steps(self) -> Any:
        """As `Plan.steps`."""
        return -(-self.rows // self.batch_size)

    @property
    def validation_steps(self) -> Any:
        """As `Plan.validation_steps`."""
        return -(-self.validation_rows // self.validation_batch_size)


class EpochGraph:
    """The traced epoch of a model: reads and writes its variables, takes the data as arguments.

    Without XLA the sizes are arguments too, so that one graph serves any batch size and any number
    of rows.
    """

    def __init__(
        self, model: keras.Model, plan: Plan, train: Data, validation: Data, xla: bool
    ) -> None:
        """Trace, and optimize or compile by an epoch of no batches, which changes no weight.

        Args:
            model: built and compiled, its optimizer and metrics built too.
            plan: sizes of the epoch.
            train: training tensors of ``plan.rows`` rows.
            validation: validation tensors; empty for none.
            xla: compile the training and the validation pass with XLA.
        """
        self._layout: list[tuple[str, tuple[int, ...]]] = []
        traced = tf.function(self._epoch_of(model, plan, xla), autograph=False)

        def spec(tensor: tf.Tensor) -> tf.TensorSpec:
            rows = tensor.shape[0] if xla else None
            return tf.TensorSpec((rows, *tensor.shape[1:]), tensor.dtype)

        self._call = traced.get_concrete_function(
            *tf.nest.map_structure(spec, (train, validation)),
            tf.TensorSpec((plan.rows if xla else None,), tf.int32),
            tf.TensorSpec((7,), tf.int32),
        )
        self.run(plan, train, validation, tf.range(plan.rows), (0, 0), 0, 0, validate=True)

    def run(
        self,
        plan: Plan,
        train: Data,
        validation: Data,
        order: tf.Tensor,
        seed: tuple[int, int],
        first: int,
        last: int,
        validate: bool,
    ) -> EpochResult:
        """Train batches ``first`` to ``last - 1`` of an epoch and then, if asked, validate.

        Args:
            plan: sizes of the epoch; with XLA those that the graph was compiled for.
            train: training tensors.
            validation: validation tensors; empty for none.
            order: permutation of the training rows, int32, shape (rows,).
            seed: of the augmentation in this epoch.
            first: metrics start anew where it is 0.
            last: ``plan.steps`` for the whole epoch.
            validate: run the validation pass after the last batch.
        """
        validates = validate and plan.validation_rows > 0
        sizes = plan.batch_size, plan.validation_batch_size
        control = tf.constant((*seed, first, last, int(validates), *sizes))
        arguments = *tf.nest.flatten((train, validation)), order, control
        # What calling the function itself comes down to; binding the arguments to its signature
        # anew in each epoch would take longer than a small epoch's arithmetic.
        with optimized_once():
            (told,) = self._call.inference_fn.call_flat(*arguments, *self._call.captured_inputs)
        flat = told.numpy()
        metrics, rest = self._unpack(flat[1:])
        validation_metrics, losses = self._unpack(rest)
        return EpochResult(
            metrics=metrics,
            validation_metrics=validation_metrics if validates else {},
            validation_time_s=float(flat[0]) if validates else 0.0,
            batch_losses=losses[first:last],
        )

    @cached_property
    def operation_types(self) -> frozenset[str]:
        """Types of the operations in the functions that the graph calls."""
        return frozenset(node.op for function in self._functions for node in function.node_def)

    @cached_property
    def operations_per_step(self) -> int:
        """How many operations a batch dispatches: about those of the largest function."""
        return max(len(function.node_def) for function in self._functions)

    @property
    def captures(self) -> list[tf.Tensor]:
        """What the graph refers to besides its arguments: handles of variables, constants."""
        return list(self._call.captured_inputs)

    @property
    def _functions(self) -> Any:
        return self._call.graph.as_graph_def().library.function

    def _unpack(self, flat: npt.NDArray[np.float64]) -> tuple[dict[str, Any], Any]:
        values: dict[str, Any] = {}
        for name, shape in self._layout:
            size = math.prod(shape)
            values[name] = flat[:size].reshape(shape) if shape else float(flat[0])
            flat = flat[size:]
        return values, flat

    def _epoch_of(self, model: keras.Model, plan: Plan, xla: bool) -> Callable[..., tf.Tensor]:
        """The function to trace; all that it gives is in one float64 vector, read at once."""

        def metrics() -> tf.Tensor:
            results = model.get_metrics_result()
            self._layout = [(name, tuple(value.shape)) for name, value in results.items()]
            return tf.concat([_flat(value) for value in results.values()], 0)

        def sizes_of(order: tf.Tensor, validation: Data, control: tf.Tensor) -> _Sizes:
            if xla:
                sizes = plan.rows, plan.batch_size, plan.validation_rows, plan.validation_batch_size
                return _Sizes(*sizes)
            validating = [*tf.nest.flatten(validation), order[:0]][0]
            return _Sizes(tf.shape(order)[0], control[5], tf.shape(validating)[0], control[6])

        def train(data: Data, order: tf.Tensor, validation: Data, control: tf.Tensor) -> tf.Tensor:
            seed, first, last = control[:2], control[2], control[3]
            sizes = sizes_of(order, validation, control)

            def step(index: tf.Tensor, start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
                rows = tf.slice(order, [start], [size])
                batch = tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), data)
                if plan.augment is not None:
                    batch_seed = tf.random.experimental.stateless_fold_in(seed, index)
                    batch = (*plan.augment(batch[0], batch[1], batch_seed), *batch[2:])
                return _train_step(model, batch)

            return _over_batches(step, sizes.rows, sizes.batch_size, first, last, static=xla)

        def validate(data: Data, order: tf.Tensor, control: tf.Tensor) -> None:
            sizes = sizes_of(order, data, control)

            def step(_: tf.Tensor, start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
                model.test_step(tf.nest.map_structure(lambda t: _rows(t, start, size), data))
                return tf.zeros((), tf.float64)

            if xla and plan.validation_steps == 1:
                model.test_step(data)
            else:
                rows, size = sizes.validation_rows, sizes.validation_batch_size
                last = tf.convert_to_tensor(sizes.validation_steps)
                _over_batches(step, rows, size, tf.constant(0), last, static=xla)

        if xla:
            train, validate = (
                tf.function(part, jit_compile=True, autograph=False) for part in (train, validate)
            )

        def epoch(data: Data, validation: Data, order: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
            tf.cond(control[2] == 0, lambda: _reset_metrics(model), tf.no_op)
            losses = train(data, order, validation, control)
            results = metrics()
            with tf.control_dependencies([losses, results]):
                began = tf.timestamp()

            def validated() -> tf.Tensor:
                model.reset_metrics()
                validate(validation, order, control)
                return metrics()

            validation_results = tf.zeros_like(results)
            if plan.validation_rows:
                with tf.control_dependencies([began]):
                    validation_results = tf.cond(
                        control[4] > 0, validated, lambda: validation_results
                    )
            with tf.control_dependencies([validation_results]):
                ended = tf.timestamp()
            return tf.concat([[ended - began], results, validation_results, losses], 0)

        return epoch


def _over_batches(
    step: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    rows: Any,
    batch_size: Any,
    first: tf.Tensor,
    last: tf.Tensor,
    static: bool,
) -> tf.Tensor:
    """Do ``step(index, start, size)`` for batches `first` to `last` - 1; float64, shape (steps,).

    XLA needs sizes that are numbers, so that there a partial batch gets a loop of its own. Without
    XLA, sizes are tensors, unknown while tracing as they are in `model.fit`: were they known,
    TensorFlow would turn divisions by them into products, and the last bit differ.
    """
    full = rows // batch_size
    steps = -(-rows // batch_size)

    def loop(begin: tf.Tensor, end: Any, size: int | None) -> tf.Tensor:
        def body(index: tf.Tensor, values: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            start = index * batch_size
            taken = tf.minimum(batch_size, rows - start) if size is None else size
            return index + 1, values.write(index, step(index, start, taken))

        _, values = tf.while_loop(
            lambda index, _: index < tf.minimum(last, end),
            body,
            (begin, tf.TensorArray(tf.float64, end, element_shape=())),
            parallel_iterations=1,
        )
        return values.stack()

    if not static:
        return loop(first, steps, None)
    losses = loop(first, full, batch_size)
    if full == steps:
        return losses
    # A loop, though of one round at most, because XLA makes one function of a small one.
    with tf.control_dependencies([losses]):
        partial = loop(tf.maximum(first, full), steps, rows - full * batch_size)
    return tf.concat([losses, partial[full:]], 0)


def _train_step(model: keras.Model, batch: Data) -> tf.Tensor:
    """One gradient and update as in `model.fit`; gives the loss of this batch alone, float64."""
    with _computed_losses(model) as losses:
        model.train_step(batch)
    return tf.cast(losses[0] if losses else math.nan, tf.float64)


@contextmanager
def _computed_losses(model: keras.Model) -> Iterator[list[tf.Tensor]]:
    """Listen to ``model.compute_loss``: ``train_step`` itself gives a running mean only."""
    losses: list[tf.Tensor] = []
    compute_loss = model.compute_loss

    def listened(*args: Any, **kwargs: Any) -> tf.Tensor:
        losses.append(compute_loss(*args, **kwargs))
        return losses[-1]

    model.compute_loss = listened
    try:
        yield losses
    finally:
        del model.compute_loss


def _reset_metrics(model: keras.Model) -> tf.Operation:
    model.reset_metrics()
    return tf.no_op()


def _rows(tensor: tf.Tensor, start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    inner = tensor.shape[1:].as_list()
    return tf.slice(tensor, [start] + [0] * len(inner), [size, *inner])


def _flat(value: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(value, tf.float64), [-1])
