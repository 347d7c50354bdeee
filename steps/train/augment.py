"""Augmentation: training batches are changed inside the graph, anew in every epoch.

Each kind is a function of a batch and a seed, made of operations that TensorFlow runs and XLA
compiles alike. Keras' own layers take no seed from a graph, and their contrast clips to a range of
values that standardized images do not have.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from steps.configuration import AUGMENTATIONS
from steps.errors import InputError

MIXING = ("mixup", "cutmix")

ROTATION = 0.1
"""Of a full turn, either way."""

ZOOM = 0.1
"""Of the size, in or out, aspect ratio kept."""

TRANSLATION = 0.1
"""Of height and of width, either way."""

CONTRAST = 0.1
"""Of the distance to the mean of a channel, more or less."""


@dataclass(frozen=True)
class Augmentation:
    """An `Augment` for ``fit_in_graph(..., augment=)``.

    Attributes:
        change: ``change(x, y, seed) -> (x, y)``.
        graph_key: says all about it, so that fits can share a graph.
    """

    change: Callable[[Any, Any, tf.Tensor], tuple[Any, Any]]
    graph_key: str

    def __call__(self, x: Any, y: Any, seed: tf.Tensor) -> tuple[Any, Any]:
        """The changed batch, shapes as given.

        Args:
            x: rows, shape (batch, ...); integers become `keras.config.floatx()`.
            y: labels; for the kinds that mix labels one-hot, shape (batch, classes), floats.
            seed: decides everything; int32, shape (2,).

        Raises:
            InputError: ``random`` is given rows that are no images.
            ValueError: labels are to be mixed and are not one-hot.
        """
        if not x.dtype.is_floating:
            x = tf.cast(x, keras.config.floatx())
        return self.change(x, y, seed)


def augmentation(name: str, classes: int) -> Augmentation | None:
    """The augmentation of that name; None for ``none``.

    - ``random``, for images (batch, height, width, channels), each image by itself: flipped left
      to right with probability 1/2, rotated by up to `ROTATION`, zoomed by up to `ZOOM`, moved by
      up to `TRANSLATION` and its contrast changed by up to `CONTRAST`, all uniform: the usual
      magnitudes of Keras' examples. Pixels from outside are those mirrored at the edge.
    - ``mixup`` (Zhang et al. 2018, arXiv:1710.09412): rows and labels become
      ``share * own + (1 - share) * partner's``.
    - ``cutmix`` (Yun et al. 2019, arXiv:1905.04899): a box of the image is that of the partner,
      labels are mixed by area. Of a table it is a contiguous stretch of features.

    As in the code of both papers, a batch has one share, from Beta(1, 1), and partners are drawn
    within the batch: one of a single row stays as it is.

    Args:
        name: one of `AUGMENTATIONS`.
        classes: of the labels.

    Raises:
        InputError: unknown name.
    """
    if name == "none":
        return None
    if name == "random":
        return Augmentation(_random, graph_key=name)
    if name not in MIXING:
        raise InputError("--augmentation", name, f"choose one of {', '.join(AUGMENTATIONS)}")
    mix = _mixup if name == "mixup" else _cutmix

    def checked(x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if not y.dtype.is_floating or y.shape[1:] != (classes,):
            found = f"{y.dtype.name} of shape {tuple(y.shape)}"
            raise ValueError(f"{name} needs one-hot labels (batch, {classes}), floats, not {found}")
        return mix(x, y, seed)

    return Augmentation(checked, graph_key=f"{name} of {classes} classes")


def mixes_labels(name: str) -> bool:
    """Whether labels must be one-hot, for training and validation, and the loss take them so.

    That is: ``keras.utils.to_categorical(labels, classes)`` and ``categorical_crossentropy``.
    """
    return name in MIXING


def _mixup(x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    draws = _uniform((tf.shape(x)[0] + 1,), seed)
    share, partners = draws[0], _permutation(draws[1:])
    return _mixed(x, partners, share), _mixed(y, partners, share)


def _cutmix(x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    sizes = x.shape[1:-1] if x.shape.rank > 2 else x.shape[1:]  # the last axis is of channels
    draws = _uniform((tf.shape(x)[0] + 1 + len(sizes),), seed)
    side = draws[0] ** (1 / len(sizes))
    place, partners = draws[1:], _permutation(draws[1 + len(sizes) :])
    inside = tf.ones((), tf.bool)
    for axis, size in enumerate(sizes):
        first = tf.floor(place[axis] * size) - tf.floor(side * size / 2)
        index = tf.range(size, dtype=first.dtype)
        along = (index >= first) & (index < first + tf.floor(side * size))
        inside = inside[..., None] & along
    # The box may reach over the edge, so that labels go by the area that is left of it.
    share = 1 - tf.reduce_mean(tf.cast(inside, tf.float32))
    if x.shape.rank > 2:
        inside = inside[..., None]
    return tf.where(inside, tf.gather(x, partners), x), _mixed(y, partners, share)


def _uniform(shape: tuple[Any, ...], seed: tf.Tensor) -> tf.Tensor:
    """Of [0, 1), float32, the same with XLA as without.

    XLA makes other floats of the same random bits, and other bits of a negative seed.
    """
    seed = tf.bitwise.bitwise_and(seed, 2**31 - 1)
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) / 2**24


def _permutation(draws: tf.Tensor) -> tf.Tensor:
    """A random one of as many numbers as there are draws, int32; XLA has no shuffle."""
    return tf.argsort(draws)


def _mixed(values: tf.Tensor, partners: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    share = tf.cast(share, values.dtype)
    return share * values + (1 - share) * tf.gather(values, partners)


def _random(x: tf.Tensor, y: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
    if x.shape.rank != 4:
        found = f"rows of shape ({', '.join(map(str, x.shape[1:]))})"
        problem = f"needs images (height, width, channels), not {found}; mixup and cutmix take any"
        raise InputError("--augmentation", "random", problem)
    draws = 2 * _uniform((6, tf.shape(x)[0], 1, 1), seed) - 1
    flip, rotation, zoom, down, right, contrast = tf.unstack(draws)
    x = _warped(
        x,
        angle=rotation * ROTATION * math.tau,
        scale_down=1 + zoom * ZOOM,
        scale_right=(1 + zoom * ZOOM) * tf.where(flip < 0, -1.0, 1.0),
        shift=(down * TRANSLATION, right * TRANSLATION),
    )
    mean = tf.reduce_mean(x, axis=(1, 2), keepdims=True)
    return mean + (x - mean) * tf.cast(1 + contrast[..., None] * CONTRAST, x.dtype), y


def _warped(
    x: tf.Tensor,
    angle: tf.Tensor,
    scale_down: tf.Tensor,
    scale_right: tf.Tensor,
    shift: tuple[tf.Tensor, tf.Tensor],
) -> tf.Tensor:
    """Images sampled bilinearly where an affine map about their middle says.

    One map for all changes of geometry, so that pixels are interpolated once.

    Args:
        x: images, shape (batch, height, width, channels).
        angle: radians, shape (batch, 1, 1), as all others.
        scale_down: of the vertical distance from the middle.
        scale_right: of the horizontal one; negative flips.
        shift: as shares of height and width.
    """
    height, width = x.shape[1:3]
    down = scale_down * (tf.range(height, dtype=tf.float32) - (height - 1) / 2)[:, None]
    right = scale_right * (tf.range(width, dtype=tf.float32) - (width - 1) / 2)
    row = tf.cos(angle) * down - tf.sin(angle) * right + (height - 1) / 2 + shift[0] * height
    column = tf.sin(angle) * down + tf.cos(angle) * right + (width - 1) / 2 + shift[1] * width
    top, below = _split(_mirrored(row, height))
    left, beside = _split(_mirrored(column, width))
    pixels = tf.reshape(x, (-1, height * width, x.shape[3]))
    sampled = tf.zeros((), x.dtype)
    for i, weight_down in ((0, 1 - below), (1, below)):
        for j, weight_right in ((0, 1 - beside), (1, beside)):
            place = tf.minimum(top + i, height - 1) * width + tf.minimum(left + j, width - 1)
            weight = tf.cast(weight_down * weight_right, x.dtype)[..., None]
            sampled += weight * tf.gather(pixels, place, batch_dims=1)
    return sampled


def _mirrored(place: tf.Tensor, size: int) -> tf.Tensor:
    """Places off the edges folded back, as in ``d c b a | a b c d | d c b a``."""
    folded = tf.math.floormod(place + 0.5, 2.0 * size)
    return tf.clip_by_value(tf.minimum(folded, 2.0 * size - folded) - 0.5, 0.0, size - 1.0)


def _split(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The whole number below, and how far from it: in [0, 1]."""
    whole = tf.floor(place)
    return tf.cast(whole, tf.int32), place - whole
