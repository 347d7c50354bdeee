from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import input_files, read_image

RANDOM = np.random.default_rng(0)
LOSSLESS = ("png", "bmp", "webp")
SUFFIXES = (*LOSSLESS, "jpg", "jpeg", "gif", "PNG")


def pixels(height: int = 9, width: int = 11, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return RANDOM.integers(0, 256, shape, np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.fixture
def folder(tmp_path):
    """Three images of each of two classes."""
    images = {}
    for name in ("cat", "dog"):
        for number in range(3):
            images[f"{name}/{number}.png"] = pixels()
            save(tmp_path / name / f"{number}.png", images[f"{name}/{number}.png"])
    return tmp_path, images


def test_a_folder_is_a_class_and_rows_come_in_the_order_of_names(read, folder):
    root, images = folder
    dataset = read(f"images:{root}")
    np.testing.assert_array_equal(dataset.features, list(images.values()))
    assert dataset.features.dtype == np.uint8
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.class_names == ("cat", "dog")
    assert (dataset.image_shape, dataset.test_rows) == ((9, 11, 3), 0)
    assert input_files(Configuration(dataset=f"images:{root}")) == tuple(root / n for n in images)


def test_a_folder_test_beside_train_is_the_test_part(read, tmp_path):
    images = [pixels() for _ in range(6)]
    names = ("train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2", "test/cat/1", "test/dog/1")
    for name, image in zip(names, images, strict=True):
        save(tmp_path / f"{name}.png", image)
    dataset = read(f"images:{tmp_path}")
    np.testing.assert_array_equal(dataset.features, images)
    assert dataset.labels.tolist() == [0, 0, 1, 1, 0, 1]
    assert dataset.test_rows == 2


def test_train_and_test_can_be_the_names_of_classes(read, tmp_path):
    for name in ("train", "test", "bus"):
        for number in range(3):
            save(tmp_path / name / f"{number}.png", pixels())
    assert read(f"images:{tmp_path}").class_names == ("bus", "test", "train")


def test_what_is_no_image_is_ignored_and_counted_and_what_is_hidden_is_not_even_counted(
    read, folder
):
    root, images = folder
    (root / "SOURCE.txt").write_text("from here")
    (root / "cat" / "notes.md").write_text("soft")
    (root / "cat" / ".hidden.png").write_text("no image")
    (root / ".git").mkdir()
    dataset = read(f"images:{root}")
    assert len(dataset.labels) == len(images)
    assert dataset.facts == {"files_ignored": 2}


def test_images_in_folders_of_a_class_folder_are_of_that_class(read, folder):
    root, _ = folder
    save(root / "cat" / "more" / "1.png", pixels())
    assert read(f"images:{root}").labels.tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_is_read(tmp_path, suffix):
    image = pixels()
    path = save(tmp_path / f"image.{suffix}", image)
    read = read_image(path, (9, 11, 3))
    assert (read.shape, read.dtype) == ((9, 11, 3), np.uint8)
    np.testing.assert_array_equal(read, Image.open(path).convert("RGB"))
    if suffix in LOSSLESS:
        np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("I;16", 1), ("P", 3), ("RGBA", 3), ("LA", 3)]
)
def test_images_are_gray_only_if_all_are(read, folder, mode, channels):
    root, _ = folder
    gray = pixels(channels=1)
    for path in root.rglob("*.png"):
        if mode == "I;16":
            Image.fromarray(gray.astype(np.uint16) << 8).save(path)
        else:
            Image.fromarray(gray).convert(mode).save(path)
    assert read(f"images:{root}").image_shape == (9, 11, channels)
    save(root / "cat" / "1.png", pixels())
    assert read(f"images:{root}").image_shape == (9, 11, 3)


@pytest.mark.parametrize(("color_mode", "channels"), [("grayscale", 1), ("rgb", 3)])
def test_the_color_mode_decides_where_it_is_given(read, folder, color_mode, channels):
    root, images = folder
    save(root / "cat" / "gray.png", pixels(channels=1))
    dataset = read(f"images:{root}", color_mode=color_mode)
    assert dataset.image_shape == (9, 11, channels)
    first = Image.fromarray(images["cat/0.png"])
    expected = np.asarray(first.convert("L"))[..., None] if channels == 1 else np.asarray(first)
    np.testing.assert_array_equal(dataset.features[0], expected)


def test_gray_of_16_bits_becomes_gray_of_8_and_not_white(tmp_path):
    gray = pixels(channels=1)
    path = save(tmp_path / "deep.png", gray.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path, (9, 11, 1))[..., 0], gray)


def test_transparency_is_dropped_without_a_warning(tmp_path, recwarn):
    image = Image.fromarray(pixels()).quantize(16)
    image.save(tmp_path / "clear.png", transparency=bytes(range(16)))
    read = read_image(tmp_path / "clear.png", (9, 11, 3))
    np.testing.assert_array_equal(read, image.convert("RGB"))
    assert len(recwarn) == 0


