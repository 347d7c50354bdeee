"""Whatever reads a file that comes from elsewhere, and what it is held to.

A file is read, or refused in one line that names it: no other exception, and no hang. What a
fuzzer may do to the bytes of a file is for `test_fuzzing.py` and `fuzz_parsers.py`.
"""

import io
import json
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from energy import calibration
from energy.sources.replay import Trace
from pipeline import greenest_file
from pipeline.quantize_grid import space_file
from pipeline.search.space import Space
from pipeline.tracking.earlier_steps import EarlierSteps
from steps.configuration import Configuration
from steps.errors import InputError
from steps.partition import INDICES, STATISTICS
from steps.preprocess import Column, Dataset, preprocess, read_image, read_rows

LONGEST_S = 60.0
"""Longer is a hang: each of them takes milliseconds."""

PROJECT = Path(__file__).parent.parent.parent
PIXELS = np.arange(9 * 4 * 5, dtype=np.uint8).reshape(9, 4, 5)
LABELS = np.array([0, 1, 2] * 3)
COLUMNS = (Column("a"), Column("color", ("blue", "red")))


@dataclass(frozen=True)
class Parser:
    """One of them.

    Attributes:
        suffix: of the name of its files.
        read: reads one; raises what it refuses with.
        refusals: what that may be, each beginning its message so.
        seeds: good files, to begin from.
    """

    suffix: str
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], str]
    seeds: tuple[bytes, ...]

    def tried(self, path: Path, content: bytes) -> bool:
        """Whether a file of that content is read. Raises: whatever is neither that nor a line."""
        path.write_bytes(content)
        kind, beginning = self.refusals
        try:
            with no_hang():
                self.read(path)
        except kind as refusal:
            # A subclass is something that nobody caught.
            assert type(refusal) is kind, repr(refusal)
            line = str(refusal)
            assert line.startswith(beginning) and line.isprintable(), line
            assert kind is not InputError or len(line) < 3000, line
            return False
        return True


class HangError(BaseException):
    """No exception that anybody would catch."""


