"""Fixed point, emulated: dense and convolution layers on numbers of few bits, to the last bit.

A number of w bits, f of them behind the point, is ``clamp(round(x · 2^f), -2^(w-1), 2^(w-1) - 1)``
in units of 2^-f, halves rounded to even. Inputs, kernel and bias of each covered layer are
such numbers, as in the fixed-point arithmetic of MASE (Cheng et al. 2023, "MASE: An Efficient
Representation for Software-Defined ML Hardware System Exploration"); everything else, such as
activations and batch statistics, is floating point between them.

All of it is computed in float64, whose 53 bits hold every sum of products exactly, as integers
would: n products of numbers of 16 bits need 30 + log2(n) bits, so up to 8 million of them fit, and
float32's 24 bits do not even hold one. What does not fit is refused. Of an activation the last bit
is the library's own, but that is 29 bits below those of the float32 that is given back. (Seen on a
CPU. A GPU's library may convolve by way of a transform, whose float64 would round.)

Bounds and steps are variables, so that any number of widths is tried in one traced graph. What an
emulation takes in time and energy says nothing about hardware that computes like this.
"""

from collections.abc import Mapping

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from steps.quantization_modes import FixedPoint
from steps.quantize.rounding import COVERED, copied, rounded
from steps.scaling import ScaledRows

layers = keras.layers

EXACT_BITS = 53
"""Of float64: whole numbers up to 2^53 and their sums are exact."""

FLOAT_BITS = 32
"""Of a weight that stays as it is."""

NOT_COVERED = (
    layers.EinsumDense,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)
"""Dense and convolution layers that stay floating point, and so make the average width wider."""

ROWS_AT_ONCE = 256
"""At most so many in one call, for the memory of wide images in float64."""


class FixedPointRounding:
    """The fixed point of one layer, which can be changed after its graph was traced."""

    def __init__(self, widths: FixedPoint, dtype: str) -> None:
        """Args: the widths to begin with, and the dtype of what is rounded."""
        self.widths = widths
        self._bounds = tf.Variable(_bounds(widths), trainable=False, dtype=dtype)

    def set(self, widths: FixedPoint) -> None:
        """Round so from now on."""
        self.widths = widths
        self._bounds.assign(_bounds(widths))

    def inputs(self, values: tf.Tensor) -> tf.Tensor:
        """By the widths of data."""
        return rounded(values, *tf.unstack(self._bounds[0]))

    def weights(self, values: tf.Tensor) -> tf.Tensor:
        """By the widths of weights, or of the bias."""
        return rounded(values, *tf.unstack(self._bounds[1 if len(values.shape) > 1 else 2]))


def _bounds(widths: FixedPoint) -> npt.NDArray[np.float64]:
    """Scale, smallest and largest code of data, kernel and bias; shape (3, 3), all exact."""
    return np.array(
        [
            (2.0**fraction, -(2 ** (width - 1)), 2 ** (width - 1) - 1)
            for width, fraction in (widths.data, widths.weights, widths.bias)
        ]
    )


