"""What the preprocess step makes: a checked dataset, and how it lies on disk."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from steps.errors import InputError

DIGEST_BYTES_AT_ONCE = 1 << 26


@dataclass(frozen=True)
class Column:
    """A column of a table, as the user has it.

    Attributes:
        name: of the column.
        categories: of a column of categories, sorted; empty for a column of numbers.
    """

    name: str
    categories: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Its own name, or one name per category: ``color=red``."""
        return tuple(f"{self.name}={category}" for category in self.categories) or (self.name,)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A checked dataset: raw rows, their classes, and what is known of them.

    Attributes:
        source: as the user named it, such as ``digits`` or ``csv:data/rows.csv``.
        features: raw rows. Of a table float64, shape (rows, features), one column per feature
            name, categories as 0 and 1; NaN stands for a missing cell where those are allowed. Of
            arrays and images as they came (uint8 or float32), shape (rows, *row_shape).
        labels: class of each row as an index into `class_names`, shape (rows,), int64.
        class_names: sorted; numbers by value, text by letter; of image folders by letter.
        columns: of a table; empty for arrays and images.
        image_shape: (height, width, channels) of a row as an image; None if it is none.
        test_rows: how many rows at the end the publisher has set apart for testing; 0 if he has
            not.
        groups: of each row, rows of one group belong into one part; shape (rows,), int64.
        facts: what the run shall tell of how the data were read: columns left out, rows dropped.
            What JSON can hold.
    """

    source: str
    features: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    test_rows: int = 0
    groups: npt.NDArray[np.int64] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    """Short hash of all that training can see; computed where it is not given."""

    def __post_init__(self) -> None:
        """Compute the digest."""
        if not self.digest:
            object.__setattr__(self, "digest", _digest(self))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One per column of a table's `features`; empty for arrays and images."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def is_table(self) -> bool:
        """Whether a row is a row of numbers rather than an image."""
        return self.features.ndim == 2

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of one raw row."""
        return tuple(self.features.shape[1:])

    @property
    def scaled_shape(self) -> tuple[int, ...]:
        """Of one row for the classifier: (features,), or (height, width, channels)."""
        if self.is_table or self.image_shape is None:
            return self.row_shape
        return self.image_shape

    def save(self, folder: Path) -> None:
        """Write it into `folder`, which exists and is empty; `load` is the way back."""
        np.save(folder / "features.npy", self.features, allow_pickle=False)
        np.save(folder / "labels.npy", self.labels, allow_pickle=False)
        if self.groups is not None:
            np.save(folder / "groups.npy", self.groups, allow_pickle=False)
        described = {
            name: getattr(self, name)
            for name in ("source", "class_names", "image_shape", "test_rows", "facts", "digest")
        }
        described["columns"] = [asdict(column) for column in self.columns]
        (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote; the features stay on disk until they are looked at."""

        def array(name: str) -> npt.NDArray[Any]:
            return np.lib.format.open_memmap(folder / f"{name}.npy", mode="r")

        described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        shape = described.pop("image_shape")
        return cls(
            features=array("features"),
            labels=np.array(array("labels")),
            groups=np.array(array("groups")) if (folder / "groups.npy").exists() else None,
            class_names=tuple(described.pop("class_names")),
            image_shape=tuple(shape) if shape else None,
            columns=tuple(
                Column(column["name"], tuple(column["categories"]))
                for column in described.pop("columns")
            ),
            **described,
        )


def _digest(dataset: Dataset) -> str:
    content = hashlib.sha256()
    shape_and_more = (
        dataset.features.shape,
        dataset.features.dtype.str,
        dataset.class_names,
        [asdict(column) for column in dataset.columns],
        dataset.image_shape,
        dataset.test_rows,
    )
    content.update(json.dumps(shape_and_more).encode())
    for array in (dataset.features, dataset.labels, dataset.groups):
        for block in _blocks(array):
            content.update(block.data)
    return content.hexdigest()[:12]


def _blocks(array: npt.NDArray[Any] | None) -> Iterator[npt.NDArray[Any]]:
    """The rows of an array a few at a time: a large one is on disk and need not come in whole."""
    if array is None:
        return
    row_bytes = max(1, array[:1].nbytes)
    rows = max(1, DIGEST_BYTES_AT_ONCE // row_bytes)
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows])


def check_classes(dataset: Dataset, parts: int) -> None:
    """Make sure that there is something to tell apart, in each part.

    Args:
        dataset: just read.
        parts: into how many parts the rows that are not the publisher's test part will be split.

    Raises:
        InputError: one class only, a class with fewer rows than there are parts, or one that only
            the test part has.
    """
    names, labels = dataset.class_names, dataset.labels
    if len(names) < 2:
        only = f"all {len(labels)} rows are of class {names[0]}"
        raise InputError("--dataset", dataset.source, f"needs two classes or more; {only}")
    own = labels[: len(labels) - dataset.test_rows]
    counts = np.bincount(own, minlength=len(names))
    smallest = int(counts.argmin())
    if counts[smallest] == 0 and dataset.test_rows:
        problem = f"class {names[smallest]} is in the test part only: nothing can learn it"
        raise InputError("--dataset", dataset.source, problem)
    if counts[smallest] < parts:
        problem = (
            f"class {names[smallest]} has {counts[smallest]} rows, fewer than the {parts} parts; "
            "is this the label?"
        )
        raise InputError("--dataset", dataset.source, problem)
