"""Runs share what is the same for them, and nothing that is not."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import steps
from pipeline import shared_steps
from pipeline.cache import STEPS
from pipeline.shared_steps import partitioned, preprocessed
from pipeline.step_cache import CHECKSUMS, StepCache
from steps.configuration import FIELDS, Configuration
from steps.errors import InputError
from steps.partition import partition
from steps.preprocess import preprocess

PROJECT = Path(__file__).parents[2]
CSV = Configuration(dataset="csv:rows.csv", missing="drop")
IMAGES = Configuration(dataset="images:pictures")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A user's folder with a table and a few images in it."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(7)
    rows = [f"{x:.3f},{y:.3f},{i % 13},{i % 2}" for i, (x, y) in enumerate(random.random((40, 2)))]
    rows[39] = "0.5,,0,1"
    Path("rows.csv").write_text("\n".join(["x,y,who,kind", *rows]) + "\n")
    for kind in "ab":
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (9, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(f"pictures/{kind}/{number}.png")
    another_process()
    return tmp_path


def another_process():
    """Forget all that this process has in memory of the cache."""
    shared_steps._cache_in.cache_clear()
    shared_steps._code_and_libraries.cache_clear()


def both(configuration: Configuration):
    dataset = preprocessed(configuration)
    return dataset, partitioned(configuration, dataset)


def keys(step: str) -> set[str]:
    return {entry.key for entry in StepCache(STEPS).entries() if entry.step == step}


def key_of(configuration: Configuration, step: str = "preprocess") -> str:
    """The key that the step has for a configuration, with nothing else in the cache."""
    shutil.rmtree(STEPS, ignore_errors=True)
    another_process()
    both(configuration) if step == "partition" else preprocessed(configuration)
    (key,) = keys(step)
    return key


@pytest.mark.parametrize("configuration", [CSV, IMAGES, Configuration(dataset="iris")])
def test_what_comes_from_the_cache_is_what_the_steps_make(configuration):
    both(configuration)
    another_process()
    dataset, parts = both(configuration)
    made = preprocess(configuration)
    for name in ("source", "class_names", "columns", "image_shape", "test_rows", "facts", "digest"):
        assert getattr(dataset, name) == getattr(made, name), name
    assert dataset.features.dtype == made.features.dtype
    np.testing.assert_array_equal(dataset.features, made.features)
    np.testing.assert_array_equal(dataset.labels, made.labels)
    drawn = partition(made, configuration.partitioning, configuration.preprocessing, 0)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(drawn, name))
    np.testing.assert_array_equal(parts.scaler.center, drawn.scaler.center)
    np.testing.assert_array_equal(parts.scaler.scale, drawn.scaler.scale)
    assert parts.duplicates == drawn.duplicates


def test_groups_come_back_from_the_cache():
    configuration = Configuration(dataset="csv:rows.csv", missing="drop", group="who")
    preprocessed(configuration)
    another_process()
    np.testing.assert_array_equal(
        preprocessed(configuration).groups, preprocess(configuration).groups
    )


def test_a_search_reads_the_data_once_and_draws_once_per_seed(capsys):
    for lr in (0.1, 0.01, 0.001):
        for seed in (0, 1):
            both(Configuration(dataset="iris", lr=lr, seed=seed))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "from the cache" not in line] == [
        "preprocess: read iris (150 rows)",
        "partition: drew 120 + 15 + 15 rows",
        "partition: drew 120 + 15 + 15 rows",
    ]


def test_runs_of_one_process_share_one_dataset_whose_rows_are_on_disk():
    first = preprocessed(CSV)
    assert preprocessed(Configuration(dataset="csv:rows.csv", missing="drop", lr=0.5)) is first
    assert isinstance(first.features, np.memmap)


def test_another_content_of_a_file_is_another_dataset_and_another_partition():
    before, parts_before = key_of(CSV), key_of(CSV, "partition")
    text = Path("rows.csv").read_text()
    Path("rows.csv").write_text(text.replace("0.5,,0", "0.6,,0"))
    assert key_of(CSV) != before
    assert key_of(CSV, "partition") == parts_before, "the row with a missing cell was dropped"
    Path("rows.csv").write_text(text + "0.1,0.2,3,1\n")
    assert key_of(CSV, "partition") != parts_before


def test_a_file_that_was_only_touched_is_the_same_dataset():
    before = key_of(CSV)
    os.utime("rows.csv", (1, 1))
    assert key_of(CSV) == before


def test_an_image_in_the_folder_of_another_class_is_another_dataset():
    before = key_of(IMAGES)
    Path("pictures/a/11.png").rename("pictures/b/12.png")
    assert key_of(IMAGES) != before


@pytest.mark.parametrize(
    ("configuration", "name", "value"),
    [
        (CSV, "label", "who"),
        (CSV, "test_csv", "rows.csv"),
        (CSV, "drop_columns", "who"),
        (CSV, "categorical", "who"),
        (CSV, "missing", "median"),
        (CSV, "group", "who"),
        (IMAGES, "image_size", "8x8"),
        (IMAGES, "color_mode", "grayscale"),
    ],
)
def test_each_parameter_of_preprocess_is_part_of_its_key(configuration, name, value):
    given = {each: getattr(configuration, each) for each in FIELDS}
    assert key_of(Configuration(**{**given, name: value})) != key_of(configuration)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preprocessing", "minmax"),
        ("partitioning", "60-20-20"),
        ("time_ordered", "yes"),
        ("seed", 1),
    ],
)
def test_each_parameter_of_partition_is_part_of_its_key_and_not_of_the_datasets(name, value):
    Path("mixed.csv").write_text("x,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    plain = Configuration(dataset="csv:mixed.csv")
    other = Configuration(**{"dataset": "csv:mixed.csv", name: value})
    assert key_of(other, "partition") != key_of(plain, "partition")
    assert key_of(other) == key_of(plain)


def test_time_order_and_seed_reach_the_draw():
    dataset, ordered = both(
        Configuration(dataset="csv:rows.csv", missing="drop", time_ordered="yes")
    )
    np.testing.assert_array_equal(ordered.train, np.arange(len(ordered.train)))
    _, drawn = both(Configuration(dataset="csv:rows.csv", missing="drop", seed=5))
    expected = partition(dataset, "80-10-10", "standardization", 5)
    np.testing.assert_array_equal(drawn.test, expected.test)


def test_preprocess_is_given_nothing_but_what_its_key_holds(monkeypatch):
    given = []

    def remember(configuration):
        given.append(configuration)
        return preprocess(configuration)

    monkeypatch.setattr("steps.preprocess.preprocess", remember)
    preprocessed(Configuration(dataset="iris", lr=0.5, seed=3, model="cnn", max_epochs=7))
    assert given == [Configuration(dataset="iris")]


def test_every_parameter_that_says_what_to_read_is_one_of_the_steps():
    """Fields stand in the order of the steps that they are for."""
    names = list(FIELDS)
    before = tuple(names[: names.index("preprocessing")])
    assert before == shared_steps.PREPROCESS_PARAMETERS


def edited_copy(monkeypatch, folder: Path, file: str) -> None:
    """The steps' code as it would be with a change in `file`."""
    shutil.copytree(PROJECT / "steps", folder / "code", dirs_exist_ok=True)
    with (folder / "code" / file).open("a") as source:
        source.write("# changed\n")
    monkeypatch.setattr(steps, "__file__", str(folder / "code" / "__init__.py"))


