"""Rows to predict: a file with at least the columns of a model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steps.errors import InputError
from steps.preprocess.csv_file import CsvFile, open_csv
from steps.preprocess.dataset import Column
from steps.preprocess.files import readable
from steps.preprocess.sheet import Sheet, read_parquet

OPTION = "INPUT"
PARQUET_MAGIC = b"PAR1"
NAMES_TO_TELL = 8


def read_rows(path: Path, columns: Sequence[Column]) -> npt.NDArray[np.float64]:
    """Raw rows as a model takes them, from a CSV or Parquet file.

    Columns are found by their names; others, such as the label, are ignored. In a CSV without
    names they are found by position: either it has the columns of the model and no other, in
    their order, or those of the model were positions as well and are these.

    Args:
        path: of the file.
        columns: of the dataset that the model was trained on.

    Returns:
        Raw rows, shape (rows, features), float64. A missing cell is NaN; a category that the model
        does not know is 0 in each feature of its column.

    Raises:
        InputError: the file cannot be read, lacks a column, or has a cell that is no number.
    """
    if _magic(path) == PARQUET_MAGIC:
        sheet = read_parquet(OPTION, str(path), path)
        _require_names(OPTION, str(path), columns, tuple(sheet.cells.columns))
    else:
        sheet = _read_csv(path, columns)
    return sheet.encoded(columns, allow_missing=True)


def _magic(path: Path) -> bytes:
    with readable(OPTION, str(path), path).open("rb") as file:
        return file.read(len(PARQUET_MAGIC))


def _read_csv(path: Path, columns: Sequence[Column]) -> Sheet:
    names = [column.name for column in columns]
    by_position = all(name.isdecimal() for name in names)
    # Positions for names are numbers, and a row of numbers may hold the same ones.
    file = open_csv(OPTION, str(path), path, expected=() if by_position else names)
    if not file.has_header:
        file = replace(file, columns=_named_by_position(file, names, by_position))
    _require_names(OPTION, str(path), columns, file.columns)
    return file.read(text_columns=[column.name for column in columns if column.categories])


def _named_by_position(file: CsvFile, names: list[str], by_position: bool) -> tuple[str, ...]:
    if len(file.columns) == len(names):
        return tuple(names)
    if by_position:
        return file.columns
    problem = f"has no header and {len(file.columns)} columns; the model takes {len(names)}"
    raise InputError(file.option, file.value, f"{problem}: {_some(names)}")


def _require_names(
    option: str, value: str, columns: Sequence[Column], found: tuple[str, ...]
) -> None:
    missing = [column.name for column in columns if column.name not in found]
    if missing:
        problem = f"lacks {len(missing)} columns of the model: {_some(missing)}"
        raise InputError(option, value, f"{problem}; it has {_some(found)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_TO_TELL]) + (", …" if len(names) > NAMES_TO_TELL else "")
