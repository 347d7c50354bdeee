"""``python -m pipeline predict``: the class of new rows and images, by the model of a run."""

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import options, terminal
from steps.errors import InputError, one_line, printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.serving import Classifier, Interface

    Prediction = tuple[object, str, np.float32]
    """Name of the input, its most probable class, and the probability of that."""

IMAGES_AT_ONCE = 256
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS_TO_NAME = 8

INPUT = "INPUT"


@click.command()
@options.run_id_option
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--output", default="", help="File to write to, instead of the standard output.")
def predict(run_id: str, inputs: Sequence[str], output: str) -> None:
    """Tell the class of each row of INPUT, by the model of a run.

    As CSV, with its probability. INPUT is a CSV or Parquet file with the columns that the run was
    trained on, an array of rows (.npy), an image, or a folder of images. Rows count from 0,
    through all inputs.
    """
    paths = [_existing(typed) for typed in inputs or ("",)]
    if output and (Path(output).is_dir() or not Path(output).absolute().parent.is_dir()):
        raise InputError("--output", output, "must be a file in a folder that is there")

    from pipeline.serving import load_classifier
    from pipeline.tracking.model import kept_model

    with kept_model(run_id) as folder:
        terminal.quiet_libraries()
        try:
            classifier = load_classifier(folder)
        except Exception as error:
            problem = f"its model is none that can be loaded safely: {one_line(error)}"
            raise InputError("--run-id", run_id, problem) from None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("input", "class", "probability"))
    writer.writerows(_predictions(paths, classifier))
    _write(text.getvalue(), output)


def _existing(typed: str) -> Path:
    if not typed:
        known = "a CSV or Parquet file, a .npy array, an image or a folder of images"
        raise InputError(INPUT, "", f"is needed: {known}")
    if not Path(typed).exists():
        raise InputError(INPUT, typed, "cannot be read (no such file or directory)")
    return Path(typed)


def _write(text: str, output: str) -> None:
    if not output and sys.stdout.isatty():
        # A program gets names as they are; a person's terminal is not to be steered by them.
        text = "\n".join(map(printable, text.split("\n")))
    # Names of files need not be UTF-8; they come out as the bytes that they are.
    content = text.encode("utf-8", "surrogateescape")
    if output:
        try:
            Path(output).write_bytes(content)
        except OSError as error:
            problem = f"cannot be written ({(error.strerror or str(error)).lower()})"
            raise InputError("--output", output, problem) from None
        return
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads along, `head` say, has seen enough; Python would complain of it at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _predictions(paths: Sequence[Path], classifier: "Classifier") -> "Iterator[Prediction]":
    class_names, numbers = classifier.interface.class_names, count()
    for path in paths:
        for names, rows in _read(path, classifier.interface):
            try:
                probabilities = classifier.probabilities(rows)
            except ValueError as error:
                raise InputError(INPUT, path, one_line(error)) from None
            for row, best in enumerate(probabilities.argmax(axis=1)):
                name = names[row] if names else next(numbers)
                yield name, class_names[best], probabilities[row, best]


def _read(
    path: Path, interface: "Interface"
) -> "Iterator[tuple[list[Path], npt.NDArray[np.generic]]]":
    """Rows as the model takes them, a block at a time, and their names if they have any."""
    from steps.preprocess import Column, read_rows
    from steps.preprocess.images import SUFFIXES

    suffix = path.suffix.lower()
    if path.is_dir() or suffix in SUFFIXES:
        yield from _images(path, interface)
    elif suffix == ".npy":
        yield [], _array(path, interface)
    elif interface.columns:
        columns = [Column(*column) for column in interface.columns.items()]
        yield [], read_rows(path, columns)
    elif suffix in TABLE_SUFFIXES:
        raise InputError(INPUT, path, f"is a table; {_taken_by(interface)}")
    else:
        yield from _images(path, interface)


def _images(
    path: Path, interface: "Interface"
) -> "Iterator[tuple[list[Path], npt.NDArray[np.generic]]]":
    import numpy as np

    from steps.preprocess import read_image

    if not _takes_images(interface) or interface.image_shape is None:
        given = "is a folder" if path.is_dir() else "is an image"
        raise InputError(INPUT, path, f"{given}; {_taken_by(interface)}")
    files = _images_below(path) if path.is_dir() else [path]
    for start in range(0, len(files), IMAGES_AT_ONCE):
        block = files[start : start + IMAGES_AT_ONCE]
        images = [read_image(file, interface.image_shape) for file in block]
        yield block, np.stack(images).reshape(-1, *interface.row_shape)


def _images_below(folder: Path) -> list[Path]:
    """All images in a folder and those in it, sorted, without what a system has hidden there."""
    from steps.preprocess.images import SUFFIXES

    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not files:
        raise InputError(INPUT, folder, f"holds no image ({', '.join(SUFFIXES)})")
    return files


def _array(path: Path, interface: "Interface") -> "npt.NDArray[np.generic]":
    """A .npy file, memory-mapped and never unpickled; one row becomes an array of one."""
    import numpy as np

    from steps.preprocess.arrays import mapped

    try:
        rows: npt.NDArray[np.generic] = mapped(path)
    except ValueError as error:
        raise InputError(INPUT, path, str(error)) from None
    if rows.shape == interface.row_shape:
        rows = rows[np.newaxis]
    if rows.shape[1:] != interface.row_shape or not len(rows):
        raise InputError(INPUT, path, f"has the shape {rows.shape}; {_taken_by(interface)}")
    if rows.dtype.kind not in "buif" or (interface.dtype == "uint8" and rows.dtype != np.uint8):
        allowed = "uint8, from 0 to 255" if interface.dtype == "uint8" else "numbers"
        raise InputError(INPUT, path, f"is an array of {rows.dtype}; must be of {allowed}")
    return rows


def _takes_images(interface: "Interface") -> bool:
    """Whether pixels of a file are what the model was trained on: not if somebody scaled them."""
    return interface.image_shape is not None and interface.dtype == "uint8"


def _taken_by(interface: "Interface") -> str:
    shape = ", ".join(map(str, interface.row_shape))
    arrays = f"arrays of shape (rows, {shape}) or, for one row, ({shape})"
    if _takes_images(interface):
        return f"the model takes images, and {arrays}"
    if not interface.columns:
        return f"the model takes {arrays}"
    names = list(interface.columns)
    named = ", ".join(names[:COLUMNS_TO_NAME]) + (", …" if len(names) > COLUMNS_TO_NAME else "")
    return f"the model takes tables with the {len(names)} columns {named}, and {arrays}"
