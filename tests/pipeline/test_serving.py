"""A kept model takes rows as the user has them and answers as Keras does, whoever asks it."""

import ast
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_models import NAN, frame, images, kept, probabilities, table
from served_models import ask, wait_for

from pipeline import serving
from pipeline.serving import Classifier, Interface, load_classifier
from pipeline.tracking.model import kept_model
from steps.preprocess import Column


def served(run_id):
    return mlflow.pyfunc.load_model(f"runs:/{run_id}/model")


def test_rows_of_a_table_as_the_user_has_them_get_the_answer_of_keras(store):
    dataset = table()
    run_id, model = kept(dataset)
    told = served(run_id).predict(frame(dataset))
    assert list(told.columns) == ["no", "yes"]
    expected = probabilities(model, dataset.features)
    assert np.ptp(expected[:, 0]) > 0.1
    np.testing.assert_allclose(told, expected, atol=1e-6)


@pytest.mark.parametrize(("shape", "dtype"), [((8, 9, 3), np.uint8), ((4, 5), np.float32)])
def test_an_array_of_rows_gets_the_answer_of_keras(store, shape, dtype):
    dataset = images(shape, dtype)
    run_id, model = kept(dataset)
    told = served(run_id).predict(dataset.features)
    assert tuple(told.columns) == dataset.class_names
    np.testing.assert_allclose(told, probabilities(model, dataset.features), atol=1e-6)


def test_a_table_that_came_as_an_array_is_asked_for_as_one(store):
    named = table(missing=False)
    columns = tuple(Column(str(place)) for place in range(8))
    dataset = replace(named, source="npz:rows.npz", columns=columns)
    run_id, model = kept(dataset)
    rows = dataset.features.astype(np.float32)
    told = served(run_id).predict(rows)
    np.testing.assert_allclose(told, probabilities(model, rows), atol=1e-6)
    np.testing.assert_array_equal(served(run_id).input_example, rows[:3])


def test_the_signature_has_the_columns_of_the_user(store):
    signature = served(kept(table())[0]).metadata.signature
    assert {spec.name: spec.type.kind for spec in signature.inputs} == {
        "a": "f",
        "color": "U",
        "b b": "f",
        "size": "U",
    }


def test_the_example_shows_rows_as_the_user_has_them(store):
    example = served(kept(table())[0]).input_example
    assert example.loc[0, "color"] == "blue"
    assert example.loc[0, "size"] == "007"
    assert example.loc[[1, 2], ["b b", "color"]].isna().to_numpy().diagonal().all()
    pictures = images((8, 9, 3))
    np.testing.assert_array_equal(served(kept(pictures)[0]).input_example, pictures.features[:3])


def test_an_example_of_large_images_is_left_out(store):
    run_id, _ = kept(images((64, 64, 3)))
    assert served(run_id).input_example is None
    with kept_model(run_id) as folder:
        assert not list(folder.parent.rglob("*example*"))


def test_the_file_that_serves_imports_nothing_that_is_not_installed_beside_a_model():
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(Path(serving.__file__).read_text()))
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in getattr(node, "names", [])]
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"ai_edge_litert", "keras", "numpy", "pandas"}


