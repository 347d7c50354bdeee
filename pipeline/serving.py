"""Travels inside each saved model: raw rows in, one named probability per class out.

`mlflow models serve`, `mlflow models predict` and `mlflow.pyfunc.load_model` call `_load_pyfunc`.
The file is copied next to the model and has to work there alone.
"""

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

INTERFACE_FILE = "rows.json"
KERAS_FILE = "model.keras"
LITERT_FILE = "model.tflite"
SCALER_FILE = "scaler.npz"
"""Beside a LiteRT file, whose rows are scaled already; a Keras model scales them itself."""

NUMBERS_AT_ONCE = 1 << 22
"""In the rows that the model takes at a time: 27 images of 224 pixels squared in colour."""

ROWS_AT_ONCE = 4096

MISSING = ("", "?", "nan", "None", "<NA>")
"""What a cell of a column of categories says that is empty, by the time that MLflow hands it on."""


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The rows that a model takes, and the classes that it tells apart.

    Attributes:
        class_names: of the model's outputs, in their order.
        columns: of a table, the categories of each column by its name, in order; a column of
            numbers has none. Empty for arrays and images.
        row_shape: of one row as the Keras model takes it: categories are 0 and 1 by then.
        dtype: of the rows as the Keras model takes them, ``float32`` or ``uint8``.
        image_shape: (height, width, channels) of a row as an image; None if it is none.
    """

    class_names: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    row_shape: tuple[int, ...]
    dtype: str
    image_shape: tuple[int, int, int] | None

    @property
    def column_of_features(self) -> list[str]:
        """Of a table, the column that each number of a row comes from."""
        return [
            name
            for name, categories in self.columns.items()
            for _ in range(max(1, len(categories)))
        ]

    def save(self, folder: Path) -> None:
        """Write it beside the Keras model; `load` is the way back."""
        (folder / INTERFACE_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        kept = json.loads((folder / INTERFACE_FILE).read_text(encoding="utf-8"))
        return cls(
            class_names=tuple(kept["class_names"]),
            columns={name: tuple(categories) for name, categories in kept["columns"].items()},
            row_shape=tuple(kept["row_shape"]),
            dtype=kept["dtype"],
            image_shape=kept["image_shape"] and tuple(kept["image_shape"]),
        )


class Program(Protocol):
    """What computes: a Keras model, or a LiteRT file with its scaler."""

    def predict_on_batch(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Probabilities, shape (rows, classes), of raw rows, shape (rows, *row_shape)."""
        ...


