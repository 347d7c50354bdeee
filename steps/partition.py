"""Partition: fixed stratified indices, and a scaler that has seen the training rows only."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from steps.errors import InputError
from steps.preprocess import Table

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scaler:
    """Maps raw features to ``(x - center) / scale``, each of shape (features,), float64."""

    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def transform(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Scaled rows as float32, shape as given.

        The arithmetic is that of the layers in the saved model, so that a row is the same number
        in training and in serving.
        """
        centered = features.astype(np.float32) - self.center.astype(np.float32)
        return centered * (1 / self.scale).astype(np.float32)


@dataclass(frozen=True)
class Partition:
    """Row indices of the three parts, each sorted, int64, and the scaler of the training part."""

    train: Indices
    validation: Indices
    test: Indices
    scaler: Scaler


def partition(table: Table, partitioning: str, preprocessing: str, seed: int) -> Partition:
    """Draw the parts, stratified by class, and learn the scaler from the training rows.

    Args:
        table: what `preprocess` made.
        partitioning: percent of training, validation and test rows, such as ``80-10-10``.
        preprocessing: ``none``, ``standardization``, ``robust_scaling`` or ``minmax``.
        seed: of the draw.

    Raises:
        InputError: a part would be too small to hold each class.
    """
    _, validation_percent, test_percent = map(int, partitioning.split("-"))
    rows = np.arange(len(table.labels))
    test_rows = round(len(rows) * test_percent / 100)
    validation_rows = round(len(rows) * validation_percent / 100)
    try:
        rest, test = train_test_split(
            rows, test_size=test_rows, stratify=table.labels, random_state=seed
        )
        train, validation = train_test_split(
            rest, test_size=validation_rows, stratify=table.labels[rest], random_state=seed
        )
    except ValueError:
        problem = (
            f"leaves {validation_rows} validation and {test_rows} test rows of {len(rows)}, "
            f"too few to hold each of the {len(table.class_names)} classes"
        )
        raise InputError("--partitioning", partitioning, problem) from None
    scaler = learn_scaler(preprocessing, table.features[train])
    return Partition(np.sort(train), np.sort(validation), np.sort(test), scaler)


def learn_scaler(preprocessing: str, features: npt.NDArray[np.float64]) -> Scaler:
    """Statistics of `features` (rows, features), by scikit-learn's scaler of that kind."""
    if preprocessing == "standardization":
        standard = StandardScaler().fit(features)
        return Scaler(standard.mean_, standard.scale_)
    if preprocessing == "robust_scaling":
        robust = RobustScaler().fit(features)
        return Scaler(robust.center_, robust.scale_)
    if preprocessing == "minmax":
        minmax = MinMaxScaler().fit(features)
        return Scaler(minmax.data_min_, 1 / minmax.scale_)
    width = features.shape[1]
    return Scaler(np.zeros(width), np.ones(width))
