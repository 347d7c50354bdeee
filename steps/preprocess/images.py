"""Images: a folder per class, read by Pillow."""

import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from steps.configuration import Configuration
from steps.errors import InputError, one_line
from steps.preprocess.dataset import Dataset
from steps.preprocess.files import on_disk

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
GRAY_MODES = ("1", "L", "I", "I;16")
"""Pillow's names for black and white, and for gray of 8 and 16 bits."""

Shape = tuple[int, int, int]
"""Height and width in pixels, and channels: 1 or 3."""


@dataclass(frozen=True)
class ImageFolder:
    """The files below a folder.

    Attributes:
        train: images of each class, sorted.
        test: as `train`, of the part that the publisher has set apart; empty if there is none.
        ignored: how many files are no images.
    """

    train: Mapping[str, tuple[Path, ...]]
    test: Mapping[str, tuple[Path, ...]]
    ignored: int

    @property
    def images(self) -> tuple[Path, ...]:
        """In the order of the rows: by class and name, those of the test part last."""
        return tuple(
            file for part in (self.train, self.test) for files in part.values() for file in files
        )


def image_files(configuration: Configuration) -> tuple[Path, ...]:
    """Every image of the dataset."""
    return _image_folder(configuration.dataset).images


def read_images(configuration: Configuration) -> Dataset:
    """``images:DIR``; rows are uint8 of shape (height, width, channels).

    Raises:
        InputError: the folder is not laid out so, or an image cannot be read or has another size.
    """
    source = configuration.dataset
    folder = _image_folder(source)
    shape = _common_shape(configuration, folder.images)
    class_names = tuple(folder.train)
    parts = (folder.train, folder.test)
    labels = [
        class_names.index(name) for part in parts for name, files in part.items() for _ in files
    ]
    pixels = (_pixels("--dataset", source, file, shape) for file in folder.images)
    return Dataset(
        source=source,
        features=on_disk(pixels, (len(labels), *shape), np.uint8),
        labels=np.array(labels, np.int64),
        class_names=class_names,
        image_shape=shape,
        test_rows=sum(map(len, folder.test.values())),
        facts={"files_ignored": folder.ignored},
    )


def read_image(path: Path, image_shape: Shape) -> npt.NDArray[np.uint8]:
    """The pixels of one image, uint8, shape `image_shape`; resized and recolored where it differs.

    Raises:
        InputError: it cannot be read, or images have another number of channels than 1 and 3.
    """
    if image_shape[2] not in (1, 3):
        problem = f"is an image; the model takes arrays of {image_shape[2]} channels"
        raise InputError("INPUT", path, problem)
    return _pixels("INPUT", str(path), path, image_shape)


def _image_folder(source: str) -> ImageFolder:
    root = Path(source.removeprefix("images:"))
    try:
        folders, loose = _visible(root)
        inside = {folder.name: folder for folder in folders}
        alone = inside.keys() <= {"train", "test"}
        if "train" not in inside or not (alone or _visible(inside["train"])[0]):
            classes, ignored = _classes(source, root)
            return ImageFolder(classes, {}, ignored)
        others = [name for name in inside if name not in ("train", "test")]
        if others:
            raise InputError("--dataset", source, f"holds train/, and beside it {others[0]}/")
        train, ignored = _classes(source, inside["train"])
        test: Mapping[str, tuple[Path, ...]] = {}
        if "test" in inside:
            test, more = _classes(source, inside["test"])
            ignored += more
    except OSError as error:
        problem = f"cannot be read ({(error.strerror or str(error)).lower()}: {error.filename})"
        raise InputError("--dataset", source, problem) from None
    unlearned = [name for name in test if name not in train]
    if unlearned:
        problem = f"class {unlearned[0]} is in test/ only: nothing can learn it"
        raise InputError("--dataset", source, problem)
    return ImageFolder(train, test, ignored + len(loose))


def _classes(source: str, folder: Path) -> tuple[Mapping[str, tuple[Path, ...]], int]:
    """The images of each class folder, and how many files are none."""
    class_folders, loose = _visible(folder)
    if not class_folders:
        raise InputError("--dataset", source, f"there is no class folder in {folder}")
    classes, ignored = {}, len(loose)
    for class_folder in class_folders:
        files = list(_files_below(class_folder))
        images = tuple(file for file in files if file.suffix.lower() in SUFFIXES)
        if not images:
            problem = f"class folder {class_folder} holds no image ({', '.join(SUFFIXES)})"
            raise InputError("--dataset", source, problem)
        classes[class_folder.name] = images
        ignored += len(files) - len(images)
    return classes, ignored


def _files_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """A link back to a folder above is not followed: two of them would have no end in practice."""
    here = folder.resolve()
    if here in above:
        return
    folders, files = _visible(folder)
    yield from files
    for each in folders:
        yield from _files_below(each, above | {here})


def _visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders and files in it, each sorted, without what the system has hidden there."""
    entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    return [e for e in entries if e.is_dir()], [e for e in entries if not e.is_dir()]


def _common_shape(configuration: Configuration, files: tuple[Path, ...]) -> Shape:
    """Of all images, as the user wants it, or else as it is in their files."""
    source, wanted = configuration.dataset, configuration.image_size
    first: tuple[int, int] | None = None
    gray = True
    for file in files:
        with _opened("--dataset", source, file) as image:
            first = first or image.size
            gray = gray and image.mode in GRAY_MODES
            if image.size != first and not wanted:
                (width, height), (w, h) = first, image.size
                told = f"{files[0]} is of {height}x{width} pixels, {file} of {h}x{w}"
                problem = f"images are of different sizes: {told}; --image-size makes them one"
                raise InputError("--dataset", source, problem)
    assert first is not None
    height, width = map(int, wanted.split("x")) if wanted else first[::-1]
    color = configuration.color_mode or ("grayscale" if gray else "rgb")
    return height, width, 1 if color == "grayscale" else 3


def _opened(option: str, value: str, path: Path) -> Image.Image:
    """An image whose pixels are not read yet; only by the decoders of these formats."""
    try:
        with warnings.catch_warnings():
            # One that is twice too large is refused, and one that is not is read.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path, formats=FORMATS)
    except BROKEN as error:
        raise _unreadable(option, value, path, error) from None


BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for a file that is damaged, or is something else."""


def _unreadable(option: str, value: str, path: Path, error: Exception) -> InputError:
    # The user may have typed the folder.
    named = "" if str(path) == value else f"{path} "
    return InputError(option, value, f"{named}is not a readable image: {one_line(error)}")


def _pixels(option: str, value: str, path: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    height, width, channels = shape
    with _opened(option, value, path) as image:
        try:
            picture = _recolored(image, "L" if channels == 1 else "RGB")
        except BROKEN as error:
            raise _unreadable(option, value, path, error) from None
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(shape)


def _recolored(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        # Gray of 16 bits, of which Pillow would make white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    if image.mode == "P" and "transparency" in image.info:
        # The way that Pillow asks for.
        image = image.convert("RGBA")
    return image.convert(mode)
