"""Small models as runs keep them: the real whole of scaler and network, its weights drawn anew."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline import tracking
from steps.configuration import Configuration
from steps.preprocess import Column, Dataset
from steps.scaling import learn_scaler

COLORS = ("blue", "red, dark", "rosé")
SIZES = ("007", "8", "9.5")
NAN = np.nan


def table(*, missing: bool = True) -> Dataset:
    """Two columns of numbers around two of categories, and a missing cell of either kind."""
    draw = np.random.default_rng(0)
    color, size = np.eye(3)[draw.integers(3, size=40)], np.eye(3)[draw.integers(3, size=40)]
    features = np.column_stack([draw.normal(5, 2, 40), color, draw.normal(0, 9, 40), size])
    features[0, [1, 4, 5, 6, 7]] = [1, 2.25, 1, 0, 0]
    features[0, [2, 3]] = 0
    if missing:
        features[1, 4] = NAN
        features[2, 1:4] = NAN
    columns = (Column("a"), Column("color", COLORS), Column("b b"), Column("size", SIZES))
    labels = np.arange(40) % 2
    return Dataset(
        source="t", features=features, labels=labels, class_names=("no", "yes"), columns=columns
    )


def images(row_shape: tuple[int, ...] = (8, 9, 3), dtype: Any = np.uint8) -> Dataset:
    """Noise in ten classes, the second of which has a comma in its name."""
    draw = np.random.default_rng(0)
    features: npt.NDArray[Any] = draw.integers(0, 256, (30, *row_shape)).astype(dtype)
    return Dataset(
        source="i",
        features=features,
        labels=np.arange(30) % 10,
        class_names=("ant", "bee, wild", *(f"c{i}" for i in range(8))),
        image_shape=(*row_shape, 1)[:3] if len(row_shape) > 1 else None,
    )


def model_of(dataset: Dataset) -> Any:
    """An untrained network behind the scaler of all rows, as the train step gives it."""
    from steps.train.model import build_classifier, with_scaler

    rows = dataset.features.reshape(-1, *dataset.scaled_shape)
    scaler = learn_scaler("standardization", rows)
    return with_scaler(build_classifier(Configuration(hidden="6"), dataset), scaler, dataset)


def kept(dataset: Dataset, **tags: str) -> tuple[str, Any]:
    """Id of a new run that keeps such a model, and the model."""
    model = model_of(dataset)
    with tracking.RunLog.start(tracking.open_experiment("green"), Configuration()) as log:
        log.keep_model(model, dataset)
        log.tag(tags)
    return log.run_id, model


def probabilities(model: Any, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Keras' own answer to rows of numbers."""
    return np.asarray(model(rows.astype(model.input.dtype), training=False))


def frame(dataset: Dataset) -> pd.DataFrame:
    """The rows of `table` as a user has them."""
    x = dataset.features

    def text(block: npt.NDArray[Any], names: tuple[str, ...]) -> list[str | None]:
        return [None if np.isnan(row).any() else names[int(row.argmax())] for row in block]

    columns = {"a": x[:, 0], "color": text(x[:, 1:4], COLORS), "b b": x[:, 4]}
    return pd.DataFrame({**columns, "size": text(x[:, 5:], SIZES)})
