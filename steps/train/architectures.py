"""The architectures that have a name: from scaled rows to class probabilities.

They are functions of Keras' symbolic tensors; `steps.train.model` makes a model of what they give.
"""

from collections.abc import Callable
from functools import partial

import keras

from steps.configuration import Configuration

layers = keras.layers

CONVOLUTIONS = (16, 32)
"""Filters of the layers of `cnn`."""

SMALLEST_SIDE = 32
"""Pixels that the models of `keras.applications` need at least."""

BATCH_STATISTICS_MOMENTUM = 0.9
"""What a step leaves of the running mean and variance of batches, by which validation goes.

Keras' models have 0.99 and 0.999, for the hundreds of thousands of steps that ImageNet takes: with
the dozens of an epoch here, validation would lag epochs behind what has been learned.
"""


def mlp(rows: keras.KerasTensor, configuration: Configuration, classes: int) -> keras.KerasTensor:
    """Hidden dense layers.

    Args:
        rows: shape (batch, features) or (batch, height, width, channels).
        configuration: its ``hidden``, ``activation`` and ``dropout``.
        classes: how many probabilities to give.
    """
    if len(rows.shape) > 2:
        rows = layers.Flatten(name="flat")(rows)
    hidden = _hidden_layers(rows, configuration)
    # In mixed precision the softmax has 16 bits here, so that runs of earlier versions come again.
    return layers.Dense(classes, activation="softmax", name="probabilities")(hidden)


def cnn(images: keras.KerasTensor, configuration: Configuration, classes: int) -> keras.KerasTensor:
    """Two convolutions, each with its pooling, and then the hidden layers of `mlp`.

    Args:
        images: shape (batch, height, width, channels).
        configuration: as for `mlp`; its ``activation`` is that of the convolutions too.
        classes: how many probabilities to give.
    """
    for place, filters in enumerate(CONVOLUTIONS, 1):
        images = layers.Conv2D(
            filters,
            3,
            padding="same",
            activation=configuration.activation,
            name=f"convolution_{place}",
        )(images)
        images = layers.MaxPooling2D(name=f"pool_{place}")(images)
    hidden = _hidden_layers(layers.Flatten(name="flat")(images), configuration)
    return softmax(layers.Dense(classes, name="logits")(hidden))


def resnet50(images: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """That of Keras (He et al. 2016, arXiv:1512.03385), its weights drawn anew.

    Args:
        images: shape (batch, height, width, channels).
        classes: how many probabilities to give.
    """
    return _of_keras(keras.applications.ResNet50, images, classes)


def mobilenet_v3_small(images: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """That of Keras (Howard et al. 2019, arXiv:1905.02244), its weights drawn anew.

    Args:
        images: shape (batch, height, width, channels).
        classes: how many probabilities to give.
    """
    build = partial(keras.applications.MobileNetV3Small, include_preprocessing=False)
    return _of_keras(build, images, classes)


def softmax(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Probabilities; in mixed precision they are float32, as Keras advises."""
    dtype = keras.config.dtype_policy().variable_dtype
    return layers.Activation("softmax", dtype=dtype, name="probabilities")(logits)


def _hidden_layers(rows: keras.KerasTensor, configuration: Configuration) -> keras.KerasTensor:
    # Named, because Keras would count on from the models before, and the names end up in files.
    for place, width in enumerate(configuration.hidden.split(","), 1):
        rows = layers.Dense(int(width), configuration.activation, name=f"hidden_{place}")(rows)
        if configuration.dropout:
            rows = layers.Dropout(configuration.dropout, name=f"dropout_{place}")(rows)
    return rows


def _of_keras(
    build: Callable[..., keras.Model], images: keras.KerasTensor, classes: int
) -> keras.KerasTensor:
    height, width = (max(SMALLEST_SIDE, side) for side in images.shape[1:3])
    if images.shape[1:3] != (height, width):
        images = layers.Resizing(height, width, name="enlarged")(images)
    model = build(weights=None, input_tensor=images, classes=classes, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_STATISTICS_MOMENTUM
    return softmax(model.output)
