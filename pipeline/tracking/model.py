"""How models are kept in MLflow, and how they come back to classify rows."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from pipeline import serving
from pipeline.serving import Interface
from pipeline.tracking.earlier_steps import EarlierSteps
from pipeline.tracking.paths import DATA, MODEL
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from steps.preprocess import Dataset
    from steps.scaling import Scaler

ARRAYS = ("npz:", "npy:")
"""How the source of a dataset begins that is an array, even if its rows are those of a table."""

EXAMPLE_ROWS = 3
EXAMPLE_NUMBERS = 1 << 13
"""At most, in the example of a row: MLflow writes it as text, twice."""


def save_model(folder: Path, model: "keras.Model", dataset: "Dataset") -> None:
    """Save `model`, which takes raw rows, with a signature, an example and what serving needs.

    MLflow's own ``log_model`` signs a Keras model with one float32 tensor, with which ``mlflow
    models predict`` refuses a CSV, and its probabilities come without the names of the classes.

    Args:
        folder: empty, and a model in MLflow's format when this returns.
        model: with the scaler inside.
        dataset: raw rows.
    """
    interface = _interface(dataset)
    description = mlflow.models.Model()
    mlflow.tensorflow.save_model(
        model,
        str(folder),
        mlflow_model=description,
        signature=_signature(interface, _inputs(dataset)),
        input_example=_example(dataset),
        code_paths=[serving.__file__],
        pip_requirements=_pins("mlflow", "tensorflow", "keras", "pandas"),
    )
    interface.save(folder / DATA)
    description.flavors["python_function"]["loader_module"] = "serving"
    description.save(str(folder / "MLmodel"))
    _clean(folder)


def save_quantized_model(
    folder: Path, content: bytes, scaler: "Scaler", dataset: "Dataset"
) -> None:
    """Save a LiteRT file, which takes scaled rows, as a model that takes the same as the float one.

    MLflow's plain Python flavor around it needs neither Keras nor TensorFlow.

    Args:
        folder: empty, and a model in MLflow's format when this returns.
        content: the ``.tflite`` file.
        scaler: maps raw rows to those that the file takes.
        dataset: raw rows.
    """
    interface = _interface(dataset)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, DATA)
        data.mkdir()
        (data / serving.LITERT_FILE).write_bytes(content)
        # Where no cell is missing, what would stand for one is as missing.
        fill = np.full(1, np.nan) if scaler.fill is None else scaler.fill
        np.savez(
            data / serving.SCALER_FILE,
            center=scaler.center.astype(np.float32),
            factor=(1 / scaler.scale).astype(np.float32),
            fill=fill.astype(np.float32),
        )
        interface.save(data)
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module="serving",
            data_path=str(data),
            code_paths=[serving.__file__],
            signature=_signature(interface, _inputs(dataset)),
            input_example=_example(dataset),
            pip_requirements=_pins("mlflow", "ai-edge-litert", "numpy", "pandas"),
        )
    _clean(folder)


def _clean(folder: Path) -> None:
    """Of what Python left there when MLflow tried whether the model's code can be imported."""
    for leftover in list(folder.rglob("__pycache__")):
        shutil.rmtree(leftover)


@contextmanager
def kept_model(run_id: str) -> Iterator[Path]:
    """The folder that `serving.load_classifier` takes, for as long as the block lasts.

    Raises:
        InputError: there is no such run, or no model in it, or none that is of any use.
    """
    run = EarlierSteps(run_id).recorded()
    if run.tags.get("outcome") == Outcome.DIVERGED:
        raise InputError("--run-id", run_id, "its training diverged; there is no model to use")
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{MODEL}", dst_path=folder)
        except (MlflowException, OSError):
            problem = "has nothing from the train step; run that first"
            raise InputError("--run-id", run_id, problem) from None
        if not Path(path, DATA, serving.INTERFACE_FILE).exists():
            problem = "an earlier version kept its model, without the rows it takes; train it anew"
            raise InputError("--run-id", run_id, problem)
        yield Path(path, DATA)


def _interface(dataset: "Dataset") -> Interface:
    return Interface(
        class_names=dataset.class_names,
        columns={column.name: column.categories for column in dataset.columns},
        row_shape=dataset.row_shape,
        dtype="uint8" if dataset.features.dtype == np.uint8 else "float32",
        image_shape=dataset.image_shape,
    )


def _has_named_columns(dataset: "Dataset") -> bool:
    """Whether a row is asked for by name; the columns of an array are called by their places."""
    return bool(dataset.columns) and not dataset.source.startswith(ARRAYS)


def _inputs(dataset: "Dataset") -> Schema:
    """Tensors rather than MLflow's column types, which refuse whole numbers read from a CSV."""
    interface = _interface(dataset)
    if not _has_named_columns(dataset):
        return Schema([TensorSpec(np.dtype(interface.dtype), (-1, *interface.row_shape))])
    return Schema(
        [
            TensorSpec(np.dtype(str if categories else np.float32), (-1,), name)
            for name, categories in interface.columns.items()
        ]
    )


def _example(dataset: "Dataset") -> "pd.DataFrame | npt.NDArray[Any] | None":
    """The first rows as the user has them; None if they are too large to show."""
    fitting = EXAMPLE_NUMBERS // int(np.prod(dataset.row_shape))
    rows = np.asarray(dataset.features[: min(EXAMPLE_ROWS, fitting)])
    if not fitting:
        return None
    if not _has_named_columns(dataset):
        return rows
    columns: dict[str, Any] = {}
    first = 0
    for column in dataset.columns:
        block = rows[:, first : first + len(column.feature_names)]
        first += block.shape[1]
        columns[column.name] = (
            [column.categories[row.argmax()] if row.any() else None for row in block == 1]
            if column.categories
            else block[:, 0]
        )
    return pd.DataFrame(columns)


def _signature(interface: Interface, inputs: Schema) -> ModelSignature:
    probabilities = TensorSpec(np.dtype(np.float32), (-1, len(interface.class_names)))
    return ModelSignature(inputs, Schema([probabilities]))


def _pins(*names: str) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]