@contextmanager
def no_hang() -> Iterator[None]:
    """Within the main thread."""

    def stop(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sound(dataset: Dataset) -> Dataset:
    """What every dataset that was read is, whatever it was read from."""
    count = len(dataset.labels)
    assert len(dataset.features) == count > 0
    assert set(np.unique(dataset.labels)) <= set(range(len(dataset.class_names)))
    assert len(set(dataset.class_names)) == len(dataset.class_names) > 1
    # A lone surrogate, say, goes into no file and no database.
    for name in (*dataset.class_names, *dataset.feature_names):
        name.encode()
    if dataset.is_table:
        assert len(dataset.feature_names) == dataset.features.shape[1]
    else:
        assert np.isfinite(dataset.features).all()
    return dataset


def of_dataset(kind: str, **given: str) -> Callable[[Path], object]:
    return lambda path: sound(preprocess(Configuration(dataset=f"{kind}:{path}", **given)))


def _npy_pair(path: Path) -> object:
    """The file as rows, and as labels, each beside a good one."""
    rows, labels = (path.with_name(name) for name in ("rows.npy", "labels.npy"))
    np.save(rows, PIXELS)
    np.save(labels, LABELS)
    as_rows = Configuration(dataset=f"npy:{path},{labels}")
    as_labels = Configuration(dataset=f"npy:{rows},{path}")
    read = []
    for each in (as_rows, as_labels):
        try:
            read.append(sound(preprocess(each)))
        except InputError as error:
            assert type(error) is InputError
            refusal = error
    if not read:
        raise refusal
    return read


def _image(path: Path) -> object:
    pixels = read_image(path, (3, 4, 3))
    assert (pixels.shape, pixels.dtype) == ((3, 4, 3), np.uint8)
    assert read_image(path, (2, 2, 1)).shape == (2, 2, 1)
    return pixels


def _image_folder(path: Path) -> object:
    """The file as one image of a dataset, whose size and colour it may decide."""
    root = path.with_name(f"images of {path.suffix[1:]}")
    for place in range(6):
        folder = root / "ab"[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}{path.suffix}").write_bytes(path.read_bytes())
    return of_dataset("images")(root)


def _trace(path: Path) -> object:
    trace = Trace.read(path)
    for device in trace.devices:
        halves = [trace.energy_j(device, share * trace.duration_s) for share in (0, 0.5, 1)]
        assert np.isfinite([*halves, trace.doubt_j(device, trace.duration_s)]).all(), halves
    return trace


def _calibration(path: Path) -> object:
    read = calibration.parse(str(path))
    assert isinstance(read, calibration.PartCalibration)
    return read


def _readings(path: Path) -> object:
    fitted = calibration.fit(calibration.read_readings(path))
    assert np.isfinite([fitted.relative_error, fitted.raw_relative_error]).all()
    return fitted


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _squeezed(method: int) -> bytes:
    """An npz in one of zip's other compressions."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("X.npy", _npy(PIXELS))
        archive.writestr("y.npy", _npy(LABELS))
    return file.getvalue()


def _parquet() -> bytes:
    frame = pd.DataFrame({"a": np.arange(9.0), "color": list("rgb") * 3, "label": LABELS})
    return frame.to_parquet()


def _drawn(suffix: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).convert(mode)
    image.save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return file.getvalue()


DRAWN = {
    "png": (_drawn("png"), _drawn("png", "P", transparency=3), _drawn("png", "I;16")),
    "jpg": (_drawn("jpg"), _drawn("jpg", "CMYK"), _drawn("jpg", "L", progressive=True)),
    "gif": (_drawn("gif", "P"), _drawn("gif", "P", transparency=1, interlace=1)),
    "bmp": (_drawn("bmp"), _drawn("bmp", "1"), _drawn("bmp", "RGBA")),
    "webp": (_drawn("webp", lossless=True), _drawn("webp", "RGBA")),
}

TABLE = b"a,color,label\n" + b"".join(
    b"%d.5,%s,%s\n" % (n, b"red" if n % 3 else b"blue", b"yes" if n % 2 else b"no")
    for n in range(9)
)
NUMBERS = b"a,b,label\n" + b"".join(b"%d.5,-1e%d,%d\n" % (n, n, n % 2) for n in range(9))
SEMICOLONS = b"\xef\xbb\xbf" + b"1;2;x\r\n3;4;y\r\n\r\n" * 4 + b'"5";1e3;"x"\r\n'
HOLES = b"a,b,label\n" + b"1,2,x\n?,3,y\n,4,x\n5,NA,y\n7,8,y\n" * 4
TRACE = b"time_s,gpu0,cpu\n0,100,20\n0.5,250.5,21\n2,90,20\n"
CALIBRATION = b"gpu: {scale: 1.1, offset_w: 12}\ncpu:\n  scale: 1.3\n  offset_w: 20\n"
READINGS = b"energy_j,duration_s,wall_j\n200,10,640\n2500,10,3400\n900,12,1500\n90,3,150\n"


def _spaces(*names: str) -> tuple[bytes, ...]:
    return tuple((PROJECT / "spaces" / f"{name}.yaml").read_bytes() for name in names)


class _Run(EarlierSteps):
    """A run whose partition step left the file, beside good statistics."""

    def __init__(self, path: Path) -> None:
        self.run_id = "1"
        self._path = path

    @contextmanager
    def _artifacts(self, path: str, step: str) -> Iterator[Path]:
        folder = self._path.with_name("partition")
        folder.mkdir(exist_ok=True)
        (folder / INDICES).write_bytes(self._path.read_bytes())
        told = {"center": [0.0], "scale": [1.0], "fill": None, "duplicates": {}}
        (folder / STATISTICS).write_text(json.dumps(told))
        yield folder


def _partition(path: Path) -> object:
    return _Run(path).partition(9)


BY_DATASET = (InputError, "--dataset ")
BY_INPUT = (InputError, "INPUT ")

PARSERS = {
    "space": Parser(
        ".yaml", Space.load, (InputError, "--space "), _spaces("greenest", "green_screen")
    ),
    "formats": Parser(".yaml", space_file.load, (InputError, "--space "), _spaces("fixed_point")),
    "configuration": Parser(
        ".yaml",
        greenest_file.read,
        (InputError, "--config "),
        (b"# Written by Greenest.\ndataset: csv:rows.csv\nlr: 0.01\nhidden: 6,6\nseed: 3\n",),
    ),
    "csv": Parser(".csv", of_dataset("csv"), BY_DATASET, (NUMBERS, SEMICOLONS)),
    "csv of categories": Parser(
        ".csv",
        of_dataset("csv", categorical="auto", missing="median"),
        BY_DATASET,
        (TABLE, SEMICOLONS, HOLES),
    ),
    "csv of which rows are dropped": Parser(
        ".csv",
        of_dataset("csv", label="2", missing="drop"),
        (InputError, "--"),
        (HOLES, NUMBERS, SEMICOLONS),
    ),
    "csv with the name of a gzip": Parser(".csv.gz", of_dataset("csv"), BY_DATASET, (NUMBERS,)),
    "rows to predict": Parser(
        ".csv", lambda path: read_rows(path, COLUMNS), BY_INPUT, (TABLE, b"1,red\n2,blue\n")
    ),
    "parquet": Parser(
        ".parquet", of_dataset("parquet", categorical="auto"), BY_DATASET, (_parquet(),)
    ),
    "npz": Parser(
        ".npz",
        of_dataset("npz"),
        BY_DATASET,
        (
            _npz(X=PIXELS, y=LABELS),
            _npz(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:3], y_test=LABELS[:3]),
            *map(_squeezed, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
        ),
    ),
    "npy": Parser(
        ".npy",
        _npy_pair,
        BY_DATASET,
        (_npy(PIXELS), _npy(LABELS), _npy(np.array(["ä", "b", "c"] * 3)), _npy(PIXELS / 7)),
    ),
    **{
        f"image: {suffix}": Parser(f".{suffix}", _image, BY_INPUT, seeds)
        for suffix, seeds in DRAWN.items()
    },
    **{
        f"images: {suffix}": Parser(f".{suffix}", _image_folder, BY_DATASET, seeds)
        for suffix, seeds in DRAWN.items()
    },
    "partition of a run": Parser(
        ".npz",
        _partition,
        (InputError, "--run-id "),
        (_npz(train=np.arange(6), validation=np.arange(6, 8), test=np.arange(8, 9)),),
    ),
    "trace": Parser(".csv", _trace, (ValueError, "power trace"), (TRACE,)),
    "calibration": Parser(".yaml", _calibration, (ValueError, "calibration"), (CALIBRATION,)),
    "readings": Parser(".csv", _readings, (ValueError, ""), (READINGS,)),
}
