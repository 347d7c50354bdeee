"""Preprocess: read a dataset, check it, and make numbers of it."""

import csv
import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import datasets

from steps.errors import InputError, one_line

BUNDLED: dict[str, Callable[[], object]] = {
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
}
PARTS = 3


@dataclass(frozen=True)
class Table:
    """A checked dataset.

    Attributes:
        source: as the user named it, such as ``digits`` or ``csv:data/rows.csv``.
        features: raw values, shape (rows, features), float64, finite.
        labels: class of each row as an index into `class_names`, shape (rows,), int64.
        feature_names: one per column of `features`.
        class_names: sorted; numbers by value, text by letter.
        left_out: columns of the file that are no features: nameless ones that number its rows.
    """

    source: str
    features: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Short hash of what training can see: features, labels and class names."""
        content = hashlib.sha256(self.features.tobytes())
        content.update(self.labels.tobytes())
        content.update("\0".join(self.class_names).encode())
        return content.hexdigest()[:12]


def preprocess(dataset: str, label: str = "") -> Table:
    """Read and check a dataset.

    Args:
        dataset: the name of a dataset that comes with scikit-learn, or ``csv:PATH``.
        label: column of the CSV that holds the class, by name or by position from 0;
            empty for the last one.

    Raises:
        InputError: unknown dataset, unreadable file, missing label column, a cell that is no
            number, fewer than two classes, or a class with fewer rows than there are parts.
    """
    if dataset in BUNDLED:
        table = _bundled(dataset)
    elif dataset.startswith("csv:"):
        table = _from_csv(dataset, label)
    else:
        allowed = f"choose one of {', '.join(BUNDLED)} or csv:PATH"
        raise InputError("--dataset", dataset, allowed)
    _check_classes(table)
    return table


def _bundled(name: str) -> Table:
    bunch = BUNDLED[name]()
    return Table(
        source=name,
        features=np.asarray(bunch.data, np.float64),  # type: ignore[attr-defined]
        labels=np.asarray(bunch.target, np.int64),  # type: ignore[attr-defined]
        feature_names=tuple(map(str, bunch.feature_names)),  # type: ignore[attr-defined]
        class_names=tuple(map(str, bunch.target_names)),  # type: ignore[attr-defined]
    )


def _from_csv(dataset: str, label: str) -> Table:
    path = Path(dataset.removeprefix("csv:"))
    delimiter, has_header = _layout(dataset, path)
    try:
        frame = pd.read_csv(
            path,
            sep=delimiter,
            header=0 if has_header else None,
            skipinitialspace=True,
            float_precision="round_trip",
            low_memory=False,
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            "--dataset", dataset, f"is not a readable CSV: {one_line(error)}"
        ) from None
    frame.columns = frame.columns.map(str)
    if frame.empty:
        raise InputError("--dataset", dataset, "has no rows")

    label_column = _label_column(frame, label)
    line_of = partial(_line_of, path, delimiter, has_header)
    answers = frame.pop(label_column)
    if answers.isna().any():
        row = line_of(int(np.flatnonzero(answers.isna())[0]))
        raise InputError("--dataset", dataset, f"column {label_column}, row {row}: no label")
    row_numbers = [name for name in frame.columns if _numbers_the_rows(frame[name])]
    frame = frame.drop(columns=row_numbers)
    if frame.columns.empty:
        raise InputError("--dataset", dataset, "has no column beside the label")
    classes, labels = np.unique(answers.to_numpy(), return_inverse=True)
    return Table(
        source=dataset,
        features=_numbers(frame, dataset, line_of),
        labels=labels.astype(np.int64),
        feature_names=tuple(frame.columns),
        class_names=tuple(map(str, classes)),
        left_out=tuple(row_numbers),
    )


def _numbers_the_rows(column: "pd.Series[Any]") -> bool:
    """Whether it is what R and pandas write before the first column of a table.

    In a file sorted by class it would tell the class, and nothing of the world.
    """
    name = str(column.name)
    nameless = name.startswith("Unnamed: ") or not name.strip()
    rows = np.arange(len(column))
    return nameless and any(np.array_equal(column, rows + first) for first in (0, 1))


def _layout(dataset: str, path: Path) -> tuple[str, bool]:
    """Delimiter, and whether the first row names the columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = "".join(file.readline(1 << 20) for _ in range(20))
    except OSError as error:
        problem = f"cannot be read ({(error.strerror or str(error)).lower()})"
        raise InputError("--dataset", dataset, problem) from None
    except UnicodeDecodeError:
        raise InputError("--dataset", dataset, "is not a text file in UTF-8") from None
    try:
        # A delimiter that is none leaves one cell in some row, if not in each.
        tables = {delimiter: _cells(sample, delimiter) for delimiter in ",;\t|"}
    except csv.Error as error:
        raise InputError(
            "--dataset", dataset, f"is not a readable CSV: {one_line(error)}"
        ) from None
    delimiter = max(tables, key=lambda each: min(map(len, tables[each]), default=0))
    rows = tables[delimiter]
    if not rows:
        raise InputError("--dataset", dataset, "has no rows")
    return delimiter, _is_header(rows[0], rows[1:])