class Echo:
    """In place of a Keras model: gives its rows back, and remembers how many came at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict_on_batch(self, rows):
        self.asked.append(len(rows))
        return rows.reshape(len(rows), -1)


def echo(columns, names=None, shape=None):
    """A classifier whose probabilities are the rows that its model is given."""
    width = sum(max(1, len(categories)) for categories in columns.values())
    shape = shape or (width,)
    names = names or [str(i) for i in range(int(np.prod(shape)))]
    interface = Interface(
        class_names=tuple(names),
        columns=columns,
        row_shape=shape,
        dtype="float32",
        image_shape=None,
    )
    return Classifier(Echo(), interface)


def encoded(categories, cells):
    classifier = echo({"c": tuple(categories)})
    return classifier._encoded([np.asarray(cells)])


# NumPy's texts end where only zero characters are left; no file of ours has any.
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.data())
def test_a_category_is_one_in_its_own_column_whatever_its_name(categories, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(categories))), min_size=1))
    cells = np.array([categories[place] for place in chosen], dtype=object)
    np.testing.assert_array_equal(encoded(categories, cells), np.eye(len(categories))[chosen])


def test_an_unknown_category_is_zero_everywhere_and_a_missing_one_nan():
    told = encoded(("red",), np.array(["blue", "None", "red"]))
    np.testing.assert_array_equal(told, [[0], [NAN], [1]])
    told = encoded(("red", "x"), np.array([None, "red", NAN, "", "?"], dtype=object))
    np.testing.assert_array_equal(np.isnan(told).all(axis=1), [True, False, True, True, True])


def test_a_category_that_others_have_read_as_a_number_is_still_known():
    np.testing.assert_array_equal(encoded(("007", "8"), ["7.0", "8.0"]), np.eye(2))
    np.testing.assert_array_equal(encoded(("1.0", "2.5"), ["1", "2.5"]), np.eye(2))
    # Two categories are this number: only the text tells them apart.
    np.testing.assert_array_equal(
        encoded(("07", "7"), ["7", "07", "7.0"]), [[0, 1], [1, 0], [0, 0]]
    )


def test_rows_go_through_the_model_a_bounded_number_at_a_time():
    many = echo({"c": ("x", "y")})
    cells = np.array(["x", "y", "z"] * 5000)
    told = many.predict({"c": cells})
    np.testing.assert_array_equal(told, np.column_stack([cells == "x", cells == "y"]))
    assert max(many._model.asked) <= 4096 < sum(many._model.asked) == 15000
    large = echo({}, shape=(300, 300, 20))
    large.predict(np.zeros((5, 300, 300, 20), np.uint8))
    assert large._model.asked == [2, 2, 1]


def test_a_missing_cell_that_the_model_has_no_answer_to_is_an_error_that_names_it(store):
    run_id, _ = kept(table(missing=False))
    rows = frame(table(missing=False))
    model = served(run_id)
    rows.loc[3, "color"] = None
    rows.loc[7, "b b"] = NAN
    with pytest.raises(
        ValueError, match=r"row 3 \(from 0\): column color is empty, and the model was trained"
    ):
        model.predict(rows)
    rows.loc[3, "color"] = "pink"
    with pytest.raises(ValueError, match=r"row 7 \(from 0\): column b b is empty"):
        model.predict(rows)


def test_the_row_of_a_missing_cell_is_told_in_later_blocks_too():
    classifier = echo({"a": (), "c": ("x", "y")})
    columns = {"a": np.zeros(9000, np.float32), "c": np.array(["x"] * 9000)}
    columns["a"][8000] = NAN
    with pytest.raises(ValueError, match=r"row 8000 \(from 0\): column a is empty"):
        classifier.predict(columns)


def test_rows_of_another_shape_are_an_error_that_says_both(store):
    with kept_model(kept(images((4, 5)))[0]) as folder:
        classifier = load_classifier(folder)
    with pytest.raises(ValueError, match=r"shape \(2, 5, 4\), must be \(rows, 4, 5\)"):
        classifier.predict(np.zeros((2, 5, 4)))


def test_what_the_model_takes_comes_back_from_its_file_as_it_was(tmp_path):
    for dataset in (table(), images()):
        from pipeline.tracking.model import _interface

        _interface(dataset).save(tmp_path)
        assert Interface.load(tmp_path) == _interface(dataset)


def test_mlflow_models_serve_answers_rows_and_images_as_keras_does(store, serve):
    rows, pictures = table(), images()
    (of_rows, rows_model), (of_pictures, pictures_model) = kept(rows), kept(pictures)
    servers = serve(of_rows), serve(of_pictures)
    for server in servers:
        wait_for(server)

    typed = frame(rows).astype(object).where(frame(rows).notna(), None)
    typed["a"] = [int(number) for number in typed["a"]]
    features = np.column_stack([typed["a"].astype(float), rows.features[:, 1:]])
    expected = probabilities(rows_model, features)
    for question in (
        {"dataframe_split": typed.to_dict("split")},
        {"dataframe_records": typed.to_dict("records")},
        {"inputs": typed.to_dict("list")},
        {"instances": typed.to_dict("records")},
    ):
        told = ask(servers[0], question)
        assert list(told.columns) == ["no", "yes"], question
        np.testing.assert_allclose(told, expected, atol=1e-6)
    alone = ask(servers[0], {"dataframe_records": typed.iloc[[2]].to_dict("records")})
    np.testing.assert_allclose(alone, expected[[2]], atol=1e-6)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(servers[0], {"dataframe_records": [{"a": 1}]})
    assert refused.value.code == 400

    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(servers[1], {"instances": pictures.features[:, :5].tolist()})
    assert refused.value.code == 400
    told = ask(servers[1], {"instances": pictures.features.tolist()})
    assert tuple(told.columns) == pictures.class_names
    expected = probabilities(pictures_model, pictures.features)
    np.testing.assert_allclose(told, expected, atol=1e-6)


def test_mlflow_models_predict_takes_a_csv_with_whole_numbers_texts_and_empty_cells(
    store, tmp_path
):
    rows = table()
    run_id, model = kept(rows)
    typed = frame(rows)
    typed["a"] = typed["a"].astype(int)
    typed.to_csv(tmp_path / "rows.csv", index=False)
    read = pd.read_csv(tmp_path / "rows.csv")
    assert read["a"].dtype == np.int64
    features = np.column_stack([typed["a"], rows.features[:, 1:]])
    expected = probabilities(model, features)
    np.testing.assert_allclose(served(run_id).predict(read), expected, atol=1e-6)
