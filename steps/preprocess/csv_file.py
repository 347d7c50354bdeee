"""CSV files: how one is laid out, which is seen from its first bytes, and its cells."""

import csv
import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import pandas as pd

from steps.errors import InputError, one_line
from steps.preprocess.files import readable
from steps.preprocess.sheet import Sheet

HEAD_BYTES = 1 << 22
"""A line longer than that is none: the file is something else."""

SAMPLE_LINES = 20
DELIMITERS = ",;\t|"
MISSING = ("?", "NA")
"""Cells that do not tell whether their column is one of numbers."""


@dataclass(frozen=True)
class CsvFile:
    """The layout of a CSV file.

    Attributes:
        option: that named it, such as ``--dataset``.
        value: as typed.
        path: of the file.
        delimiter: between cells.
        has_header: whether the first row names the columns.
        columns: their names; positions from 0 where it has no header.
    """

    option: str
    value: str
    path: Path
    delimiter: str
    has_header: bool
    columns: tuple[str, ...]

    def read(self, text_columns: Collection[str] = ()) -> Sheet:
        """All rows. Cells of `text_columns` stay as they were written: ``007``.

        Raises:
            InputError: a row is broken, or there is none.
        """
        as_text = {
            place: str for place, name in enumerate(self.columns) if name in set(text_columns)
        }
        cells = self._read(None, as_text)
        return Sheet(self.option, self.value, cells, self._row_name)

    def _read(self, rows: int | None, as_text: dict[int, type[str]]) -> pd.DataFrame:
        try:
            cells = pd.read_csv(
                self.path,
                sep=self.delimiter,
                # Its first bytes were text, whatever its name ends in.
                compression=None,
                header=0 if self.has_header else None,
                nrows=rows,
                # By place: a header with a name twice has other names by now.
                dtype=as_text,
                na_values=["?"],
                skipinitialspace=True,
                float_precision="round_trip",
                low_memory=False,
            )
        except (OSError, ValueError) as error:
            problem = f"is not a readable CSV: {one_line(error)}"
            raise InputError(self.option, self.value, problem) from None
        if not isinstance(cells.index, pd.RangeIndex):
            # Else pandas would take the first column for names of rows, and shift the others.
            problem = "its rows have more cells than its first row has names"
            raise InputError(self.option, self.value, problem)
        cells.columns = pd.Index(self.columns or cells.columns.map(str))
        return cells

    def _row_name(self, row: int) -> str:
        """Its line in the file, from 1: blank lines are lines, but no rows."""
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            lines = (reader.line_num for cells in reader if cells)
            try:
                return f"row {next(islice(lines, row + self.has_header, None))}"
            except (csv.Error, StopIteration):
                # The file is stranger to Python than it is to pandas.
                return f"row {row + 1} of those with data"


def open_csv(option: str, value: str, path: Path, expected: Collection[str] = ()) -> CsvFile:
    """See how a CSV file is laid out, from its first bytes.

    Args:
        option: that named it.
        value: as typed.
        path: of the file.
        expected: names of columns; a first row with all of them is a header for sure.

    Raises:
        InputError: it cannot be read, is no text in UTF-8 and no CSV, or has no rows.
    """
    sample = _first_lines(option, value, path)
    try:
        # A delimiter that is none leaves one cell in some row, if not in each.
        tables = {delimiter: _cells(sample, delimiter) for delimiter in DELIMITERS}
    except csv.Error as error:
        problem = f"is not a readable CSV: {one_line(error)}"
        raise InputError(option, value, problem) from None
    delimiter = max(tables, key=lambda each: min(map(len, tables[each]), default=0))
    rows = tables[delimiter]
    if not rows:
        raise InputError(option, value, "has no rows")
    known = bool(expected) and set(expected) <= set(rows[0])
    file = CsvFile(option, value, path, delimiter, known or _is_header(rows[0], rows[1:]), ())
    columns = file._read(1, {}).columns
    return CsvFile(option, value, path, delimiter, file.has_header, tuple(columns))


def _first_lines(option: str, value: str, path: Path) -> str:
    with readable(option, value, path).open("rb") as file:
        head = file.read(HEAD_BYTES)
    if b"\0" in head:
        raise InputError(option, value, "is not a text file in UTF-8")
    if len(head) == HEAD_BYTES:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1]
        if not head:
            problem = f"is no CSV: its first line is longer than {HEAD_BYTES >> 20} MiB"
            raise InputError(option, value, problem)
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(option, value, "is not a text file in UTF-8") from None
    return "".join(islice(io.StringIO(text, newline=""), SAMPLE_LINES))


def _cells(sample: str, delimiter: str) -> list[list[str]]:
    lines = io.StringIO(sample, newline="")
    return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    numbers = [cell for cell in first if _is_number(cell) and math.isfinite(float(cell))]
    counted = [str(i) for i in range(len(numbers) + 1)]
    # A header may number its columns, from 0 or 1. Any other number belongs to a row of data,
    # whatever else is in that row: it must not vanish as a header.
    if numbers not in (counted[:-1], counted[1:]):
        return False
    if not others or len(numbers) == len(first):
        return True
    columns = zip_longest(*others, fillvalue="")
    return any(_names_numbers(*each) for each in zip(first, columns, strict=False))


def _names_numbers(cell: str, below: Sequence[str]) -> bool:
    """Whether a column is numbers everywhere but in its first cell, which thus is its name."""
    known = [each for each in below if each not in ("", *MISSING)]
    if cell in MISSING or _is_number(cell) or not known:
        return False
    return all(map(_is_number, known))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
