"""`predict` answers rows, arrays and images as Keras does, and refuses in one line."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from kept_models import COLORS, NAN, frame, images, kept, probabilities, table
from PIL import Image

from pipeline import tracking
from steps.configuration import Configuration


def rows_of(text):
    lines = list(csv.reader(io.StringIO(text)))
    assert lines[0] == ["input", "class", "probability"]
    return lines[1:]


def expected_of(model, features, dataset):
    told = probabilities(model, features)
    best = told.argmax(axis=1)
    return [dataset.class_names[each] for each in best], told.max(axis=1)


def assert_answers(lines, names, model, features, dataset):
    classes, best = expected_of(model, features, dataset)
    assert [line[0] for line in lines] == [str(name) for name in names]
    assert [line[1] for line in lines] == classes
    np.testing.assert_allclose([float(line[2]) for line in lines], best, atol=1e-6)


@pytest.fixture
def kept_table(store):
    dataset = table()
    return dataset, *kept(dataset)


@pytest.fixture
def kept_images(store):
    dataset = images()
    return dataset, *kept(dataset)


def write_images(dataset, folder: Path) -> list[Path]:
    """Each row as a file, in two folders; what it gives is sorted, and not in the order of rows."""
    files = [folder / f"{i % 2}" / f"{len(dataset.features) - i:02}.png" for i in range(6)]
    for pixels, file in zip(dataset.features, files, strict=False):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return files


def test_a_csv_gets_a_line_per_row_that_agrees_with_keras_and_with_mlflow(
    kept_table, greenest, tmp_path
):
    dataset, run_id, model = kept_table
    frame(dataset).to_csv(tmp_path / "rows.csv", index=False)
    code, out, err = greenest("predict", "--run-id", run_id, str(tmp_path / "rows.csv"))
    assert (code, err) == (0, "")
    assert_answers(rows_of(out), range(40), model, dataset.features, dataset)
    served = mlflow.pyfunc.load_model(f"runs:/{run_id}/model").predict(frame(dataset))
    assert [line[1] for line in rows_of(out)] == list(served.idxmax(axis=1))


def test_a_parquet_file_is_read_and_other_columns_are_left_alone(kept_table, greenest, tmp_path):
    dataset, run_id, model = kept_table
    typed = frame(dataset).assign(label="yes")[["label", "size", "a", "b b", "color"]]
    typed.to_parquet(tmp_path / "rows.parquet")
    code, out, _ = greenest("predict", "--run-id", run_id, str(tmp_path / "rows.parquet"))
    assert code == 0
    assert_answers(rows_of(out), range(40), model, dataset.features, dataset)


def test_an_unknown_category_and_an_empty_cell_are_told_by_predict_and_mlflow_alike(
    kept_table, greenest, tmp_path
):
    dataset, run_id, model = kept_table
    typed = frame(dataset).iloc[:4].copy()
    typed["color"] = ["pink", None, COLORS[2], "None"]
    typed.to_csv(tmp_path / "rows.csv", index=False)
    code, out, _ = greenest("predict", "--run-id", run_id, str(tmp_path / "rows.csv"))
    assert code == 0
    features = dataset.features[:4].copy()
    features[:, 1:4] = [[0, 0, 0], [NAN] * 3, [0, 0, 1], [NAN] * 3]
    assert_answers(rows_of(out), range(4), model, features, dataset)
    served = mlflow.pyfunc.load_model(f"runs:/{run_id}/model").predict(typed)
    np.testing.assert_allclose(served, probabilities(model, features), atol=1e-6)


def test_an_array_or_one_row_of_it_is_classified(kept_images, greenest, tmp_path):
    dataset, run_id, model = kept_images
    np.save(tmp_path / "rows.npy", dataset.features)
    np.save(tmp_path / "row.npy", dataset.features[4])
    words = (str(tmp_path / "rows.npy"), str(tmp_path / "row.npy"))
    code, out, _ = greenest("predict", "--run-id", run_id, *words)
    assert code == 0
    features = np.concatenate([dataset.features, dataset.features[[4]]])
    assert_answers(rows_of(out), range(31), model, features, dataset)


def test_an_array_of_raw_rows_of_a_table_is_classified(kept_table, greenest, tmp_path):
    dataset, run_id, model = kept_table
    np.save(tmp_path / "rows.npy", dataset.features)
    code, out, _ = greenest("predict", "--run-id", run_id, str(tmp_path / "rows.npy"))
    assert code == 0
    assert_answers(rows_of(out), range(40), model, dataset.features, dataset)


def test_a_folder_of_images_is_classified_in_order_and_named_by_file(
    kept_images, greenest, tmp_path
):
    dataset, run_id, model = kept_images
    files = write_images(dataset, tmp_path / "in, box")
    (tmp_path / "in, box" / "notes.txt").write_text("no image")
    (tmp_path / "in, box" / ".hidden.png").write_text("no image")
    code, out, _ = greenest("predict", "--run-id", run_id, str(tmp_path / "in, box"))
    assert code == 0
    order = sorted(range(6), key=lambda row: files[row])
    assert order != list(range(6))
    features = dataset.features[order]
    assert_answers(rows_of(out), [files[row] for row in order], model, features, dataset)


def test_an_image_of_another_size_and_color_is_made_one_of_the_model(
    kept_images, greenest, tmp_path
):
    dataset, run_id, model = kept_images
    Image.new("L", (50, 40), 77).save(tmp_path / "gray.jpg")
    code, out, _ = greenest("predict", "--run-id", run_id, str(tmp_path / "gray.jpg"))
    assert code == 0
    features = np.full((1, 8, 9, 3), 77, np.uint8)
    assert_answers(rows_of(out), [tmp_path / "gray.jpg"], model, features, dataset)


def test_a_file_name_that_is_no_utf8_comes_out_as_it_is(kept_images, greenest, tmp_path):
    dataset, run_id, _ = kept_images
    (tmp_path / "in").mkdir()
    Image.fromarray(dataset.features[0]).save(tmp_path / "one.png")
    (tmp_path / "one.png").rename(tmp_path / "in" / os.fsdecode(b"caf\xe9.png"))
    words = ("--run-id", run_id, str(tmp_path / "in"), "--output", str(tmp_path / "told.csv"))
    assert greenest("predict", *words) == (0, "", "")
    assert b"caf\xe9.png," in (tmp_path / "told.csv").read_bytes()
    assert greenest("predict", *words[:3])[0] == 0


def test_images_are_taken_by_a_model_of_an_array_of_gray_pixels(store, greenest, tmp_path):
    dataset = images((8, 9))
    run_id, model = kept(dataset)
    Image.fromarray(dataset.features[3]).save(tmp_path / "three.png")
    code, out, _ = greenest("predict", "--run-id", run_id, str(tmp_path / "three.png"))
    assert code == 0
    assert_answers(rows_of(out), [tmp_path / "three.png"], model, dataset.features[[3]], dataset)


def test_output_goes_into_a_file_instead(kept_images, greenest, tmp_path):
    _, run_id, _ = kept_images
    np.save(tmp_path / "rows.npy", images().features)
    words = ("predict", "--run-id", run_id, str(tmp_path / "rows.npy"))
    _, printed, _ = greenest(*words)
    assert greenest(*words, "--output", str(tmp_path / "told.csv")) == (0, "", "")
    assert (tmp_path / "told.csv").read_text() == printed
    assert '"bee, wild"' in printed


@pytest.fixture
def refused(greenest):
    """The one line by which a command refuses."""

    def type_(*words: object) -> str:
        code, out, err = greenest("predict", *map(str, words))
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        return line

    return type_


def test_files_that_the_model_cannot_take_are_refused_in_one_line(kept_images, refused, tmp_path):
    _, run_id, _ = kept_images

    def refusal(name: str) -> str:
        line = refused("--run-id", run_id, tmp_path / name)
        start = f"Error: INPUT {tmp_path / name}: "
        assert line.startswith(start)
        return line.removeprefix(start)

    taken = "the model takes images, and arrays of shape (rows, 8, 9, 3) or, for one row, (8, 9, 3)"
    np.save(tmp_path / "shape.npy", np.zeros((2, 9, 8, 3), np.uint8))
    assert refusal("shape.npy") == f"has the shape (2, 9, 8, 3); {taken}"
    np.save(tmp_path / "none.npy", np.zeros((0, 8, 9, 3), np.uint8))
    assert refusal("none.npy") == f"has the shape (0, 8, 9, 3); {taken}"
    np.save(tmp_path / "scaled.npy", np.zeros((2, 8, 9, 3)))
    told = refusal("scaled.npy")
    assert told == "is an array of float64; must be of uint8, from 0 to 255"
    np.save(tmp_path / "pickled.npy", np.full((2, 8, 9, 3), None), allow_pickle=True)
    told = refusal("pickled.npy")
    assert told == "holds pickled Python objects, which are never loaded; save it as numbers"
    (tmp_path / "text.npy").write_text("0.5,0.25,0.125")
    assert refusal("text.npy").startswith("is no .npy array: the magic string is not correct")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    assert refusal("rows.csv") == f"is a table; {taken}"
    (tmp_path / "text.png").write_text("no image")
    assert refusal("text.png").startswith("is not a readable image: ")
    assert refusal("missing.png") == "cannot be read (no such file or directory)"
    (tmp_path / "empty").mkdir()
    assert refusal("empty").startswith("holds no image (.png, ")


def test_one_bad_image_in_a_folder_is_named_and_nothing_is_printed(kept_images, refused, tmp_path):
    dataset, run_id, _ = kept_images
    bad = write_images(dataset, tmp_path / "in")[3]
    bad.write_bytes(bad.read_bytes()[:100])
    assert f"INPUT {bad}: is not a readable image" in refused("--run-id", run_id, tmp_path / "in")


def test_a_model_of_a_table_refuses_images_and_other_columns(kept_table, refused, tmp_path):
    _, run_id, _ = kept_table
    taken = (
        "the model takes tables with the 4 columns a, color, b b, size, "
        "and arrays of shape (rows, 8) or, for one row, (8)"
    )
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    assert refused("--run-id", run_id, tmp_path / "one.png").endswith(f": is an image; {taken}")
    assert refused("--run-id", run_id, tmp_path).endswith(f": is a folder; {taken}")
    (tmp_path / "rows.csv").write_text("a,color,b b\n1,red,2\n")
    assert "size" in refused("--run-id", run_id, tmp_path / "rows.csv")
    (tmp_path / "words.csv").write_text("a,color,b b,size\none,blue,2,8\n")
    assert "'one', not a finite number" in refused("--run-id", run_id, tmp_path / "words.csv")
    np.save(tmp_path / "words.npy", np.full((2, 8), "x"))
    told = refused("--run-id", run_id, tmp_path / "words.npy")
    assert told.endswith("is an array of <U1; must be of numbers")


def test_an_image_is_refused_where_somebody_had_scaled_the_pixels(store, refused, tmp_path):
    run_id, _ = kept(images((8, 9), np.float32))
    Image.new("L", (9, 8)).save(tmp_path / "one.png")
    told = refused("--run-id", run_id, tmp_path / "one.png")
    assert "is an image; the model takes arrays of shape (rows, 8, 9) or" in told


def test_an_empty_cell_that_the_model_never_met_is_refused_with_its_place(store, refused, tmp_path):
    run_id, _ = kept(table(missing=False))
    typed = frame(table(missing=False))
    typed.loc[2, "color"] = None
    typed.to_csv(tmp_path / "rows.csv", index=False)
    told = refused("--run-id", run_id, tmp_path / "rows.csv")
    assert "rows.csv: row 2 (from 0): column color is empty, and the model was trained" in told


def test_a_run_without_a_model_of_any_use_is_refused(store, refused, tmp_path):
    np.save(tmp_path / "rows.npy", images().features)
    with tracking.RunLog.start(tracking.open_experiment("green"), Configuration()) as log:
        pass
    told = refused("--run-id", log.run_id, tmp_path / "rows.npy")
    assert told == f"Error: --run-id {log.run_id}: has nothing from the train step; run that first"
    diverged, _ = kept(images(), outcome="DIVERGED")
    told = refused("--run-id", diverged, tmp_path / "rows.npy")
    assert told.endswith(f"{diverged}: its training diverged; there is no model to use")
    told = refused("--run-id", "0" * 32, tmp_path / "rows.npy")
    assert told.endswith(": there is no such run")
    assert refused(tmp_path / "rows.npy").startswith("Error: --run-id: is needed")


def test_a_model_of_an_earlier_version_is_refused(kept_images, refused, tmp_path):
    dataset, run_id, _ = kept_images
    np.save(tmp_path / "rows.npy", dataset.features)
    (kept_file,) = tmp_path.rglob("rows.json")
    kept_file.unlink()
    told = refused("--run-id", run_id, tmp_path / "rows.npy")
    assert told.endswith("kept its model, without the rows it takes; train it anew")


def test_what_was_typed_is_looked_at_before_the_model(store, refused, tmp_path):
    assert refused("--run-id", "x").startswith("Error: INPUT: is needed: a CSV")
    assert refused("--run-id", "x", "") == refused("--run-id", "x")
    np.save(tmp_path / "rows.npy", np.zeros(3))
    rows = tmp_path / "rows.npy"
    for output in (tmp_path, tmp_path / "missing" / "told.csv"):
        told = refused("--run-id", "x", rows, "--output", output)
        assert told == f"Error: --output {output}: must be a file in a folder that is there"


def test_help_and_typing_errors_wait_for_no_library(project):
    code = (
        "import sys, pipeline.predict\n"
        "print({'mlflow', 'numpy', 'pandas', 'sklearn', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
