"""Preprocess: read a dataset, check it, and make numbers of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess.arrays import npy_files, npz_files, read_npy, read_npz
from steps.preprocess.dataset import Column, Dataset, check_classes
from steps.preprocess.images import image_files, read_image, read_images
from steps.preprocess.public import BUNDLED, read_bundled, read_keras, read_openml
from steps.preprocess.rows import read_rows
from steps.preprocess.table import (
    csv_files,
    parquet_files,
    read_csv_table,
    read_parquet_table,
)

__all__ = ["Column", "Dataset", "input_files", "preprocess", "read_image", "read_rows"]


def _no_files(configuration: Configuration) -> tuple[Path, ...]:
    """Of a dataset that its library knows by name."""
    return ()


@dataclass(frozen=True)
class _Reader:
    """How datasets of one kind are read, and from which files."""

    usage: str
    read: Callable[[Configuration], Dataset]
    files: Callable[[Configuration], tuple[Path, ...]] = _no_files


READERS = {
    "csv": _Reader("csv:PATH", read_csv_table, csv_files),
    "parquet": _Reader("parquet:PATH", read_parquet_table, parquet_files),
    "npz": _Reader("npz:PATH", read_npz, npz_files),
    "npy": _Reader("npy:X.npy,y.npy[,Xtest.npy,ytest.npy]", read_npy, npy_files),
    "images": _Reader("images:DIR", read_images, image_files),
    "openml": _Reader("openml:NAME_OR_ID", read_openml),
    "keras": _Reader("keras:NAME", read_keras),
}
"""By what stands before the colon."""


def preprocess(configuration: Configuration) -> Dataset:
    """Read and check the dataset of a configuration.

    Args:
        configuration: of which ``dataset`` says what to read, and ``label``, ``test_csv``,
            ``drop_columns``, ``categorical``, ``missing``, ``group``, ``image_size`` and
            ``color_mode`` how.

    Raises:
        InputError: unknown dataset, unreadable file, a cell or a pixel that is no number, fewer
            than two classes, or a class with fewer rows than there are parts.
    """
    dataset = _reader(configuration).read(configuration)
    check_classes(dataset, parts=2 if dataset.test_rows else 3)
    return dataset


def input_files(configuration: Configuration) -> tuple[Path, ...]:
    """The files that `preprocess` reads; none of a dataset that its library knows by name.

    Raises:
        InputError: one is missing, or is at first sight not what it should be.
    """
    return _reader(configuration).files(configuration)


def _reader(configuration: Configuration) -> _Reader:
    source = configuration.dataset
    prefix, colon, _ = source.partition(":")
    if source in BUNDLED:
        return _Reader(source, read_bundled)
    if colon and prefix in READERS:
        return READERS[prefix]
    usages = ", ".join([*BUNDLED, *(reader.usage for reader in READERS.values())])
    raise InputError("--dataset", source, f"choose one of {usages}")
