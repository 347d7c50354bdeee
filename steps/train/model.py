"""The Keras model: a classifier of scaled rows, and the whole that takes raw rows."""

import random
from collections.abc import Callable

import keras
import numpy as np

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import Dataset
from steps.scaling import Scaler
from steps.train.architectures import cnn, mlp, mobilenet_v3_small, resnet50
from steps.train.residual import resnet18
from steps.train.user_model import user_model

CLASSIFIER = "classifier"

SMALLEST_IMAGE = 8
"""Pixels on a side: the smallest that all architectures for images can halve as they do."""

FIXED: dict[str, Callable[[keras.KerasTensor, int], keras.KerasTensor]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet_v3_small": mobilenet_v3_small,
}
"""Architectures for images that no hyperparameter changes."""


def build_classifier(configuration: Configuration, dataset: Dataset) -> keras.Model:
    """From scaled rows (batch, *scaled_shape) to probabilities (batch, classes); not compiled.

    Its weights follow from ``configuration.seed`` alone: Keras draws the seeds of its initializers
    and dropouts from Python's generator. (`keras.utils.set_random_seed` would seed TensorFlow too,
    which throws away the kernels of every graph that could be used again.)

    Raises:
        InputError: the architecture cannot take these rows, or the user's own function does not
            give a model that can be trained and kept.
    """
    random.seed(configuration.seed)
    rows = keras.Input(dataset.scaled_shape, name="scaled_features")
    return keras.Model(rows, _probabilities(rows, configuration, dataset), name=CLASSIFIER)


def require_fit(configuration: Configuration, dataset: Dataset) -> None:
    """See that a dataset and the hyperparameters that depend on it go together.

    Raises:
        InputError: they do not.
    """
    if configuration.augmentation == "random" and dataset.is_table:
        problem = f"needs images; {dataset.source} is a table; take mixup or cutmix"
        raise InputError("--augmentation", "random", problem)
    if configuration.model.startswith("file:"):
        build_classifier(configuration, dataset)
    elif configuration.model != "mlp":
        _images(keras.Input(dataset.scaled_shape), configuration.model, dataset)


def _probabilities(
    rows: keras.KerasTensor, configuration: Configuration, dataset: Dataset
) -> keras.KerasTensor:
    classes = len(dataset.class_names)
    if configuration.model.startswith("file:"):
        return user_model(configuration.model, rows, classes)
    if configuration.model == "mlp":
        return mlp(rows, configuration, classes)
    images = _images(rows, configuration.model, dataset)
    if configuration.model == "cnn":
        return cnn(images, configuration, classes)
    return FIXED[configuration.model](images, classes)


def _images(rows: keras.KerasTensor, model: str, dataset: Dataset) -> keras.KerasTensor:
    """The rows in the shape of images, where they are images."""
    shape = dataset.image_shape
    if shape is None:
        columns = f"a table of {dataset.row_shape[0]} columns"
        what = columns if dataset.is_table else f"of rows of shape {dataset.row_shape}"
        raise InputError("--model", model, f"needs images; {dataset.source} is {what}")
    if min(shape[:2]) < SMALLEST_IMAGE:
        allowed = f"needs images of {SMALLEST_IMAGE}x{SMALLEST_IMAGE} pixels or more"
        found = f"{dataset.source} has {shape[0]}x{shape[1]}"
        raise InputError("--model", model, f"{allowed}; {found}")
    if dataset.scaled_shape == shape:
        return rows
    return keras.layers.Reshape(shape, name="as_image")(rows)


def with_scaler(classifier: keras.Model, scaler: Scaler, dataset: Dataset) -> keras.Model:
    """The model to keep: raw rows (batch, *row_shape) in, probabilities out.

    It takes uint8 where the dataset is of uint8, else float32, and computes what
    ``classifier(scaler.transform(raw))`` does. Two layers rather than `keras.layers.Normalization`,
    which takes a variance and lifts small ones to 1e-7: these do what `Scaler.transform` does, for
    any scale, and in float32 whatever the precision of the classifier.

    It shares the classifier's layers but not its optimizer, whose state Keras would save with the
    model: twice the weights for Adam. (And each time it saves one, Keras 3.15 makes an optimizer of
    a new name, of which TensorFlow keeps 70 kB for good.)
    """
    layers = keras.layers
    raw = keras.Input(
        dataset.row_shape,
        name="features" if dataset.is_table else "image",
        dtype="uint8" if dataset.features.dtype == np.uint8 else "float32",
    )
    rows = raw
    if dataset.row_shape != dataset.scaled_shape:
        rows = layers.Reshape(dataset.scaled_shape, dtype="float32", name="as_image")(rows)
    if scaler.fill is not None:
        fill = scaler.fill.astype(np.float32)
        rows = keras.ops.where(keras.ops.isnan(rows), fill, rows)
    center = (-scaler.center).astype(np.float32).tolist()
    scale = (1 / scaler.scale).astype(np.float32).tolist()
    rows = layers.Rescaling(1.0, offset=center, dtype="float32", name="center")(rows)
    rows = layers.Rescaling(scale, dtype="float32", name="scale")(rows)
    layers_alone = keras.Model(classifier.inputs, classifier.outputs, name=classifier.name)
    return keras.Model(raw, layers_alone(rows), name="greenest")