class LiteRTProgram:
    """A quantized model: raw rows are scaled here, all else happens in LiteRT."""

    def __init__(self, folder: Path) -> None:
        """Args: where the file and its scaler lie."""
        from ai_edge_litert.interpreter import Interpreter

        with np.load(folder / SCALER_FILE, allow_pickle=False) as scaler:
            self._center, self._factor = scaler["center"], scaler["factor"]
            self._fill = scaler["fill"]
        self._interpreter = Interpreter(str(folder / LITERT_FILE), num_threads=1)
        # MLflow's server answers each question in a thread of its own; LiteRT bears one at a time.
        self._alone = threading.Lock()
        (self._entry,), (self._exit,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )

    def predict_on_batch(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """As `Program`. The arithmetic of the scaling is that of training."""
        raw = rows.astype(np.float32).reshape(-1, *self._entry["shape_signature"][1:])
        raw = np.where(np.isnan(raw), self._fill, raw)
        scaled = (raw - self._center) * self._factor
        told = self._computed(scaled)
        # Whole-number arithmetic would make a number of a missing cell.
        told[~np.isfinite(scaled).reshape(len(rows), -1).all(axis=1)] = np.nan
        # What was rounded need not add to exactly one.
        told /= told.sum(axis=1, keepdims=True)
        return told

    def _computed(self, scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with self._alone:
            self._interpreter.resize_tensor_input(self._entry["index"], scaled.shape)
            self._interpreter.allocate_tensors()
            self._interpreter.set_tensor(self._entry["index"], scaled)
            self._interpreter.invoke()
            told: npt.NDArray[np.float32] = self._interpreter.get_tensor(self._exit["index"])
        return told


class Classifier:
    """A model behind MLflow's pyfunc interface."""

    def __init__(self, model: Program, interface: Interface) -> None:
        """Args: the model, and the rows that it takes."""
        self._model = model
        self.interface = interface
        self._places = [_places(categories) for categories in interface.columns.values()]
        size = max(1, int(np.prod(interface.row_shape)))
        self._rows_at_once = min(ROWS_AT_ONCE, max(1, NUMBERS_AT_ONCE // size))

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Probability of each class, one column per class, one row per row.

        Args:
            rows: as signed. Of a table its columns by name, a mapping or a DataFrame, categories
                as text; else one array, shape (rows, *row_shape).
            params: nothing; MLflow wants to hand it over.

        Raises:
            ValueError: as `probabilities`.
        """
        if isinstance(rows, np.ndarray):
            return self._named(self.probabilities(rows))
        columns = [np.asarray(rows[name]).ravel() for name in self.interface.columns]
        # Encoded a block at a time: there may be many categories.
        blocks = [
            self.probabilities(self._encoded([column[block] for column in columns]), block.start)
            for block in _blocks(len(columns[0]), self._rows_at_once)
        ]
        return self._named(np.concatenate(blocks))

    def probabilities(
        self, features: npt.NDArray[Any], first_row: int = 0
    ) -> npt.NDArray[np.float32]:
        """Probability of each class, shape (rows, classes).

        Args:
            features: rows as the Keras model takes them, shape (rows, *row_shape), in memory or
                on disk; NaN stands for a missing cell.
            first_row: its number, for an error to tell.

        Raises:
            ValueError: another shape, or the model gives no finite probability: it was trained on
                rows without missing cells, say, and here is one.
        """
        if features.shape[1:] != self.interface.row_shape:
            raise ValueError(
                f"has the shape {features.shape}, must be (rows, "
                f"{', '.join(map(str, self.interface.row_shape))})"
            )
        told = np.empty((len(features), len(self.interface.class_names)), np.float32)
        for block in _blocks(len(features), self._rows_at_once):
            taken = np.asarray(features[block], self.interface.dtype)
            told[block] = self._model.predict_on_batch(taken)
            untold = np.flatnonzero(~np.isfinite(told[block]).all(axis=1))
            if untold.size:
                row = first_row + block.start + int(untold[0])
                raise ValueError(f"row {row} (from 0): {self._why_untold(taken[untold[0]])}")
        return told

    def _encoded(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Rows as the Keras model takes them, of the columns of a table."""
        encoded = [
            _one_hot(column, places, len(categories)) if categories else column.astype(np.float32)
            for column, places, categories in zip(
                columns, self._places, self.interface.columns.values(), strict=True
            )
        ]
        return np.column_stack(encoded)

    def _named(self, probabilities: npt.NDArray[np.float32]) -> pd.DataFrame:
        return pd.DataFrame(probabilities, columns=list(self.interface.class_names))

    def _why_untold(self, row: npt.NDArray[Any]) -> str:
        missing = np.flatnonzero(np.isnan(row))
        if not missing.size:
            return "the model gives no finite probability"
        column = self.interface.column_of_features
        where = f"column {column[missing[0]]}" if column else "a number"
        return f"{where} is empty, and the model was trained on rows without empty cells"


def _blocks(rows: int, at_once: int) -> list[slice]:
    return [slice(start, min(start + at_once, rows)) for start in range(0, max(rows, 1), at_once)]


def _one_hot(
    cells: npt.NDArray[Any], places: Mapping[str | float | None, int], categories: int
) -> npt.NDArray[np.float32]:
    """1 in the column of a cell's category, 0 in the others; NaN in all if the cell is missing."""
    known, positions = np.unique(cells.astype(str), return_inverse=True)
    encoded = np.zeros((len(known), categories), np.float32)
    for row, text in enumerate(known):
        place = places.get(text, places.get(_number(text)))
        if place is not None:
            encoded[row, place] = 1
        elif text in MISSING:
            encoded[row] = np.nan
    return encoded[positions]


def _places(categories: Sequence[str]) -> dict[str | float | None, int]:
    """Where each category stands: by its text and, unless others are the same, by its number.

    By the time that MLflow hands it over, 007 of a CSV is 7, or 7.0 if other cells are missing.
    """
    places: dict[str | float | None, int] = {}
    same_number = Counter(map(_number, categories))
    for place, category in enumerate(categories):
        places[category] = place
        number = _number(category)
        if number is not None and same_number[number] == 1:
            places[number] = place
    return places


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def load_classifier(folder: Path) -> Classifier:
    """The model that lies in a folder of MLflow's, beside the rows that it takes."""
    return Classifier(_program(folder), Interface.load(folder))


def _program(folder: Path) -> Program:
    if (folder / LITERT_FILE).exists():
        return LiteRTProgram(folder)
    import keras

    model: Program = keras.saving.load_model(folder / KERAS_FILE, safe_mode=True)
    return model


def _load_pyfunc(path: str) -> Classifier:
    return load_classifier(Path(path))
