import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import input_files, preprocess

LABELS = np.array([0, 1, 2] * 4)
TWO_CLASSES = np.array([0, 1] * 3)
PIXELS = np.arange(12 * 5 * 7, dtype=np.uint8).reshape(12, 5, 7)


@pytest.fixture
def npz(tmp_path):
    def npz(**arrays: np.ndarray) -> str:
        np.savez(tmp_path / "rows.npz", **arrays)
        return f"npz:{tmp_path / 'rows.npz'}"

    return npz


@pytest.fixture
def npy(tmp_path):
    def npy(*arrays: np.ndarray) -> str:
        paths = [tmp_path / f"{place}.npy" for place in range(len(arrays))]
        for path, array in zip(paths, arrays, strict=True):
            np.save(path, array)
        return "npy:" + ",".join(map(str, paths))

    return npy


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_layout_of_keras_keeps_its_test_part_at_the_end(read, tmp_path, save):
    save(
        tmp_path / "rows.npz",
        x_train=PIXELS,
        y_train=LABELS,
        x_test=PIXELS[2:5],
        y_test=LABELS[2:5],
    )
    dataset = read(f"npz:{tmp_path / 'rows.npz'}")
    np.testing.assert_array_equal(dataset.features, np.concatenate([PIXELS, PIXELS[2:5]]))
    np.testing.assert_array_equal(dataset.labels, np.concatenate([LABELS, LABELS[2:5]]))
    assert (dataset.test_rows, dataset.facts) == (3, {"files_ignored": 0})


@pytest.mark.parametrize("names", [("X", "y"), ("x", "y"), ("x_train", "y_train")])
def test_arrays_without_a_test_part_have_no_test_rows(read, npz, names):
    arrays = dict(zip(names, (PIXELS, LABELS), strict=True))
    dataset = read(npz(**arrays, names=np.arange(3)))
    np.testing.assert_array_equal(dataset.features, PIXELS)
    assert (dataset.test_rows, dataset.facts) == (0, {"files_ignored": 1})


def test_npy_files_are_read_in_pairs(read, npy):
    dataset = read(npy(PIXELS, LABELS, PIXELS[:3], LABELS[:3]))
    np.testing.assert_array_equal(dataset.features, np.concatenate([PIXELS, PIXELS[:3]]))
    assert dataset.test_rows == 3
    assert read(npy(PIXELS, LABELS)).test_rows == 0
    files = input_files(Configuration(dataset=npy(PIXELS, LABELS)))
    assert [file.name for file in files] == ["0.npy", "1.npy"]


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((6, 4), None), ((6, 4, 5), (4, 5, 1)), ((6, 4, 5, 1), (4, 5, 1)), ((6, 4, 5, 3), (4, 5, 3))],
)
def test_the_number_of_axes_tells_tables_from_images(read, npy, shape, image_shape):
    rows = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    dataset = read(npy(rows, TWO_CLASSES))
    assert dataset.features.shape == shape
    assert dataset.image_shape == image_shape
    assert dataset.feature_names == (("0", "1", "2", "3") if image_shape is None else ())
    assert dataset.features.dtype == (np.float64 if image_shape is None else np.uint8)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    npst.arrays(
        st.sampled_from([np.bool_, np.uint8, np.int16, np.int64, np.float16, np.float32, ">f4"]),
        st.tuples(st.just(6), st.integers(1, 4), st.integers(1, 4)),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.sampled_from(["C", "F"]),
    st.booleans(),
)
def test_pixels_are_kept_as_bytes_or_else_as_float32(
    tmp_path: Path, pixels: np.ndarray, order: str, has_test_part: bool
):
    pixels = np.asarray(pixels, order=order)
    parts = {"x_train": pixels, "y_train": TWO_CLASSES}
    if has_test_part:
        parts |= {"x_test": pixels[::-1], "y_test": TWO_CLASSES}
    np.savez(tmp_path / "rows.npz", **parts)
    dataset = preprocess(Configuration(dataset=f"npz:{tmp_path / 'rows.npz'}"))
    expected = np.concatenate([pixels, pixels[::-1]]) if has_test_part else pixels
    np.testing.assert_array_equal(dataset.features, expected.astype(np.float32))
    assert dataset.features.dtype == (np.uint8 if pixels.dtype == np.uint8 else np.float32)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, -1] * 4, ("-1", "9", "10")),
        ([True, False] * 6, ("False", "True")),
        (["pear", "fig"] * 6, ("fig", "pear")),
        ([b"pear", "größe".encode()] * 6, ("größe", "pear")),
        ([[2], [1]] * 6, ("1", "2")),
    ],
)
def test_labels_may_be_whole_numbers_truth_values_and_texts(read, npy, labels, names):
    dataset = read(npy(PIXELS, np.array(labels)))
    assert dataset.class_names == names
    assert dataset.labels[0] == len(names) - 1


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800])
@pytest.mark.parametrize("order", "<>")
def test_a_label_of_characters_that_there_are_not_is_refused_by_row(refusal, npy, code, order):
    labels = np.array(["ab", "ba", "bb"] * 4, f"{order}U2")
    labels.view(f"{order}u4")[5] = code
    told = refusal(npy(PIXELS, labels))
    assert "array y (1.npy) row 2 (from 0) holds a text of characters that there are not" in told