PREPROCESS_FILES = sorted(
    str(file.relative_to(PROJECT / "steps")) for file in (PROJECT / "steps/preprocess").glob("*.py")
)


@pytest.mark.parametrize("file", PREPROCESS_FILES)
def test_another_version_of_the_code_of_preprocess_reads_anew(folder, monkeypatch, file):
    before = key_of(CSV)
    edited_copy(monkeypatch, folder, file)
    assert key_of(CSV) != before


@pytest.mark.parametrize("file", ["partition.py", "scaling.py", "preprocess/dataset.py"])
def test_another_version_of_the_code_of_partition_draws_anew(folder, monkeypatch, file):
    before = key_of(CSV, "partition")
    edited_copy(monkeypatch, folder, file)
    assert key_of(CSV, "partition") != before


def test_a_process_goes_on_under_the_key_of_the_code_that_it_has_imported(folder, monkeypatch):
    preprocessed(CSV)
    edited_copy(monkeypatch, folder, "preprocess/dataset.py")
    preprocessed(CSV)
    assert len(keys("preprocess")) == 1


def test_the_code_of_other_steps_changes_nothing(folder, monkeypatch):
    before = key_of(CSV), key_of(CSV, "partition")
    edited_copy(monkeypatch, folder, "evaluate.py")
    assert (key_of(CSV), key_of(CSV, "partition")) == before


