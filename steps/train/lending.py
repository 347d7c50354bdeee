"""Graphs that outlive a fit: a model trains in the graph's variables and then has its own again.

A traced graph is bound to variables. Keeping those apart from any model lets the next model of the
same architecture train in the same graph: its values are copied in, the fit runs on them, and they
are copied back. During the fit the model *is* its variables in the graph, so that callbacks may
read and set weights and learning rate as ever.

Momentum and weight decay are Python numbers in Keras' optimizers, which a graph would hold as
constants; while it is traced they are numbers whose tensor is a variable.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

GRAPH_NUMBERS: dict[type, tuple[str, ...]] = {
    keras.optimizers.Adadelta: ("weight_decay",),
    keras.optimizers.Adagrad: ("weight_decay",),
    keras.optimizers.Adam: ("weight_decay",),
    keras.optimizers.AdamW: ("weight_decay",),
    keras.optimizers.Adamax: ("weight_decay",),
    keras.optimizers.Lion: ("weight_decay",),
    keras.optimizers.Nadam: ("weight_decay",),
    keras.optimizers.RMSprop: ("momentum", "weight_decay"),
    keras.optimizers.SGD: ("momentum", "weight_decay"),
}
"""Attributes that these optimizers only compare with 0 or None, multiply and cast."""


class GraphNumber(float):
    """A float to Python, a variable to TensorFlow."""

    dtype = float  # what Keras' type promotion shall take it for
    variable: tf.Variable

    def __new__(cls, variable: tf.Variable) -> "GraphNumber":
        """Args: a scalar float64 variable."""
        number = super().__new__(cls, float(variable.numpy()))
        number.variable = variable
        return number

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        return tf.cast(self.variable, dtype or tf.float32)


def inner_optimizer(model: keras.Model) -> keras.Optimizer:
    """The optimizer that updates weights, inside a `LossScaleOptimizer` or not."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def graph_numbers(optimizer: keras.Optimizer) -> dict[str, float]:
    """The numbers of an optimizer that can differ between fits in one graph, unless 0 or None."""
    names = GRAPH_NUMBERS.get(type(optimizer), ())
    return {name: getattr(optimizer, name) for name in names if getattr(optimizer, name)}


class Storage:
    """Variables for a graph to be traced and run on, lent to one model at a time."""

    def __init__(self, model: keras.Model) -> None:
        """Make variables like those of `model`, its optimizer and metrics, all built."""
        self._variables = [
            tf.Variable(variable._value, trainable=variable.trainable)
            for variable in _variables(model)
        ]
        self._numbers = {
            name: tf.Variable(value, trainable=False, dtype=tf.float64)
            for name, value in graph_numbers(inner_optimizer(model)).items()
        }

    @property
    def size_bytes(self) -> int:
        """Memory of the variables."""
        return sum(v.dtype.size * v.shape.num_elements() for v in self._variables)

    def holds(self, captures: list[tf.Tensor]) -> bool:
        """Whether nothing else than these variables is captured, so that reuse is safe."""
        own = {id(variable.handle) for variable in (*self._variables, *self._numbers.values())}
        return all(id(capture) in own for capture in captures)

    @contextmanager
    def lent_to(self, model: keras.Model) -> Iterator[None]:
        """Within, the model's variables are these, values and all; afterwards its own again."""
        own = [variable._value for variable in _variables(model)]
        for name, value in graph_numbers(inner_optimizer(model)).items():
            self._numbers[name].assign(value)
        _move(model, self._variables)
        try:
            yield
        finally:
            _move(model, own)

    @contextmanager
    def numbers_of(self, model: keras.Model) -> Iterator[None]:
        """Within, momentum and weight decay are variables: for tracing."""
        optimizer = inner_optimizer(model)
        plain = {name: getattr(optimizer, name) for name in self._numbers}
        for name, variable in self._numbers.items():
            setattr(optimizer, name, GraphNumber(variable))
        try:
            yield
        finally:
            for name, value in plain.items():
                setattr(optimizer, name, value)


def _variables(model: keras.Model) -> list[keras.Variable]:
    everything = (*model.variables, *model.optimizer.variables, *model.metrics_variables)
    return list({id(variable): variable for variable in everything}.values())


def _move(model: keras.Model, targets: list[tf.Variable]) -> None:
    """Let the model live in `targets`, and forget what was traced or keyed on its old variables."""
    optimizers = list({id(o): o for o in (model.optimizer, inner_optimizer(model))}.values())
    decays = [[o._use_weight_decay(v._value) for v in o._trainable_variables] for o in optimizers]
    for variable, target in zip(_variables(model), targets, strict=True):
        target.assign(variable._value)
        variable._value = target
    model.train_function = model.test_function = model.predict_function = None
    for optimizer, decayed in zip(optimizers, decays, strict=True):
        keys = [optimizer._var_key(variable) for variable in optimizer._trainable_variables]
        optimizer._trainable_variables_indices = {key: index for index, key in enumerate(keys)}
        optimizer._exclude_from_weight_decay_cache = dict(zip(keys, decayed, strict=True))