class FixedPointModel:
    """A classifier in fixed point, whose widths can be set anew in the same graph.

    Example::

        model = fixed_point_model(classifier, FixedPoint(16, 8, 16, 8))
        for widths in grid:
            model.set(widths)
            accuracy = (model.probabilities(rows).argmax(axis=1) == labels).mean()

    Attributes:
        layers: of each covered layer, how many weights it has, its bias not counted.
        kinds: of each covered layer, the name of its class in Keras, such as ``Dense``.
        uncovered: names of the layers with weights that stay floating point.
        traces: how often the graph has been traced so far: once, however many widths are set.
    """

    def __init__(self, classifier: keras.Model, widths: FixedPoint) -> None:
        """Args: as `fixed_point_model`."""
        self._covered: list[tuple[keras.Layer, FixedPointRounding]] = []

        def rounding_of(layer: keras.Layer) -> FixedPointRounding:
            _refuse_inexact(layer, widths)
            rounding = FixedPointRounding(widths, "float64")
            self._covered.append((layer, rounding))
            return rounding

        copy = copied(classifier, "float64", rounding_of)
        self.uncovered = copy.uncovered
        self.layers: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        for layer, _ in self._covered:
            self.kinds[layer.name] = type(layer).__name__
            # Models inside of the model may have layers of the same name, which go together.
            self.layers[layer.name] = self.layers.get(layer.name, 0) + _weight_count(layer)
        self._float_weights = sum(
            _weight_count(inner)
            for layer, _ in copy.layers
            if type(layer) not in COVERED
            # Layers inside of others, such as those of attention and wrappers, stay what they are.
            for inner in layer._flatten_layers()
            if type(inner) in (*COVERED, *NOT_COVERED)
        )
        self.traces = 0

        def forward(rows: tf.Tensor) -> tf.Tensor:
            self.traces += 1
            return tf.cast(copy.model(rows, training=False), tf.float32)

        signature = tf.TensorSpec((None, *classifier.input_shape[1:]), tf.float32)
        self._forward = tf.function(forward, autograph=False).get_concrete_function(signature)

    def set(self, widths: FixedPoint) -> None:
        """The same widths for all covered layers.

        Raises:
            ValueError: a layer's sums would not be exact.
        """
        self.set_layers(dict.fromkeys(self.layers, widths))

    def set_layers(self, widths: Mapping[str, FixedPoint]) -> None:
        """Widths by name of the layer; layers that are not named keep theirs.

        Raises:
            ValueError: there is no covered layer of that name, or its sums would not be exact;
                nothing is set then.
        """
        for name in widths:
            if name not in self.layers:
                allowed = ", ".join(self.layers) or "none"
                raise ValueError(f"layer {name}: not one that can be covered ({allowed})")
        chosen = [pair for pair in self._covered if pair[0].name in widths]
        for layer, _ in chosen:
            _refuse_inexact(layer, widths[layer.name])
        for layer, rounding in chosen:
            rounding.set(widths[layer.name])

    def probabilities(self, rows: ScaledRows | npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the classifier tells of scaled rows.

        Args:
            rows: float32, shape (rows, *scaled_shape).

        Returns:
            float32, shape (rows, classes).
        """
        starts = range(0, len(rows), ROWS_AT_ONCE)
        told = [self._forward(rows[start : start + ROWS_AT_ONCE]).numpy() for start in starts]
        return np.concatenate(told)

    @property
    def average_bitwidth(self) -> float | None:
        """Mean width of a weight of the dense and convolution layers; None if it has none.

        MASE's definition. Layers of these kinds that are not covered have 32 bits; biases and other
        kinds of layers are not counted.
        """
        weights = self._float_weights + sum(self.layers.values())
        bits = FLOAT_BITS * self._float_weights + sum(
            rounding.widths.weight_width * _weight_count(layer) for layer, rounding in self._covered
        )
        return bits / weights if weights else None

    @property
    def memory_density(self) -> float | None:
        """32 divided by `average_bitwidth`."""
        width = self.average_bitwidth
        return None if width is None else FLOAT_BITS / width


def fixed_point_model(classifier: keras.Model, widths: FixedPoint) -> FixedPointModel:
    """Emulate a classifier in fixed point.

    Args:
        classifier: a Functional model from scaled rows to probabilities, of float32; it stays as it
            is, and what becomes of it later does not change what is given back.
        widths: of all covered layers, until others are set.

    Raises:
        ValueError: a layer is not of float32, or its sums would not be exact.
    """
    return FixedPointModel(classifier, widths)


def _weight_count(layer: keras.Layer) -> int:
    """Numbers in the kernels of a layer; the biases of attention have two axes as well."""
    kernels = [each for each in layer.weights if len(each.shape) > 1 and each.name != "bias"]
    return sum(int(np.prod(kernel.shape)) for kernel in kernels)


def _refuse_inexact(layer: keras.Layer, widths: FixedPoint) -> None:
    depthwise = isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D)
    terms = int(np.prod(layer.kernel.shape[: -2 if depthwise else -1]))
    products = terms * 2 ** (widths.data_width + widths.weight_width - 2)
    behind = widths.data_fraction + widths.weight_fraction
    bias_width, bias_behind = widths.bias
    # Both in units of the finer of the two.
    products *= 2 ** max(0, bias_behind - behind)
    bias = 2 ** (bias_width - 1) * 2 ** max(0, behind - bias_behind)
    if products + bias > 2**EXACT_BITS:
        problem = f"sums of {terms} products can need more than the {EXACT_BITS} bits of float64"
        raise ValueError(f"{widths}: in layer {layer.name} {problem}; take smaller widths")
