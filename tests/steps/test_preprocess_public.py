import gzip
import hashlib
import json
import socket
import struct
from pathlib import Path

import numpy as np
import pytest

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import preprocess, public

ARFF = """@RELATION flowers
@ATTRIBUTE id INTEGER
@ATTRIBUTE width REAL
@ATTRIBUTE color {red,blue}
@ATTRIBUTE kind {rose,tulip}
@DATA
"""
LINES = "".join(
    f"{i},{'?' if i == 4 else i + 0.5},{('red', 'blue')[i % 2]},{('rose', 'tulip')[i // 6]}\n"
    for i in range(12)
)
COLUMNS = {"id": "numeric", "width": "numeric", "color": "nominal", "kind": "nominal"}
NUMBER, NAME = 4711, "flowers"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*address: object, **more: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda seconds: None)


@pytest.fixture
def empty_openml(tmp_path, monkeypatch):
    """An empty folder where scikit-learn keeps what it has fetched."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path / "openml" / "openml.org"


@pytest.fixture
def openml(empty_openml):
    """Puts a dataset there, with columns that are the target."""

    def openml(targets: tuple[str, ...] = ("kind",), checksum: str = "") -> None:
        def put(path: str, content: str) -> None:
            file = empty_openml / f"{path}.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.compress(content.encode()))

        arff = ARFF + LINES
        api = "api/v1/json/data"
        features = [
            {
                "index": str(place),
                "name": name,
                "data_type": kind,
                "is_target": str(name in targets).lower(),
                "is_ignore": "false",
                "is_row_identifier": str(name == "id").lower(),
                "number_of_missing_values": "0",
            }
            for place, (name, kind) in enumerate(COLUMNS.items())
        ]
        description = {
            "id": str(NUMBER),
            "name": NAME,
            "version": "1",
            "status": "active",
            "format": "ARFF",
            "description": "",
            "url": f"https://api.openml.org/data/v1/download/{NUMBER}/{NAME}.arff",
            "md5_checksum": checksum or hashlib.md5(arff.encode()).hexdigest(),
        }
        found = [{"did": NUMBER, "name": NAME, "version": 1, "status": "active"}]
        put(
            f"{api}/list/data_name/{NAME}/limit/2/status/active/",
            json.dumps({"data": {"dataset": found}}),
        )
        put(f"{api}/{NUMBER}", json.dumps({"data_set_description": description}))
        put(f"{api}/features/{NUMBER}", json.dumps({"data_features": {"feature": features}}))
        put(f"{api}/qualities/{NUMBER}", json.dumps({"data_qualities": {"quality": []}}))
        put(f"data/v1/download/{NUMBER}/{NAME}.arff", arff)

    return openml


@pytest.mark.parametrize("dataset", ["openml:flowers", "openml:Flowers", f"openml:{NUMBER}"])
def test_an_openml_dataset_is_a_table_with_the_label_that_openml_names(read, openml, dataset):
    openml()
    table = read(dataset, categorical="auto", missing="median")
    assert table.class_names == ("rose", "tulip")
    assert table.labels.tolist() == [0] * 6 + [1] * 6
    assert table.feature_names == ("width", "color=blue", "color=red")
    width = [np.nan if i == 4 else i + 0.5 for i in range(12)]
    np.testing.assert_array_equal(table.features[:, 0], width)
    assert table.facts["missing_cells"] == {"width": 1}


def test_another_label_of_an_openml_dataset_can_be_chosen(read, openml):
    openml()
    table = read("openml:flowers", label="color", categorical="kind", missing="drop")
    assert table.class_names == ("blue", "red")
    assert table.feature_names == ("width", "kind=rose", "kind=tulip")
    assert table.facts["rows_dropped"] == 1


def test_what_is_wrong_in_a_cell_of_openml_is_told_as_of_a_file(refusal, openml):
    openml()
    message = refusal("openml:flowers")
    assert message.startswith("--dataset openml:flowers: column width, row 5: an empty cell")
    assert "column color, row 1: 'red', not a" in refusal("openml:flowers", drop_columns="width")


@pytest.mark.parametrize(("targets", "told"), [((), "none"), (("color", "kind"), "color, kind")])
def test_an_openml_dataset_without_a_single_label_asks_for_one(
    read, refusal, openml, targets, told
):
    openml(targets)
    message = refusal("openml:flowers")
    assert f"has no single label on openml.org, but {told}; choose a column by --label" in message
    chosen = read("openml:flowers", label="kind", drop_columns="width", categorical="color")
    assert chosen.class_names == ("rose", "tulip")


def test_a_damaged_copy_of_an_openml_dataset_is_not_taken(refusal, openml):
    openml(checksum="0" * 32)
    with pytest.warns(RuntimeWarning, match="Invalid cache"):
        assert "needs the network once" in refusal("openml:flowers", missing="drop")


@pytest.mark.parametrize("dataset", ["openml:flowers", f"openml:{NUMBER}"])
def test_openml_without_a_network_is_refused_in_one_line(refusal, empty_openml, recwarn, dataset):
    message = refusal(dataset)
    assert message.startswith(f"--dataset {dataset}: needs the network once, and is kept")
    assert "name resolution" in message
    assert len(recwarn) == 0


@pytest.mark.parametrize("name", ["", "a b", "../etc/passwd", "a/b", "größe", "a\nb"])
def test_a_name_that_openml_cannot_have_is_refused(refusal, empty_openml, name):
    assert "must be openml:NAME or openml:ID" in refusal(f"openml:{name}")


def test_a_network_that_does_not_answer_is_given_up(refusal, empty_openml, monkeypatch):
    monkeypatch.setattr(public, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", silent.getsockname())
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [address])
        assert "needs the network once" in refusal("openml:flowers")
    assert socket.getdefaulttimeout() is None


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    import keras.src.backend.config as config

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    return tmp_path / "datasets"


PIXELS = np.arange(12 * 28 * 28).astype(np.uint8).reshape(12, 28, 28)
LABELS = np.array([0, 1, 2] * 4, np.uint8)


def idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_a_keras_dataset_comes_with_its_test_part(read, keras_home):
    for part, rows in (("train", slice(0, 9)), ("t10k", slice(9, 12))):
        idx(keras_home / "fashion-mnist" / f"{part}-images-idx3-ubyte.gz", PIXELS[rows])
        idx(keras_home / "fashion-mnist" / f"{part}-labels-idx1-ubyte.gz", LABELS[rows])
    dataset = read("keras:fashion_mnist")
    np.testing.assert_array_equal(dataset.features, PIXELS)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert (dataset.features.dtype, dataset.image_shape) == (np.uint8, (28, 28, 1))
    assert (dataset.test_rows, dataset.class_names) == (3, ("0", "1", "2"))


@pytest.mark.parametrize("name", public.KERAS)
def test_keras_without_a_network_is_refused_in_one_line_and_prints_no_results(
    refusal, keras_home, capsys, name
):
    message = refusal(f"keras:{name}")
    assert message.startswith(f"--dataset keras:{name}: needs the network once, and is kept")
    assert "name resolution" in message
    assert capsys.readouterr().out == ""


def test_a_damaged_copy_of_a_keras_dataset_is_not_taken(refusal, keras_home):
    keras_home.mkdir()
    (keras_home / "mnist.npz").write_bytes(b"not what Keras published")
    assert "needs the network once" in refusal("keras:mnist")


@pytest.mark.parametrize("name", ["", "imdb", "MNIST", "load_data", "__doc__"])
def test_another_dataset_of_keras_is_refused_with_those_that_there_are(name):
    with pytest.raises(InputError, match="keras:mnist, keras:fashion_mnist, keras:cifar10"):
        preprocess(Configuration(dataset=f"keras:{name}"))
