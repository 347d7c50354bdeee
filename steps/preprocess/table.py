"""Tables: which column of a sheet is what, and the dataset that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from steps.configuration import Configuration
from steps.errors import InputError
from steps.parsing import count
from steps.preprocess.csv_file import CsvFile, open_csv
from steps.preprocess.dataset import Column, Dataset
from steps.preprocess.files import readable
from steps.preprocess.sheet import Sheet, classes, numbers, read_parquet


@dataclass(frozen=True)
class Roles:
    """Which column is what; all others are features of numbers.

    Attributes:
        label: holds the class.
        group: holds the group; None if no column does.
        dropped: are left out.
        categorical: hold categories; None for each that holds a text.
    """

    label: str
    group: str | None
    dropped: tuple[str, ...]
    categorical: tuple[str, ...] | None

    @classmethod
    def of(cls, configuration: Configuration, columns: Sequence[str], label: str = "") -> Self:
        """As the user typed them, by name or else by position.

        Args:
            configuration: what the user typed.
            columns: that there are.
            label: where the user named none.

        Raises:
            InputError: no such column, or it is two things at once.
        """
        label = _named("--label", configuration.label or label or columns[-1], columns)
        taken = {label: "the label"}
        groups = _each("--group", configuration.group, columns, taken, "the group")
        group = groups[0] if groups else None
        dropped = _each("--drop-columns", configuration.drop_columns, columns, taken, "left out")
        if configuration.categorical == "auto":
            return cls(label, group, dropped, None)
        typed = configuration.categorical
        categorical = _each("--categorical", typed, columns, taken, "categorical")
        return cls(label, group, dropped, categorical)


def _each(
    option: str, typed: str, columns: Sequence[str], taken: dict[str, str], role: str
) -> tuple[str, ...]:
    texts = [typed] if option == "--group" else typed.split(",")
    named = tuple(_named(option, text, columns) for text in texts if text)
    for name in named:
        if name in taken:
            raise InputError(option, typed, f"column {name} is {taken[name]} already")
        taken[name] = role
    return named


def _named(option: str, text: str, columns: Sequence[str]) -> str:
    if text in columns:
        return text
    position = count(text)
    if position is not None and position < len(columns):
        return columns[position]
    named = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
    problem = f"no such column; the file has {named} (or positions 0 to {len(columns) - 1})"
    raise InputError(option, text, problem)


def csv_files(configuration: Configuration) -> tuple[Path, ...]:
    """The file of the dataset, and that of its test part; both look like CSV."""
    return tuple(file.path for file in _csv_files(configuration))


def _csv_files(configuration: Configuration) -> list[CsvFile]:
    # A name that was typed and stands in the first row makes it a header, even if all is text.
    label = configuration.label
    named = [label] if label and not label.isdecimal() else []
    path = Path(configuration.dataset.removeprefix("csv:"))
    main = open_csv("--dataset", configuration.dataset, path, named)
    # Seen at once: as a table, a large text file would take three times its size in memory.
    if len(main.columns) == 1:
        raise InputError("--dataset", configuration.dataset, "has no column beside the label")
    if not configuration.test_csv:
        return [main]
    expected = main.columns if main.has_header else ()
    typed = configuration.test_csv
    test = open_csv("--test-csv", typed, Path(typed), expected)
    if test.columns != main.columns:
        raise InputError("--test-csv", typed, _difference(test.columns, main.columns))
    return [main, test]


def _difference(columns: Sequence[str], expected: Sequence[str]) -> str:
    if len(columns) != len(expected):
        return f"has {len(columns)} columns, --dataset has {len(expected)}"
    pairs = enumerate(zip(columns, expected, strict=True))
    place, (name, other) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    return f"column {place} is {name} in its header, and {other} in that of --dataset"


def read_csv_table(configuration: Configuration) -> Dataset:
    """``csv:PATH``, with the rows of ``--test-csv`` at the end."""
    files = _csv_files(configuration)
    roles = Roles.of(configuration, files[0].columns)
    sheets = [file.read(roles.categorical or ()) for file in files]
    return dataset_of(configuration, sheets, roles)


def parquet_files(configuration: Configuration) -> tuple[Path, ...]:
    """The file of the dataset."""
    typed = configuration.dataset
    return (readable("--dataset", typed, Path(typed.removeprefix("parquet:"))),)


def read_parquet_table(configuration: Configuration) -> Dataset:
    """``parquet:PATH``."""
    (path,) = parquet_files(configuration)
    sheet = read_parquet("--dataset", configuration.dataset, path)
    return dataset_of(configuration, [sheet], Roles.of(configuration, list(sheet.cells.columns)))


def dataset_of(configuration: Configuration, sheets: Sequence[Sheet], roles: Roles) -> Dataset:
    """The dataset that sheets make.

    Args:
        configuration: says what becomes of missing cells.
        sheets: one, or a second of the same columns with the test part. Categories are those of
            the first: testing meets new ones as prediction does.
        roles: of the columns.

    Raises:
        InputError: nothing is left, or a cell is not what it should be.
    """
    columns, row_numbers = _columns(sheets[0], roles)
    rows = [_Rows.of(sheet, columns, roles, configuration.missing) for sheet in sheets]
    features = np.concatenate([each.features for each in rows]) if rows[1:] else rows[0].features
    answers = pd.concat([each.answers for each in rows])
    groups = pd.concat([each.groups for each in rows])
    class_names, labels = classes(answers.to_numpy())
    facts: dict[str, Any] = {"columns_left_out": row_numbers}
    if configuration.missing == "drop":
        facts["rows_dropped"] = sum(len(sheet.cells) for sheet in sheets) - len(labels)
    if configuration.missing == "median":
        facts["missing_cells"] = _missing_cells(features, columns)
    return Dataset(
        source=configuration.dataset,
        features=features,
        labels=labels,
        class_names=class_names,
        columns=columns,
        test_rows=len(rows[1].features) if rows[1:] else 0,
        groups=pd.factorize(groups)[0].astype(np.int64) if roles.group is not None else None,
        facts=facts,
    )


def _columns(sheet: Sheet, roles: Roles) -> tuple[tuple[Column, ...], list[str]]:
    """The features, and what is left out of them although nobody said so."""
    cells = sheet.cells
    taken = {roles.label, roles.group, *roles.dropped}
    names = [name for name in cells.columns if name not in taken]
    row_numbers = [name for name in names if _numbers_the_rows(cells[name])]
    names = [name for name in names if name not in row_numbers]
    if not names:
        raise sheet.refusal("has no column beside the label")
    categorical = roles.categorical
    if categorical is None:
        categorical = tuple(name for name in names if _has_text(cells[name]))
    columns = (Column(n, sheet.categories(n) if n in categorical else ()) for n in names)
    return tuple(columns), row_numbers


def _numbers_the_rows(column: "pd.Series[Any]") -> bool:
    """Whether it is what R and pandas write before the first column of a table.

    In a file sorted by class it would tell the class, and nothing of the world.
    """
    name = str(column.name)
    nameless = name.startswith("Unnamed: ") or not name.strip()
    rows = np.arange(len(column))
    return nameless and any(np.array_equal(column, rows + first) for first in (0, 1))


def _has_text(cells: "pd.Series[Any]") -> bool:
    return bool((np.isnan(numbers(cells)) & ~cells.isna().to_numpy()).any())


@dataclass(frozen=True)
class _Rows:
    """Of one sheet: features (rows, features), the class of each row, and its group."""

    features: npt.NDArray[np.float64]
    answers: "pd.Series[Any]"
    groups: "pd.Series[Any]"

    @classmethod
    def of(cls, sheet: Sheet, columns: Sequence[Column], roles: Roles, missing: str) -> Self:
        answers = sheet.cells[roles.label]
        # Without groups each row could be in any: the labels stand in, and are not looked at.
        groups = sheet.cells[roles.group] if roles.group is not None else answers
        if missing != "drop":
            for cells, meaning in ((answers, "label"), (groups, "group")):
                if cells.isna().any():
                    row = int(cells.isna().to_numpy().argmax())
                    raise sheet.refusal_of_cell(str(cells.name), row, f"no {meaning}")
            return cls(sheet.encoded(columns, allow_missing=missing == "median"), answers, groups)
        features = sheet.encoded(columns, allow_missing=True)
        keys = (answers.isna() | groups.isna()).to_numpy()
        whole = ~(np.isnan(features).any(axis=1) | keys)
        if not whole.any():
            raise sheet.refusal("has no row without a missing cell; see --drop-columns")
        return cls(features[whole], answers[whole], groups[whole])


def _missing_cells(features: npt.NDArray[np.float64], columns: Sequence[Column]) -> dict[str, int]:
    """How many each column has, of those that have any."""
    counts, place = {}, 0
    for column in columns:
        counts[column.name] = int(np.isnan(features[:, place]).sum())
        place += len(column.feature_names)
    return {name: count for name, count in counts.items() if count}
