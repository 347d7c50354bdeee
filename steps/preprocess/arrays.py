"""Arrays: rows and labels of NumPy files, mapped into memory and never unpickled."""

import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.configuration import Configuration
from steps.errors import InputError, one_line
from steps.preprocess.dataset import Column, Dataset
from steps.preprocess.files import on_disk, readable
from steps.preprocess.sheet import classes

BYTES_AT_ONCE = 1 << 24
MOST_CHANNELS = 4
"""Of images whose second axis is 1 or 3 long: with more their channels came first."""

NPZ_LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("x_train", "y_train"),
    ("X", "y"),
    ("x", "y"),
)
LAST_CHARACTER = 0x10FFFF
"""Of Unicode."""

TEST_PART = {"x_test", "y_test"}
"""One without the other is a mistake."""

NPY_NAMES = ("X", "y", "Xtest", "ytest")

BROKEN = (
    *(OSError, EOFError, RuntimeError, ValueError, OverflowError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What Python raises for an archive that is damaged, in its names as well as in its members."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Rows, their labels, and what the user calls them."""

    rows: Array
    labels: Array
    rows_name: str
    labels_name: str


def npz_files(configuration: Configuration) -> tuple[Path, ...]:
    """The file of the dataset."""
    typed = configuration.dataset
    return (readable("--dataset", typed, Path(typed.removeprefix("npz:"))),)


def read_npz(configuration: Configuration) -> Dataset:
    """``npz:PATH`` with x_train, y_train, x_test and y_test as Keras has them, or X and y."""
    (path,) = npz_files(configuration)
    source = configuration.dataset
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            layout = next((each for each in NPZ_LAYOUTS if set(each) <= set(members)), ())
            if not layout or (len(layout) == 2 and TEST_PART & set(members)):
                known = " or ".join(", ".join(each) for each in NPZ_LAYOUTS)
                held = ", ".join(members) or "nothing"
                raise InputError("--dataset", source, f"must hold {known}; it holds {held}")
            arrays = {}
            for name in layout:
                extracted = Path(folder) / f"{name}.npy"
                with archive.open(members[name]) as member, extracted.open("wb") as file:
                    shutil.copyfileobj(member, file, BYTES_AT_ONCE)
                # The file stays until nothing maps it, whatever becomes of its name.
                arrays[name] = _mapped(source, name, extracted)
    except InputError:
        raise
    except BROKEN as error:
        problem = f"is not a readable npz file: {one_line(error)}"
        raise InputError("--dataset", source, problem) from None
    facts = {"files_ignored": len(members) - len(layout)}
    return dataset_of_arrays(source, _parts(arrays), facts)


def npy_files(configuration: Configuration) -> tuple[Path, ...]:
    """The two or four files of the dataset."""
    typed = configuration.dataset
    paths = [Path(path.strip()) for path in typed.removeprefix("npy:").split(",")]
    if len(paths) not in (2, 4):
        problem = f"names {len(paths)} files; must be npy:X.npy,y.npy or with Xtest.npy,ytest.npy"
        raise InputError("--dataset", typed, problem)
    return tuple(readable("--dataset", typed, path) for path in paths)


def read_npy(configuration: Configuration) -> Dataset:
    """``npy:X.npy,y.npy``, or with ``,Xtest.npy,ytest.npy`` behind."""
    source = configuration.dataset
    paths = zip(NPY_NAMES, npy_files(configuration), strict=False)
    named = {f"{name} ({path.name})": path for name, path in paths}
    arrays = {name: _mapped(source, name, path) for name, path in named.items()}
    return dataset_of_arrays(source, _parts(arrays), {})


def _parts(arrays: Mapping[str, Array]) -> list[Part]:
    names = list(arrays)
    return [
        Part(arrays[rows], arrays[labels], rows, labels)
        for rows, labels in zip(names[::2], names[1::2], strict=True)
    ]


def _mapped(source: str, name: str, path: Path) -> Array:
    try:
        return mapped(path)
    except ValueError as error:
        raise _refusal(source, name, str(error)) from None


def mapped(path: Path) -> Array:
    """An array of a .npy file. Objects would have to be unpickled, which can run any code.

    Raises:
        ValueError: it is none; the message says so in a line.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    # Its header is an expression of Python's, which can be wrong in every way that Python knows.
    except Exception as error:
        problem = f"is no .npy array: {one_line(error)}"
        if "Python objects" in problem:
            problem = "holds pickled Python objects, which are never loaded; save it as numbers"
        raise ValueError(problem) from None


def dataset_of_arrays(source: str, parts: list[Part], facts: Mapping[str, Any]) -> Dataset:
    """The dataset that arrays make.

    Args:
        source: as the user named it.
        parts: one, or a second that the publisher has set apart for testing. Rows of shape
            (rows, features) are a table, (rows, height, width) and (rows, height, width, channels)
            are images; labels are whole numbers, truth values or texts, (rows,) or (rows, 1).
        facts: of the dataset.

    Raises:
        InputError: an array has another shape or type, is empty or too short, or has a NaN.
    """
    for part in parts:
        _check_rows(source, part, parts[0])
    labels = [_labels(source, part) for part in parts]
    shape = (sum(len(part.rows) for part in parts), *parts[0].rows.shape[1:])
    is_table = len(shape) == 2
    pixels = "uint8" if parts[0].rows.dtype == np.uint8 else "float32"
    dtype: np.dtype[Any] = np.dtype("float64" if is_table else pixels)
    blocks = (block for part in parts for block in _blocks(source, part, dtype))
    class_names, indices = classes(np.concatenate(labels))
    return Dataset(
        source=source,
        features=on_disk(blocks, shape, dtype),
        labels=indices,
        class_names=class_names,
        columns=tuple(Column(str(place)) for place in range(shape[1])) if is_table else (),
        image_shape=None if is_table else (shape[1], shape[2], shape[3] if shape[3:] else 1),
        test_rows=sum(len(part.rows) for part in parts[1:]),
        facts=facts,
    )


def _labels(source: str, part: Part) -> Array:
    labels = part.labels
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    name, shape = part.labels_name, part.labels.shape
    if labels.ndim != 1:
        raise _refusal(source, name, f"has the shape {shape}; must be (rows,) or (rows, 1)")
    if labels.dtype.kind not in "iubUS":
        allowed = "must be whole numbers, truth values or texts"
        raise _refusal(source, name, f"is of {labels.dtype}; {allowed}")
    if len(labels) != len(part.rows):
        problem = f"has {len(labels)} labels for the {len(part.rows)} rows of {part.rows_name}"
        raise _refusal(source, name, problem)
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "U":
        _check_characters(source, name, labels)
    return labels


def _check_characters(source: str, name: str, labels: Array) -> None:
    """NumPy takes any number for a character; Python and files do not."""
    if not labels.dtype.itemsize:
        return
    native = np.ascontiguousarray(labels, labels.dtype.newbyteorder("="))
    codes = native.view(np.uint32).reshape(len(labels), -1)
    bad = ((codes > LAST_CHARACTER) | ((codes >= 0xD800) & (codes < 0xE000))).any(axis=1)
    if bad.any():
        problem = f"row {int(bad.argmax())} (from 0) holds a text of characters that there are not"
        raise _refusal(source, name, problem)


def _check_rows(source: str, part: Part, first: Part) -> None:
    rows, name = part.rows, part.rows_name
    if rows.ndim not in (2, 3, 4):
        allowed = (
            "must be (rows, features), (rows, height, width) or (rows, height, width, channels)"
        )
        raise _refusal(source, name, f"has the shape {rows.shape}; {allowed}")
    if not rows.size:
        raise _refusal(source, name, f"has the shape {rows.shape}: it is empty")
    if rows.dtype.kind not in "iubf":
        raise _refusal(source, name, f"is of {rows.dtype}; must be numbers")
    if rows.ndim == 4 and rows.shape[1] in (1, 3) and rows.shape[3] > MOST_CHANNELS:
        problem = f"has the shape {rows.shape}: channels come last, (rows, height, width, channels)"
        raise _refusal(source, name, problem)
    if rows.shape[1:] != first.rows.shape[1:]:
        problem = f"has rows of shape {rows.shape[1:]}, {first.rows_name} of {first.rows.shape[1:]}"
        raise _refusal(source, name, problem)
    if rows.ndim > 2 and rows.dtype != first.rows.dtype:
        problem = f"is of {rows.dtype}, {first.rows_name} of {first.rows.dtype}: other pixels"
        raise _refusal(source, name, problem)


def _blocks(source: str, part: Part, dtype: np.dtype[Any]) -> Iterator[Array]:
    """The rows, a few at a time, so that no copy of all is made in memory."""
    rows_at_once = max(1, BYTES_AT_ONCE // (part.rows[0].size * dtype.itemsize))
    for start in range(0, len(part.rows), rows_at_once):
        with np.errstate(over="ignore"):  # It is not finite then, and refused.
            block = np.asarray(part.rows[start : start + rows_at_once], dtype)
        if not np.isfinite(block).all():
            row = start + int((~np.isfinite(block).reshape(len(block), -1).all(axis=1)).argmax())
            problem = f"row {row} (from 0) has a value that is no finite {dtype.name}"
            raise _refusal(source, part.rows_name, problem)
        yield block


def _refusal(source: str, name: str, problem: str) -> InputError:
    return InputError("--dataset", source, f"array {name} {problem}")