@pytest.mark.parametrize(
    "header", ["(", "{'descr': '<i8', 'fortran_order': False, 'shape': (", "  {\n 1", "[" * 900]
)
def test_a_header_that_is_no_expression_is_refused(refusal, npy, tmp_path, header):
    dataset = npy(PIXELS, LABELS)
    head = header.encode() + b"\n"
    (tmp_path / "0.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(99)
    )
    assert "array X (0.npy) is no .npy array: " in refusal(dataset)


def test_an_npz_of_broken_lzma_or_of_a_name_that_is_no_text_is_refused(refusal, npz, tmp_path):
    npz(X=PIXELS, y=LABELS)
    path = tmp_path / "rows.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("X.npy", PIXELS.tobytes())
        archive.writestr("y.npy", LABELS.tobytes())
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + b"\xff" * 9 + whole[69:])
    assert "is not a readable npz file" in refusal(f"npz:{path}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("größe.npy", b"")
    path.write_bytes(path.read_bytes().replace("ö".encode(), b"\xff\xff"))
    assert "is not a readable npz file" in refusal(f"npz:{path}")


def test_features_lie_on_disk_and_leave_no_file_behind(read, npz, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    dataset = read(npz(x_train=PIXELS, y_train=LABELS, x_test=PIXELS, y_test=LABELS))
    assert isinstance(dataset.features, np.memmap)
    assert list((tmp_path / "temporary").iterdir()) == []


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["rows", "labels"])
def test_pickled_objects_are_refused_and_never_loaded(refusal, npz, npy, tmp_path, place):
    trap = np.array([Trap(tmp_path / "sprung")] * 12, dtype=object)
    rows, labels = (trap, LABELS) if place == "rows" else (PIXELS, trap)
    for dataset in (npz(X=rows, y=labels), npy(rows, labels)):
        message = refusal(dataset)
        assert "holds pickled Python objects, which are never loaded" in message
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_with_the_name_of_an_array_is_refused_and_never_loaded(refusal, npy, tmp_path):
    dataset = npy(PIXELS, LABELS)
    (tmp_path / "0.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "array X (0.npy) is no .npy array: " in refusal(dataset)
    (tmp_path / "rows.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "is not a readable npz file" in refusal(f"npz:{tmp_path / 'rows.npz'}")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "it holds nothing"),
        ({"a": PIXELS, "b": LABELS}, "must hold x_train, y_train, x_test, y_test or"),
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS}, "it holds x_train, y_train, x"),
        ({"X": PIXELS, "y": LABELS[:9]}, "array y has 9 labels for the 12 rows of X"),
        ({"X": PIXELS[0, 0], "y": LABELS}, "array X has the shape (7,)"),
        ({"X": PIXELS[..., None, None], "y": LABELS}, "array X has the shape (12, 5, 7, 1, 1)"),
        ({"X": PIXELS[:0], "y": LABELS[:0]}, "it is empty"),
        ({"X": PIXELS[:, :0], "y": LABELS}, "it is empty"),
        ({"X": PIXELS.astype(str), "y": LABELS}, "array X is of <U3; must be numbers"),
        ({"X": PIXELS.astype(complex), "y": LABELS}, "must be numbers"),
        ({"X": PIXELS, "y": np.eye(12)}, "array y has the shape (12, 12); must be (rows,)"),
        ({"X": PIXELS, "y": np.array(3)}, "array y has the shape ()"),
        ({"X": PIXELS, "y": LABELS + 0.5}, "array y is of float64; must be whole numbers"),
        ({"X": PIXELS, "y": np.array("2024-01-01", "M8[D]") + LABELS}, "array y is of datetime64"),
        ({"X": np.zeros((12, 3, 8, 8)), "y": LABELS}, "channels come last"),
        ({"X": PIXELS, "y": LABELS * 0}, "needs two classes or more"),
    ],
)
def test_arrays_that_are_no_rows_and_labels_are_refused(refusal, npz, arrays, told):
    message = refusal(npz(**arrays))
    assert message.startswith("--dataset npz:")
    assert told in message


