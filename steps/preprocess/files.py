"""Files: whether one can be read, and arrays that lie on disk rather than in memory."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.errors import InputError


def readable(option: str, value: str, path: Path) -> Path:
    """`path`, a file that can be read.

    Raises:
        InputError: there is none, it is a folder, or it may not be read.
    """
    try:
        # Opening a pipe would wait for somebody to write into it.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(option, value, f"cannot be read ({path} is no file)")
        with path.open("rb"):
            return path
    except OSError as error:
        problem = f"cannot be read ({(error.strerror or str(error)).lower()}: {path})"
        raise InputError(option, value, problem) from None


def on_disk(
    blocks: Iterable[npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Blocks of rows one after the other, as an array of `shape` that is mapped into memory.

    Its file has no name, and goes when the array goes. Written rather than mapped for writing,
    because a full disk is then an error, and not a signal that ends the program.
    """
    with tempfile.TemporaryFile() as file:
        for block in blocks:
            np.ascontiguousarray(block, dtype).tofile(file)
        file.flush()
        return np.memmap(file, dtype, mode="r", shape=shape)
