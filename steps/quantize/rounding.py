"""Copies of a classifier whose dense and convolution layers work on rounded numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import tensorflow as tf

layers = keras.layers

COVERED = (
    layers.Dense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
)
"""Kinds of layers that are sums of products of their inputs and a kernel, and can be rounded."""


class Rounding(Protocol):
    """How the numbers that one layer works on are rounded; shapes stay as they are."""

    def inputs(self, values: tf.Tensor) -> tf.Tensor:
        """A batch of what the layer is given."""
        ...

    def weights(self, values: tf.Tensor) -> tf.Tensor:
        """The layer's kernel, or its bias, which is the one of one axis."""
        ...


RoundingOf = Callable[[keras.Layer], Rounding]


def rounded(values: tf.Tensor, scale: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """clamp(round(values · scale), low, high) / scale, halves to even, and a gradient all the same.

    Going back, rounding counts as nothing done, and what is cut off has no gradient: the clipped
    straight-through estimator of Hubara et al. 2016 ("Quantized Neural Networks",
    arXiv:1609.07061), after Bengio et al. 2013 (arXiv:1308.3432).

    Args:
        values: floats of any shape.
        scale: of the same dtype, that broadcasts to `values`; without gradient, as are the others.
        low: smallest code, likewise.
        high: largest code, likewise.
    """

    def forward(
        values: tf.Tensor, scale: tf.Tensor, low: tf.Tensor, high: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[Any, ...]]]:
        codes = tf.round(values * scale)

        def backward(upstream: tf.Tensor) -> tuple[Any, ...]:
            is_inside = tf.logical_and(codes >= low, codes <= high)
            return tf.where(is_inside, upstream, tf.zeros_like(upstream)), None, None, None

        return tf.clip_by_value(codes, low, high) / scale, backward

    result: tf.Tensor = tf.custom_gradient(forward)(values, scale, low, high)
    return result


class RoundedLayer(keras.layers.Layer):  # type: ignore[misc]
    """What a layer gives for rounded inputs and weights; its weights themselves stay as they are.

    It cannot be saved: what is kept of it are the weights of the layer inside.
    """

    def __init__(self, layer: keras.Layer, rounding: Rounding) -> None:
        """Args: the layer, which is this one's own from now on, and how to round."""
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer = layer
        self.supports_masking = True
        self._rounding = rounding

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of the layer inside."""
        self.layer.build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """As the layer inside, padding, strides and activation included."""
        trainable, frozen = (
            [self._rounding.weights(tf.convert_to_tensor(variable)) for variable in variables]
            for variables in (self.layer.trainable_variables, self.layer.non_trainable_variables)
        )
        outputs, _ = self.layer.stateless_call(trainable, frozen, self._rounding.inputs(inputs))
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the layer inside."""
        shape: tuple[int | None, ...] = self.layer.compute_output_shape(input_shape)
        return shape


@dataclass(frozen=True)
class Copy:
    """A model of the same graph and weights, some of its layers inside of `RoundedLayer`s.

    Attributes:
        model: the copy, not compiled.
        layers: of the original and of the copy, one pair for each layer without layers of its own.
    """

    model: keras.Model
    layers: tuple[tuple[keras.Layer, keras.Layer], ...]

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Names of the layers that have weights and are of no kind in `COVERED`, in their order."""
        return tuple(
            layer.name for layer, _ in self.layers if layer.weights and type(layer) not in COVERED
        )

    def take_weights(self, other: "Copy") -> None:
        """Take those of another copy of the same model."""
        for (_, mine), (_, others) in zip(self.layers, other.layers, strict=True):
            mine.set_weights(others.get_weights())


def copied(
    classifier: keras.Model, dtype: str = "float32", rounding_of: RoundingOf | None = None
) -> Copy:
    """Copy a model, its weights too.

    Args:
        classifier: a Functional model of float32; it stays as it is.
        dtype: of the copy's weights and arithmetic.
        rounding_of: tells, for each layer of a kind in `COVERED`, how to round; None rounds none.

    Raises:
        ValueError: a layer is not of float32.
    """
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def copied_layer(layer: Any) -> Any:
        if not isinstance(layer, keras.Layer):  # an operation, which has no state
            return layer
        if layer.dtype_policy.name != "float32":
            problem = f"has precision {layer.dtype_policy.name}; rounding needs float32"
            raise ValueError(f"layer {layer.name}: {problem}")
        copy = type(layer).from_config(layer.get_config() | {"dtype": dtype})
        pairs.append((layer, copy))
        is_rounded = rounding_of is not None and type(layer) in COVERED
        return RoundedLayer(copy, rounding_of(layer)) if rounding_of and is_rounded else copy

    model = keras.models.clone_model(classifier, clone_function=copied_layer, recursive=True)
    for layer, copy in pairs:
        copy.set_weights(layer.get_weights())
    return Copy(model, tuple(pairs))