@pytest.mark.parametrize(
    ("x_test", "y_test", "told"),
    [
        (PIXELS[:, :4], LABELS, "array x_test has rows of shape (4, 7), x_train of (5, 7)"),
        (PIXELS / 255, LABELS, "array x_test is of float64, x_train of uint8: other pixels"),
        (PIXELS, LABELS + 1, "class 3 is in the test part only"),
        (PIXELS, LABELS[:3], "array y_test has 3 labels for the 12 rows of x_test"),
        (PIXELS[:0], LABELS[:0], "array x_test has the shape (0, 5, 7): it is empty"),
    ],
)
def test_a_test_part_that_does_not_fit_is_refused(refusal, npz, x_test, y_test, told):
    assert told in refusal(npz(x_train=PIXELS, y_train=LABELS, x_test=x_test, y_test=y_test))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_value_that_is_no_finite_number_is_refused_by_row(refusal, npy, value):
    images = PIXELS.astype(np.float64)
    images[7, 2, 2] = value
    message = refusal(npy(images, LABELS))
    assert "array X (0.npy) row 7 (from 0) has a value that is no finite float32" in message


@pytest.mark.parametrize("files", ["one.npy", "1.npy,2.npy,3.npy", "1,2,3,4,5", ""])
def test_npy_takes_two_or_four_files(refusal, files):
    assert "must be npy:X.npy,y.npy or with Xtest.npy,ytest.npy" in refusal(f"npy:{files}")


def test_a_missing_file_of_two_is_named(refusal, npy, tmp_path):
    dataset = npy(PIXELS, LABELS)
    (tmp_path / "1.npy").unlink()
    assert f"no such file or directory: {tmp_path / '1.npy'}" in refusal(dataset)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_npz_file_is_refused_or_read_but_nothing_else(tmp_path, compressed):
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "rows.npz", X=PIXELS, y=LABELS)
    whole = (tmp_path / "rows.npz").read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        for content in (damaged, whole[:place]):
            (tmp_path / "rows.npz").write_bytes(content)
            try:
                dataset = preprocess(Configuration(dataset=f"npz:{tmp_path / 'rows.npz'}"))
            except InputError:
                refused += 1
            else:
                np.testing.assert_array_equal(dataset.features, PIXELS)
                np.testing.assert_array_equal(dataset.labels, LABELS)
    assert refused > len(whole) / 5


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04"]))
def test_a_file_of_anything_is_refused(tmp_path: Path, content: bytes, beginning: bytes):
    path = tmp_path / "anything"
    path.write_bytes(beginning + content)
    for dataset in (f"npz:{path}", f"npy:{path},{path}", f"parquet:{path}"):
        with pytest.raises(InputError):
            preprocess(Configuration(dataset=dataset))
