"""The Keras model: a classifier of scaled rows, and the whole that takes raw rows."""

import random

import keras
import numpy as np

from steps.configuration import Configuration
from steps.partition import Scaler

CLASSIFIER = "classifier"


def build_classifier(configuration: Configuration, features: int, classes: int) -> keras.Sequential:
    """MLP from scaled rows (batch, features) to probabilities (batch, classes); not compiled.

    Its weights follow from ``configuration.seed`` alone: Keras draws the seeds of its initializers
    and dropouts from Python's generator. (`keras.utils.set_random_seed` would seed TensorFlow too,
    which throws away the kernels of every graph that could be used again.)
    """
    random.seed(configuration.seed)
    model = keras.Sequential(name=CLASSIFIER)
    model.add(keras.Input((features,), name="scaled_features"))
    for place, width in enumerate(configuration.hidden.split(","), 1):
        # Named, because Keras would count on from the models before, and the names end up in files.
        layer = keras.layers.Dense(int(width), configuration.activation, name=f"hidden_{place}")
        model.add(layer)
    model.add(keras.layers.Dense(classes, activation="softmax", name="probabilities"))
    return model


def with_scaler(classifier: keras.Sequential, scaler: Scaler) -> keras.Sequential:
    """The model to keep: raw rows (batch, features) in, probabilities out.

    Two layers rather than `keras.layers.Normalization`, which takes a variance and lifts small
    ones to 1e-7: these do what `Scaler.transform` does, for any scale.
    """
    center = (-scaler.center).astype(np.float32).tolist()
    scale = (1 / scaler.scale).astype(np.float32).tolist()
    width = len(center)
    return keras.Sequential(
        [
            keras.Input((width,), name="features"),
            keras.layers.Rescaling(1.0, offset=center, name="center"),
            keras.layers.Rescaling(scale, name="scale"),
            classifier,
        ],
        name="greenest",
    )