def _cells(sample: str, delimiter: str) -> list[list[str]]:
    lines = io.StringIO(sample, newline="")
    return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]


def _is_header(first: list[str], others: list[list[str]]) -> bool:
    numbers = [cell for cell in first if _is_number(cell) and math.isfinite(float(cell))]
    counted = [str(i) for i in range(len(numbers) + 1)]
    # A header may number its columns, from 0 or 1. Any other number belongs to a row of data,
    # whatever else is in that row: it must not vanish as a header.
    if numbers not in (counted[:-1], counted[1:]):
        return False
    if not others or len(numbers) == len(first):
        return True
    # A column that is a number everywhere but in the first row was named there.
    return any(
        not _is_number(cell)
        and any(column < len(row) for row in others)
        and all(_is_number(row[column]) for row in others if column < len(row) and row[column])
        for column, cell in enumerate(first)
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _label_column(frame: pd.DataFrame, label: str) -> str:
    columns = list(frame.columns)
    if not label:
        return columns[-1]
    if label in columns:
        return label
    if label.isdecimal() and int(label) < len(columns):
        return columns[int(label)]
    named = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
    problem = f"no such column; the file has {named} (or positions 0 to {len(columns) - 1})"
    raise InputError("--label", label, problem)


def _line_of(path: Path, delimiter: str, has_header: bool, row: int) -> int:
    """Line of the file, from 1, of a row of data, from 0: blank lines are lines, but no rows."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter)
        lines = (reader.line_num for cells in reader if cells)
        return next(islice(lines, row + has_header, None))


def _numbers(
    frame: pd.DataFrame, dataset: str, line_of: Callable[[int], int]
) -> npt.NDArray[np.float64]:
    columns = []
    for name in frame.columns:
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            cell = frame[name].iloc[bad[0]]
            told = f"{str(cell)!r}, not a finite number"
            found = "an empty cell or NaN" if pd.isna(cell) else told
            problem = f"column {name}, row {line_of(bad[0])}: {found}"
            raise InputError("--dataset", dataset, problem)
        columns.append(values)
    return np.column_stack(columns)


def _check_classes(table: Table) -> None:
    if len(table.class_names) < 2:
        only = f"all {len(table.labels)} rows are of class {table.class_names[0]}"
        raise InputError("--dataset", table.source, f"needs two classes or more; {only}")
    counts = np.bincount(table.labels, minlength=len(table.class_names))
    smallest = int(counts.argmin())
    if counts[smallest] < PARTS:
        name, rows = table.class_names[smallest], counts[smallest]
        problem = f"class {name} has {rows} rows, fewer than the {PARTS} parts; is this the label?"
        raise InputError("--dataset", table.source, problem)
