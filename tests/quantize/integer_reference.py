"""A classifier in fixed point by whole numbers, in numpy: what the emulation has to equal."""

from collections.abc import Mapping

import keras
import numpy as np

from steps.quantization_modes import FixedPoint

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: (
        np.exp(x - x.max(-1, keepdims=True))
        / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)
    ),
}


def codes(values: np.ndarray, width: int, fraction: int) -> np.ndarray:
    """Whole numbers, int64, in units of 2^-fraction."""
    whole = np.rint(values.astype(np.float64) * 2.0**fraction)
    return np.clip(whole, -(2 ** (width - 1)), 2 ** (width - 1) - 1).astype(np.int64)


def convolved(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Of whole numbers, as many pixels as before, those outside being 0."""
    height, width = kernel.shape[:2]
    rows, columns = images.shape[1:3]
    margins = [((side - 1) // 2, side // 2) for side in (height, width)]
    padded = np.pad(images, [(0, 0), *margins, (0, 0)])
    return sum(
        padded[:, y : y + rows, x : x + columns] @ kernel[y, x]
        for y in range(height)
        for x in range(width)
    )


def pooled(images: np.ndarray) -> np.ndarray:
    """The largest of each 2 by 2."""
    rows, height, width, channels = images.shape
    return images.reshape(rows, height // 2, 2, width // 2, 2, channels).max((2, 4))


def probabilities(
    classifier: keras.Model, widths: FixedPoint | Mapping[str, FixedPoint], rows: np.ndarray
) -> np.ndarray:
    """What a chain of layers tells of scaled rows, float32."""
    values = rows.astype(np.float64)
    for layer in classifier.layers[1:]:
        kind = type(layer).__name__
        if kind in ("Dense", "Conv2D"):
            its = widths if isinstance(widths, FixedPoint) else widths[layer.name]
            weights = zip(layer.get_weights(), (its.weights, its.bias), strict=True)
            kernel, bias = (codes(weight, *of_weight) for weight, of_weight in weights)
            inputs = codes(values, its.data_width, its.data_fraction)
            sums = inputs @ kernel if kind == "Dense" else convolved(inputs, kernel)
            behind, bias_behind = its.data_fraction + its.weight_fraction, its.bias[1]
            finer = max(behind, bias_behind)
            sums = (sums << (finer - behind)) + (bias << (finer - bias_behind))
            values = sums / 2.0**finer
        elif kind == "MaxPooling2D":
            values = pooled(values)
        elif kind == "Flatten":
            values = values.reshape(len(values), -1)
        elif kind == "Reshape":
            values = values.reshape(len(values), *layer.target_shape)
        elif kind != "Activation":
            raise NotImplementedError(kind)
        if hasattr(layer, "activation"):
            values = ACTIVATIONS[layer.activation.__name__](values)
    told = values.astype(np.float32)
    # TensorFlow has no subnormal numbers.
    return np.where(np.abs(told) < np.finfo(np.float32).smallest_normal, np.float32(0), told)
