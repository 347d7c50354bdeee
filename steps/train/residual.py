"""ResNet-18 for small images."""

import keras

from steps.train.architectures import BATCH_STATISTICS_MOMENTUM, softmax

layers = keras.layers

WIDTHS = (64, 128, 256, 512)
"""Filters of each stage."""

BLOCKS = 2
"""Of each stage."""

EPSILON = 1e-5
"""Added to a batch's variance."""


def resnet18(images: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Basic residual blocks, four stages of two, that end in the mean of each filter.

    He et al. 2016 (arXiv:1512.03385): the network of 18 layers in table 1, with the start that
    section 4.2 gives those for CIFAR-10 (one convolution of 3x3 and no pooling, so that a small
    image is not shrunk before it is looked at) and, where a stage halves the image, a shortcut of
    1x1 (option B). So it is in the widely used https://github.com/kuangliu/pytorch-cifar. Weights
    are drawn as in section 3.4 (He et al. 2015, arXiv:1502.01852).

    Args:
        images: shape (batch, height, width, channels), 8 pixels on a side or more.
        classes: how many probabilities to give.
    """
    images = _relu(_convolution(images, WIDTHS[0], 3, 1, "start"), "start")
    for stage, width in enumerate(WIDTHS, 1):
        for block in range(1, BLOCKS + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            images = _basic_block(images, width, stride, f"stage_{stage}_block_{block}")
    means = layers.GlobalAveragePooling2D(name="means")(images)
    return softmax(layers.Dense(classes, name="logits")(means))


def _basic_block(
    images: keras.KerasTensor, width: int, stride: int, name: str
) -> keras.KerasTensor:
    residual = _relu(_convolution(images, width, 3, stride, f"{name}_first"), f"{name}_first")
    residual = _convolution(residual, width, 3, 1, f"{name}_second")
    if residual.shape != images.shape:
        images = _convolution(images, width, 1, stride, f"{name}_shortcut")
    return _relu(layers.Add(name=f"{name}_sum")([images, residual]), name)


def _convolution(
    images: keras.KerasTensor, width: int, side: int, stride: int, name: str
) -> keras.KerasTensor:
    """A convolution and the normalization by batch statistics that makes a bias useless."""
    images = layers.Conv2D(
        width,
        side,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_convolution",
    )(images)
    return layers.BatchNormalization(
        momentum=BATCH_STATISTICS_MOMENTUM, epsilon=EPSILON, name=f"{name}_normalization"
    )(images)


def _relu(images: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.Activation("relu", name=f"{name}_relu")(images)