def test_images_of_different_sizes_need_a_size(read, refusal, folder):
    root, images = folder
    odd = save(root / "dog" / "odd.png", pixels(8, 20))
    message = refusal(f"images:{root}")
    assert f"{root / 'cat' / '0.png'} is of 9x11 pixels, {odd} of 8x20" in message
    assert "--image-size" in message
    dataset = read(f"images:{root}", image_size="5x6")
    assert dataset.features.shape == (7, 5, 6, 3)
    small = Image.fromarray(images["cat/0.png"]).resize((6, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(dataset.features[0], small)


def test_an_image_to_predict_takes_the_shape_that_the_model_takes(read, folder):
    root, _ = folder
    dataset = read(f"images:{root}", image_size="5x6", color_mode="grayscale")
    for file, row in zip(sorted(root.rglob("*.png")), dataset.features, strict=True):
        np.testing.assert_array_equal(read_image(file, dataset.image_shape), row)


def test_links_back_to_a_folder_above_have_an_end(read, folder):
    root, _ = folder
    expected = read(f"images:{root}").labels
    for name in ("again", "back", "once more"):
        (root / "dog" / name).symlink_to(root / "dog", target_is_directory=True)
    np.testing.assert_array_equal(read(f"images:{root}").labels, expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_image_is_refused_by_name(refusal, tmp_path, suffix):
    for name in ("cat", "dog"):
        for number in range(3):
            path = save(tmp_path / name / f"{number}.{suffix}", pixels(32, 32))
    whole = path.read_bytes()
    for share in (0, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert f"{path} is not a readable image: " in refusal(f"images:{tmp_path}")


@pytest.mark.parametrize("suffix", [*LOSSLESS, "jpg", "gif"])
def test_a_damaged_image_is_read_or_refused_but_nothing_else(tmp_path, suffix):
    path = save(tmp_path / f"image.{suffix}", pixels(3, 4))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 2):
        for content in (whole[:place], whole[:place] + b"\xff\x00" + whole[place + 2 :]):
            path.write_bytes(content)
            try:
                assert read_image(path, (3, 4, 3)).shape == (3, 4, 3)
            except InputError as error:
                assert len(str(error).splitlines()) == 1
                refused += 1
    assert refused > 0


def test_a_text_with_the_name_of_an_image_is_refused(refusal, folder):
    root, _ = folder
    (root / "dog" / "1.jpg").write_text("no image")
    assert f"{root / 'dog' / '1.jpg'} is not a readable image" in refusal(f"images:{root}")


def test_a_tiff_with_the_name_of_a_png_is_not_decoded(tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "image.png", format="TIFF")
    with pytest.raises(InputError, match="not a readable image"):
        read_image(tmp_path / "image.png", (9, 11, 3))


def test_an_empty_class_folder_is_refused_by_name(refusal, folder):
    root, _ = folder
    (root / "emu").mkdir()
    (root / "emu" / "notes.txt").write_text("soon")
    message = refusal(f"images:{root}")
    assert f"class folder {root / 'emu'} holds no image (.png, .jpg" in message


def test_a_folder_without_class_folders_is_refused(refusal, tmp_path):
    save(tmp_path / "1.png", pixels())
    assert f"there is no class folder in {tmp_path}" in refusal(f"images:{tmp_path}")
    for name in ("train", "test"):
        save(tmp_path / name / "1.png", pixels())
    assert f"there is no class folder in {tmp_path / 'train'}" in refusal(f"images:{tmp_path}")
    assert "not a directory" in refusal(f"images:{tmp_path / '1.png'}")


def test_a_class_in_the_test_part_only_is_refused(refusal, tmp_path):
    for name in ("train/cat", "train/dog", "test/cat", "test/emu"):
        for number in range(3):
            save(tmp_path / name / f"{number}.png", pixels())
    assert "class emu is in test/ only" in refusal(f"images:{tmp_path}")


def test_a_third_part_beside_train_and_test_is_refused(refusal, tmp_path):
    for name in ("train/cat", "train/dog", "valid/cat"):
        save(tmp_path / name / "1.png", pixels())
    assert "holds train/, and beside it valid/" in refusal(f"images:{tmp_path}")


@pytest.mark.parametrize("rows", [1, 2])
def test_a_class_with_fewer_images_than_parts_is_refused(refusal, folder, rows):
    root, _ = folder
    for number in range(rows):
        save(root / "emu" / f"{number}.png", pixels())
    assert f"class emu has {rows} rows, fewer than the 3 parts" in refusal(f"images:{root}")


def test_an_image_for_a_model_of_four_channels_is_refused(folder):
    root, _ = folder
    with pytest.raises(InputError, match="4 channels"):
        read_image(root / "cat" / "0.png", (9, 11, 4))
