"""Evaluate: the test part, used here and for nothing else."""

from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from steps.partition import Partition
from steps.preprocess import Dataset

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Scores:
    """How well class probabilities fit the test rows.

    Attributes:
        accuracy: share of rows whose most probable class is right.
        loss: mean cross-entropy in nats.
        confusion: rows of true class i told to be class j, shape (classes, classes).
    """

    accuracy: float
    loss: float
    confusion: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Test scores of the model, and its size.

    Attributes:
        scores: on the test part.
        parameters: trained numbers in the model.
        size_bytes: of all its weights, those of the optimizer not among them.
    """

    scores: Scores
    parameters: int
    size_bytes: int


def evaluate(model: keras.Model, dataset: Dataset, partition: Partition) -> Evaluation:
    """Score `model`, which takes raw rows, on the test part."""
    return Evaluation(
        scores=score(_probabilities(model, dataset, partition), dataset.labels[partition.test]),
        parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        size_bytes=sum(
            int(np.prod(weight.shape)) * np.dtype(weight.dtype).itemsize for weight in model.weights
        ),
    )


def _probabilities(
    model: keras.Model, dataset: Dataset, partition: Partition
) -> npt.NDArray[np.float32]:
    """Of the test rows. By calling the model: ``predict`` traces a graph that is used just once."""
    told = []
    for start in range(0, len(partition.test), ROWS_AT_ONCE):
        raw_rows = dataset.features[partition.test[start : start + ROWS_AT_ONCE]]
        if dataset.is_table:
            raw_rows = raw_rows.astype(np.float32)
        told.append(keras.ops.convert_to_numpy(model(raw_rows, training=False)))
    return np.concatenate(told)


def score(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Scores:
    """Compare probabilities (rows, classes) with the true classes (rows,)."""
    classes = range(probabilities.shape[1])
    told = probabilities.argmax(axis=1)
    # float16 and int8 outputs need not add to exactly one.
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return Scores(
        accuracy=float(accuracy_score(labels, told)),
        loss=float(log_loss(labels, probabilities, labels=list(classes))),
        confusion=confusion_matrix(labels, told, labels=list(classes)),
    )
