"""Scaling: learned from training rows by scikit-learn, applied as the saved model applies it."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

ROWS_AT_ONCE = 4096
"""Rows that are scaled at a time, so that a large dataset need not be in memory."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scaler:
    """Maps raw features to ``(x - center) / scale``.

    Attributes:
        center: float64, shape (features,) for tables, (channels,) for images.
        scale: as `center`.
        fill: what stands for a missing cell, float64, shape (features,); None if none is missing.
    """

    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    fill: npt.NDArray[np.float64] | None = None

    def transform(self, features: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Scaled rows as float32, shape as given: (rows, features) or (..., channels).

        The arithmetic is that of the layers in the saved model, so that a row is the same number
        in training and in serving.
        """
        raw = features.astype(np.float32)
        if self.fill is not None:
            raw = np.where(np.isnan(raw), self.fill.astype(np.float32), raw)
        centered = raw - self.center.astype(np.float32)
        return centered * (1 / self.scale).astype(np.float32)


def learn_scaler(preprocessing: str, features: npt.NDArray[Any]) -> Scaler:
    """Statistics by scikit-learn's scaler of that kind, per column or, for images, per channel.

    Args:
        preprocessing: ``none``, ``standardization``, ``robust_scaling`` or ``minmax``.
        features: training rows, shape (rows, features) or (rows, height, width, channels). NaN
            stands for a missing cell and is filled with its column's median.
    """
    columns = features.reshape(-1, features.shape[-1])
    fill = None
    if np.issubdtype(columns.dtype, np.floating) and np.isnan(columns).any():
        imputer = SimpleImputer(strategy="median").fit(columns)
        fill, columns = imputer.statistics_, imputer.transform(columns)
    if preprocessing == "none":
        width = columns.shape[1]
        return Scaler(np.zeros(width), np.ones(width), fill)
    if preprocessing == "robust_scaling":
        robust = RobustScaler().fit(columns)
        return Scaler(robust.center_, robust.scale_, fill)
    # These two can learn a block at a time, so that no float64 copy of all pixels is made.
    learner = {"standardization": StandardScaler(), "minmax": MinMaxScaler()}[preprocessing]
    for start in range(0, len(columns), rows := max(1, ROWS_AT_ONCE * 1024 // columns.shape[1])):
        learner.partial_fit(columns[start : start + rows])
    if preprocessing == "minmax":
        return Scaler(learner.data_min_, 1 / learner.scale_, fill)
    return Scaler(learner.mean_, learner.scale_, fill)


@dataclass(frozen=True)
class ScaledRows:
    """Rows of a dataset as the classifier takes them, scaled when they are asked for.

    ``rows[[3, 1, 2]]`` scales those; ``numpy.asarray(rows)`` all of them, a block at a time.

    Attributes:
        features: raw rows, in memory or on disk.
        indices: which of them these are.
        scaler: maps them.
        row_shape: of one scaled row.
        precision: name of the dtype of the scaled rows.
    """

    features: npt.NDArray[Any]
    indices: Indices
    scaler: Scaler
    row_shape: tuple[int, ...]
    precision: str = "float32"

    def __len__(self) -> int:
        """How many rows."""
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, *row_shape)."""
        return (len(self), *self.row_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the scaled rows."""
        return np.dtype(self.precision)

    def astype(self, precision: str) -> Self:
        """The same rows in another precision."""
        return replace(self, precision=precision)

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Some rows, scaled; `rows` is a slice or an array of positions."""
        raw = self.features[self.indices[rows]]
        return self.scaler.transform(raw.reshape(-1, *self.row_shape)).astype(self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All rows, scaled."""
        scaled = np.empty(self.shape, dtype or self.dtype)
        for start in range(0, len(self), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            scaled[block] = self[block]
        return scaled