@pytest.mark.parametrize(
    "patterns", [shared_steps.PREPROCESS_CODE, shared_steps.PARTITION_CODE], ids=["read", "draw"]
)
def test_the_code_in_a_key_is_all_that_the_step_imports(patterns):
    floor = PROJECT / "steps"
    covered = {file for pattern in patterns for file in floor.glob(pattern)}
    imported = {
        node.module
        for file in covered
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("steps")
    }
    files = {f"steps.{'.'.join(file.relative_to(floor).with_suffix('').parts)}" for file in covered}
    # What a configuration and an error are decides no result; the face of preprocess lends the
    # partition no more than the dataset.
    assert imported
    assert imported <= files | {"steps.errors", "steps.configuration", "steps.preprocess"}


def test_another_version_of_a_library_reads_anew(monkeypatch):
    before = key_of(CSV)
    known = shared_steps.version
    monkeypatch.setattr(
        shared_steps, "version", lambda library: "0" if library == "pandas" else known(library)
    )
    assert key_of(CSV) != before


@pytest.mark.parametrize("step", ["preprocess", "partition"])
def test_a_wrong_bit_in_any_file_of_an_entry_is_found_told_and_mended(capsys, step):
    made, _ = both(CSV)
    features = np.array(made.features)
    (entry,) = [entry.folder for entry in StepCache(STEPS).entries() if entry.step == step]
    names = sorted(file.name for file in entry.iterdir())
    assert len(names) >= 4
    for name in names:
        content = bytearray((entry / name).read_bytes())
        content[len(content) // 2] ^= 1
        # Another file, as a broken disk would give it; the mapped one is in use.
        (entry / "damaged").write_bytes(content)
        (entry / "damaged").replace(entry / name)
        another_process()
        capsys.readouterr()
        dataset, _ = both(CSV)
        assert capsys.readouterr().err.count("was damaged and is made anew") == 1, name
        np.testing.assert_array_equal(dataset.features, features)


def test_nothing_in_an_entry_is_a_pickle():
    both(Configuration(dataset="csv:rows.csv", missing="drop", group="who"))
    files = [file for entry in StepCache(STEPS).entries() for file in entry.folder.iterdir()]
    assert {file.suffix for file in files} == {".npy", ".npz", ".json", ".txt"}
    for file in files:
        if file.suffix in (".npy", ".npz"):
            loaded = np.load(file, allow_pickle=False)
            for array in loaded.values() if file.suffix == ".npz" else [loaded]:
                assert array.dtype != object
        elif file.suffix == ".txt":
            assert file.name == CHECKSUMS


def test_a_file_that_changes_while_it_is_read_is_refused_and_not_kept(monkeypatch):
    def read_and_change(configuration):
        dataset = preprocess(configuration)
        with Path("rows.csv").open("a") as rows:
            rows.write("0.1,0.2,3,1\n")
        return dataset

    monkeypatch.setattr("steps.preprocess.preprocess", read_and_change)
    with pytest.raises(InputError, match=r"--dataset csv:rows\.csv: changed while it was being"):
        preprocessed(CSV)
    assert keys("preprocess") == set()


def test_a_file_that_is_not_there_is_told_as_the_step_tells_it():
    gone = Configuration(dataset="csv:gone.csv")
    with pytest.raises(InputError) as by_the_step:
        preprocess(gone)
    with pytest.raises(InputError) as told:
        preprocessed(gone)
    assert str(told.value) == str(by_the_step.value)


def test_a_file_that_cannot_be_read_to_its_end_is_bad_input(folder):
    (folder / "pictures/a/11.png").unlink()
    (folder / "pictures/a/11.png").symlink_to("nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        preprocessed(IMAGES)


def test_data_that_cannot_be_used_leave_nothing_in_the_cache():
    Path("one.csv").write_text("x,kind\n" + "1,a\n" * 9)
    with pytest.raises(InputError, match="needs two classes"):
        preprocessed(Configuration(dataset="csv:one.csv"))
    with pytest.raises(InputError, match="--partitioning"):
        both(Configuration(dataset="csv:rows.csv", missing="drop", partitioning="98-1-1"))
    assert [entry.about for entry in StepCache(STEPS).entries()] == ["csv:rows.csv"]


def test_the_command_line_loads_no_library_for_the_shared_steps():
    code = (
        "import sys, pipeline.shared_steps, pipeline.cache_command;"
        "print({'numpy', 'pandas', 'sklearn', 'tensorflow'} & set(sys.modules));"
        "from steps.configuration import Configuration;"
        "pipeline.shared_steps.preprocessed(Configuration(dataset='iris'));"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["set()", "set()"]
