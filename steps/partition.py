"""Partition: which rows train, validate and test, and the scaler that training rows teach."""

import json
import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from steps.errors import InputError, one_line
from steps.preprocess import Dataset
from steps.scaling import Indices, ScaledRows, Scaler, learn_scaler

PARTS = ("train", "validation", "test")
MOST_FOLDS = 20
INDICES, STATISTICS = "indices.npz", "statistics.json"
"""Files of a saved partition."""


@dataclass(frozen=True)
class Partition:
    """The three parts of a dataset.

    Attributes:
        train: row indices, sorted, int64.
        validation: as `train`.
        test: as `train`.
        scaler: learned from the training part.
        duplicates: by ``validation`` and ``test``, how many of its rows are also training rows.
    """

    train: Indices
    validation: Indices
    test: Indices
    scaler: Scaler
    duplicates: dict[str, int]

    def scaled(self, part: str, dataset: Dataset) -> ScaledRows:
        """The rows of a part as the classifier takes them, scaled when they are asked for."""
        return ScaledRows(dataset.features, getattr(self, part), self.scaler, dataset.scaled_shape)

    def require_rows(self, count: int) -> None:
        """Raises: ValueError if a part is not of indices of so many rows."""
        for part in PARTS:
            indices = getattr(self, part)
            if indices.ndim != 1 or indices.dtype.kind not in "iu":
                raise ValueError(f"{part} is no list of rows")
            if indices.size and not 0 <= indices.min() <= indices.max() < count:
                raise ValueError(f"{part} has rows that the dataset has not")

    def described(self) -> str:
        """How many rows each part has, and how many of them training has seen all the same."""
        sizes = ", ".join(f"{len(getattr(self, part))} {part}" for part in PARTS)
        repeated = [f"{count} {part}" for part, count in self.duplicates.items() if count]
        if not repeated:
            return sizes
        return f"{sizes}; {' and '.join(repeated)} rows are equal to training rows"

    def save(self, folder: Path) -> None:
        """Write ``indices.npz`` and ``statistics.json`` into `folder`; `load` is the way back."""
        indices = {part: getattr(self, part) for part in PARTS}
        np.savez_compressed(folder / INDICES, allow_pickle=False, **indices)
        statistics = {
            "center": self.scaler.center.tolist(),
            "scale": self.scaler.scale.tolist(),
            "fill": None if self.scaler.fill is None else self.scaler.fill.tolist(),
            "duplicates": self.duplicates,
        }
        (folder / STATISTICS).write_text(json.dumps(statistics), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        statistics = json.loads((folder / STATISTICS).read_text(encoding="utf-8"))
        scaler = Scaler(
            center=np.array(statistics["center"]),
            scale=np.array(statistics["scale"]),
            fill=None if statistics["fill"] is None else np.array(statistics["fill"]),
        )
        with np.load(folder / INDICES, allow_pickle=False) as indices:
            parts = {part: indices[part] for part in PARTS}
        return cls(**parts, scaler=scaler, duplicates=statistics["duplicates"])


def partition(
    dataset: Dataset,
    partitioning: str,
    preprocessing: str,
    seed: int,
    *,
    time_ordered: bool = False,
) -> Partition:
    """Draw the parts, stratified by class, and learn the scaler from the training rows.

    A published test part stays the test part: the rest is split between training and validation
    in the proportion that was asked for. Groups are kept together, so that the shares are met as
    well as the groups allow. Rows in order of time are not drawn: the first train, the last test.

    Args:
        dataset: what `preprocess` made.
        partitioning: percent of training, validation and test rows, such as ``80-10-10``.
        preprocessing: ``none``, ``standardization``, ``robust_scaling`` or ``minmax``.
        seed: of the draw.
        time_ordered: whether the rows are in order of time, and the parts to follow it.

    Raises:
        InputError: a part would be too small to hold each class, or has a class that the training
            part has not.
    """
    train_share, validation_share, test_share = (int(p) / 100 for p in partitioning.split("-"))
    rows = np.arange(len(dataset.labels))
    own, test = np.split(rows, [len(rows) - dataset.test_rows])
    if dataset.groups is not None:
        _refuse_groups_in_both(dataset.groups[own], dataset.groups[test])
    draw = _Draw(dataset, partitioning, seed, time_ordered)
    if not dataset.test_rows:
        own, test = draw.split(own, test_share)
    train, validation = draw.split(own, validation_share / (train_share + validation_share))
    train, validation, test = (np.sort(part) for part in (train, validation, test))
    draw.require_all_classes(train)
    scaler = _learned(preprocessing, dataset, train)
    duplicates = _duplicates(dataset, train, validation, test)
    return Partition(train, validation, test, scaler, duplicates)


def for_final_training(parts: Partition, dataset: Dataset, preprocessing: str) -> Partition:
    """The same test part, and all other rows for training; the scaler is learned anew from these.

    Args:
        parts: what `partition` made.
        dataset: as there.
        preprocessing: as there.

    Raises:
        InputError: a column has no value in any training row.
    """
    train = np.union1d(parts.train, parts.validation)
    none = train[:0]
    scaler = _learned(preprocessing, dataset, train)
    return Partition(train, none, parts.test, scaler, _duplicates(dataset, train, none, parts.test))


@dataclass(frozen=True)
class _Draw:
    """How rows are split in two."""

    dataset: Dataset
    partitioning: str
    seed: int
    time_ordered: bool

    def split(self, rows: Indices, share: float) -> tuple[Indices, Indices]:
        """Two parts of `rows`, the second with about that share of them."""
        count = round(len(rows) * share)
        if self.time_ordered:
            first, second = np.split(rows, [len(rows) - count])
            if not (len(first) and len(second)):
                raise self._too_few(count, rows)
            return first, second
        labels = self.dataset.labels[rows]
        if self.dataset.groups is not None:
            return self._split_groups(rows, labels, self.dataset.groups[rows], share)
        try:
            first, second = train_test_split(
                rows, test_size=count, stratify=labels, random_state=self.seed
            )
        except ValueError:
            raise self._too_few(count, rows) from None
        return first, second

    def _split_groups(
        self, rows: Indices, labels: npt.NDArray[Any], groups: npt.NDArray[Any], share: float
    ) -> tuple[Indices, Indices]:
        # So many of so many folds: of a fifth or a tenth of the rows one, of two fifths two.
        wanted = Fraction(share).limit_denominator(MOST_FOLDS) or Fraction(1, round(1 / share))
        if len(np.unique(groups)) < wanted.denominator:
            problem = (
                f"has {len(np.unique(groups))} groups to draw a part of {share:.0%} from: too few"
            )
            raise InputError("--group", "", problem)
        splitter = StratifiedGroupKFold(wanted.denominator, shuffle=True, random_state=self.seed)
        with warnings.catch_warnings():
            # Of classes with fewer rows than folds: `require_all_classes` has the last word.
            warnings.simplefilter("ignore", UserWarning)
            try:
                folds = [fold for _, fold in splitter.split(rows, labels, groups)]
            except ValueError as error:
                raise InputError("--group", "", one_line(error)) from None
        first, second = folds[wanted.numerator :], folds[: wanted.numerator]
        return rows[np.concatenate(first)], rows[np.concatenate(second)]

    def require_all_classes(self, train: Indices) -> None:
        """Raises: InputError if a class is in another part only."""
        counts = np.bincount(self.dataset.labels[train], minlength=len(self.dataset.class_names))
        if not counts.all():
            missing = self.dataset.class_names[int(counts.argmin())]
            option = "--time-ordered" if self.time_ordered else "--partitioning"
            value = "yes" if self.time_ordered else self.partitioning
            raise InputError(option, value, f"leaves no training rows of class {missing}")

    def _too_few(self, count: int, rows: Indices) -> InputError:
        classes = len(self.dataset.class_names)
        problem = f"leaves {count} of {len(rows)} rows for a part, too few to hold each of the "
        return InputError("--partitioning", self.partitioning, f"{problem}{classes} classes")


def _refuse_groups_in_both(own: npt.NDArray[Any], test: npt.NDArray[Any]) -> None:
    shared = len(np.intersect1d(own, test))
    if shared:
        problem = f"groups in the published test part and in the other rows as well: {shared}"
        raise InputError("--group", "", problem)


def _learned(preprocessing: str, dataset: Dataset, train: Indices) -> Scaler:
    rows = dataset.features[train].reshape(-1, *dataset.scaled_shape)
    if np.issubdtype(rows.dtype, np.floating) and dataset.is_table:
        empty = np.flatnonzero(np.isnan(rows).all(axis=0))
        if empty.size:
            column = dataset.feature_names[empty[0]]
            raise InputError("--missing", "median", f"no training row has a value in {column}")
    return learn_scaler(preprocessing, rows)


def _duplicates(
    dataset: Dataset, train: Indices, validation: Indices, test: Indices
) -> dict[str, int]:
    """Rows are the same if all their features are; compared by hash, one row at a time."""

    def hashes(rows: Indices) -> list[int]:
        return [hash(dataset.features[row].tobytes()) for row in rows]

    known = set(hashes(train))
    return {
        name: sum(each in known for each in hashes(rows))
        for name, rows in (("validation", validation), ("test", test))
    }
