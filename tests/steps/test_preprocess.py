import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import Dataset, input_files

ROWS = [(i + 0.5, -i / 3, i % 2) for i in range(8)]


@pytest.fixture
def csv(tmp_path):
    """Writes rows and gives the dataset's name."""

    def csv(rows: list[tuple[object, ...]], name: str = "rows.csv", delimiter: str = ",") -> str:
        lines = [delimiter.join(map(str, row)) for row in [("width", "height", "kind"), *rows]]
        (tmp_path / name).write_text("\n".join(lines))
        return f"csv:{tmp_path / name}"

    return csv


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer", "iris"])
def test_bundled_datasets_are_scikit_learns_to_the_last_bit(read, name):
    source = getattr(datasets, f"load_{name}")()
    table = read(name)
    np.testing.assert_array_equal(table.features, source.data)
    np.testing.assert_array_equal(table.labels, source.target)
    assert table.class_names == tuple(map(str, source.target_names))
    assert table.feature_names == tuple(source.feature_names)
    assert (table.features.dtype, table.labels.dtype) == (np.float64, np.int64)
    assert table.image_shape == ((8, 8, 1) if name == "digits" else None)


@pytest.mark.parametrize("dataset", ["", "nope", "Digits", "rows.csv", "csv", "tfds:mnist", ":x"])
def test_an_unknown_dataset_is_refused_with_those_that_there_are(refusal, dataset):
    message = refusal(dataset)
    for known in ("digits", "iris", "csv:PATH", "parquet:PATH", "npz:PATH", "images:DIR"):
        assert known in message
    for known in ("npy:X.npy,y.npy", "openml:NAME_OR_ID", "keras:NAME"):
        assert known in message


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "images"])
def test_a_file_that_is_not_there_is_refused_before_and_when_it_is_read(refusal, tmp_path, kind):
    dataset = f"{kind}:{tmp_path / 'nothing'}"
    message = refusal(dataset)
    assert message.startswith(f"--dataset {dataset}: cannot be read (no such file or directory")
    with pytest.raises(InputError, match="no such file or directory"):
        input_files(Configuration(dataset=dataset))


def test_a_pipe_is_refused_and_not_waited_for(refusal, tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refusal(f"csv:{tmp_path / 'pipe'}")


def test_a_dataset_that_a_library_knows_by_name_has_no_files():
    for dataset in ("digits", "openml:iris", "keras:mnist"):
        assert input_files(Configuration(dataset=dataset)) == ()


def test_reading_a_table_does_not_import_tensorflow(project, csv):
    code = (
        "import sys\n"
        "from steps.configuration import Configuration\n"
        "from steps.preprocess import preprocess\n"
        f"preprocess(Configuration(dataset={csv(ROWS)!r}))\n"
        "print({'keras', 'tensorflow', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_single_class_is_refused(refusal, csv):
    message = refusal(csv([(i + 0.5, i, "yes") for i in range(9)]))
    assert message.endswith("needs two classes or more; all 9 rows are of class yes")


def test_a_class_with_fewer_rows_than_parts_is_refused_and_named(read, refusal, csv):
    rows = [(i + 0.5, i, "rare" if i < 2 else "common") for i in range(12)]
    assert "class rare has 2 rows, fewer than the 3 parts" in refusal(csv(rows))
    enough = [*rows, (0.5, 0, "rare")]
    assert read(csv(enough)).class_names == ("common", "rare")


def test_with_a_test_part_of_its_own_a_class_needs_rows_for_two_parts(read, refusal, csv, tmp_path):
    rows = [(i + 0.5, i, "rare" if i < 2 else "common") for i in range(12)]
    main = csv(rows)
    csv(rows, "test.csv")
    assert read(main, test_csv=str(tmp_path / "test.csv")).test_rows == 12
    message = refusal(csv(rows[1:], "fewer.csv"), test_csv=str(tmp_path / "test.csv"))
    assert "class rare has 1 rows, fewer than the 2 parts" in message


def test_the_digest_follows_the_content_and_not_the_path(read, csv):
    table, copy = read(csv(ROWS, "one.csv")), read(csv(ROWS, "two.csv", ";"))
    assert copy.source != table.source
    assert copy.digest == table.digest


def test_the_digest_changes_with_each_feature_label_and_class_name(read, csv):
    def changed(row: int, column: int, cell: object) -> str:
        rows = [list(each) for each in ROWS]
        rows[row][column] = cell
        return read(csv(rows, "changed.csv")).digest

    renamed = [(width, height, "ab"[kind]) for width, height, kind in ROWS]
    digests = [
        read(csv(ROWS)).digest,
        read(csv(ROWS), group="width").digest,
        changed(0, 0, 0.5000000000000001),
        changed(7, 1, 0),
        changed(3, 2, 0),
        read(csv(renamed, "renamed.csv")).digest,
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("role", ["categorical", "group"])
def test_a_dataset_is_what_it_was_when_it_is_saved_and_loaded(read, csv, tmp_path, role):
    rows = [(i + 0.5, "xyz"[i % 3], i % 2) for i in range(9)] + [("", "x", 0)]
    dataset = read(csv(rows), missing="median", **{role: "height"})
    dataset.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert (dataset.groups is None) == (role == "categorical")
    np.testing.assert_array_equal(loaded.groups, dataset.groups)
    np.testing.assert_array_equal(loaded.features, dataset.features)
    np.testing.assert_array_equal(loaded.labels, dataset.labels)
    for name in ("source", "class_names", "columns", "image_shape", "test_rows", "facts", "digest"):
        assert getattr(loaded, name) == getattr(dataset, name)
