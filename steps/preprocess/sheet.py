"""Sheets: columns of cells as a file has them, and the numbers that they become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.errors import InputError, one_line
from steps.preprocess.dataset import Column
from steps.preprocess.files import readable

MOST_CATEGORIES = 1000
"""A column of more is a text or a number, and would become as many columns of zeros."""

LARGEST_EXACT = 2.0**53
"""Whole numbers up to it are floats of their own."""


@dataclass(frozen=True)
class Sheet:
    """Columns of cells, and how to tell the user of one of them.

    Attributes:
        option: that named the file, such as ``--dataset``.
        value: as typed.
        cells: a column per name, and a row per row.
        row_name: of a row, from 0, where the user finds it: ``row 7``.
    """

    option: str
    value: str
    cells: pd.DataFrame
    row_name: Callable[[int], str] = lambda row: f"row {row + 1}"

    def __post_init__(self) -> None:
        """Raises: InputError if there is no cell."""
        if self.cells.empty:
            raise self.refusal("has no rows")

    def refusal(self, problem: str) -> InputError:
        """The exception that says what is wrong with the file."""
        return InputError(self.option, self.value, problem)

    def refusal_of_cell(self, column: str, row: int, problem: str) -> InputError:
        """The exception that says what is wrong with one cell of it."""
        return self.refusal(f"column {column}, {self.row_name(row)}: {problem}")

    def encoded(self, columns: Sequence[Column], *, allow_missing: bool) -> npt.NDArray[np.float64]:
        """What the model takes, float64, shape (rows, feature names of all `columns`).

        Categories become 0 and 1; one that `columns` does not have is 0 everywhere. A missing
        cell is NaN, also in each category of its column.

        Raises:
            InputError: a cell is no finite number, or is missing and may not be.
        """
        widths = [len(column.feature_names) for column in columns]
        features = np.empty((len(self.cells), sum(widths)))
        for column, end in zip(columns, np.cumsum(widths), strict=True):
            cells = self.cells[column.name]
            missing = cells.isna().to_numpy()
            if missing.any() and not allow_missing:
                problem = "an empty cell, NaN or ?; --missing drop and --missing median take those"
                raise self.refusal_of_cell(column.name, int(missing.argmax()), problem)
            if column.categories:
                indices = pd.Index(column.categories).get_indexer(pd.Index(texts(cells)))
                known = np.flatnonzero(indices >= 0)
                encoded = features[:, end - len(column.categories) : end]
                encoded[:] = 0
                encoded[known, indices[known]] = 1
                encoded[missing] = np.nan
            else:
                features[:, end - 1] = self._finite(column.name, cells, missing)
        return features

    def _finite(
        self, name: str, cells: "pd.Series[Any]", missing: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        values = numbers(cells)
        bad = np.flatnonzero(~np.isfinite(values) & ~missing)
        if bad.size:
            told = f"{str(cells.iloc[bad[0]])!r}, not a finite number"
            if np.isnan(values[bad[0]]):
                told += "; a column of categories goes into --categorical"
            raise self.refusal_of_cell(name, int(bad[0]), told)
        return values

    def categories(self, name: str) -> tuple[str, ...]:
        """Those of a column, sorted by letter.

        Raises:
            InputError: none, or too many for them to be categories.
        """
        found = sorted(set(texts(self.cells[name].dropna())))
        if not 0 < len(found) <= MOST_CATEGORIES:
            problem = f"column {name} has {len(found)} categories, allowed are 1 to"
            raise self.refusal(f"{problem} {MOST_CATEGORIES}; see --categorical and --drop-columns")
        return tuple(found)


def read_parquet(option: str, value: str, path: Path) -> Sheet:
    """The columns of a Parquet file by pandas, which takes an index for no column.

    Raises:
        InputError: it cannot be read.
    """
    readable(option, value, path)
    try:
        cells = pd.read_parquet(path)
    except (OSError, ValueError, NotImplementedError) as error:
        problem = f"is not a readable Parquet file: {one_line(error)}"
        raise InputError(option, value, problem) from None
    cells.columns = cells.columns.map(str)
    return Sheet(option, value, cells)


def numbers(cells: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    """NaN where a cell is missing or is no number, such as a text or a date."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(np.float64, na_value=np.nan)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(object)
    if not pd.api.types.is_object_dtype(cells) and not pd.api.types.is_string_dtype(cells):
        return np.full(len(cells), np.nan)
    try:
        parsed = pd.to_numeric(cells, errors="coerce")
    except OverflowError:
        # A whole number of more than 308 digits, which as a text is infinite.
        parsed = pd.to_numeric(cells.astype(str), errors="coerce")
    return parsed.to_numpy(np.float64, na_value=np.nan)


def texts(cells: "pd.Series[Any]") -> list[str]:
    """Each cell as text; 3.0 as ``3``, because a missing cell makes floats of whole numbers."""
    return [
        str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
        for cell in cells.tolist()
    ]


def classes(labels: npt.NDArray[Any]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Names of the classes, sorted, and of each row the index of its own.

    Args:
        labels: numbers, truth values or texts, none missing, shape (rows,).
    """
    if labels.dtype == object:
        labels = labels.astype(str)
    elif np.issubdtype(labels.dtype, np.floating):
        whole = (abs(labels) <= LARGEST_EXACT) & (labels == np.round(labels))
        labels = labels.astype(np.int64) if whole.all() else labels
    names, indices = np.unique(labels, return_inverse=True)
    return tuple(map(str, names)), indices.astype(np.int64)
