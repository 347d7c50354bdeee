from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import Column, preprocess, read_rows

COLUMNS = (Column("width"), Column("color", ("blue", "red")), Column("height"))
FRAME = pd.DataFrame({"width": [1.5, 2.5], "color": ["red", "blue"], "height": [3, 4]})
EXPECTED = [[1.5, 0, 1, 3], [2.5, 1, 0, 4]]


def refusal(path: Path, columns: tuple[Column, ...] = COLUMNS) -> str:
    with pytest.raises(InputError) as caught:
        read_rows(path, columns)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"INPUT {path}: ")
    return message


@pytest.fixture
def csv(tmp_path):
    def csv(frame: pd.DataFrame, **more: object) -> Path:
        frame.to_csv(tmp_path / "new.csv", index=False, **more)
        return tmp_path / "new.csv"

    return csv


def test_columns_are_found_by_name_in_any_order_and_others_are_ignored(csv, tmp_path):
    mixed = FRAME[["height", "color", "width"]].assign(kind="no", note="text, and more")
    np.testing.assert_array_equal(read_rows(csv(mixed), COLUMNS), EXPECTED)
    np.testing.assert_array_equal(read_rows(csv(mixed, sep=";"), COLUMNS), EXPECTED)
    mixed.to_parquet(tmp_path / "new.parquet")
    np.testing.assert_array_equal(read_rows(tmp_path / "new.parquet", COLUMNS), EXPECTED)


def test_a_parquet_file_is_known_by_its_content(tmp_path):
    FRAME.to_parquet(tmp_path / "rows")
    np.testing.assert_array_equal(read_rows(tmp_path / "rows", COLUMNS), EXPECTED)


def test_without_a_header_the_columns_are_those_of_the_model_in_their_order(csv):
    np.testing.assert_array_equal(read_rows(csv(FRAME, header=False), COLUMNS), EXPECTED)


def test_one_row_is_enough(csv):
    np.testing.assert_array_equal(read_rows(csv(FRAME[:1]), COLUMNS), EXPECTED[:1])
    np.testing.assert_array_equal(read_rows(csv(FRAME[:1], header=False), COLUMNS), EXPECTED[:1])


def test_without_a_header_another_number_of_columns_is_refused(csv):
    message = refusal(csv(FRAME.assign(kind="no"), header=False))
    assert "has no header and 4 columns; the model takes 3: width, color, height" in message


def test_a_model_of_a_file_without_header_takes_the_same_file_with_its_label(csv):
    rows = pd.DataFrame([["a", 1.5, 3], ["b", 2.5, 4]])
    columns = (Column("1"), Column("2"))
    expected = [[1.5, 3], [2.5, 4]]
    np.testing.assert_array_equal(read_rows(csv(rows, header=False), columns), expected)
    alone = csv(rows[[1, 2]], header=False)
    np.testing.assert_array_equal(read_rows(alone, columns), expected)


def test_a_row_of_small_numbers_is_no_header_of_positions(csv):
    rows = pd.DataFrame([[2, 0, 1], [1, 2, 0]])
    columns = (Column("0"), Column("1"), Column("2"))
    np.testing.assert_array_equal(read_rows(csv(rows, header=False), columns), rows)


def test_a_column_that_is_not_there_is_named(csv, tmp_path):
    message = refusal(csv(FRAME.drop(columns="color")))
    assert "lacks 1 columns of the model: color; it has width, height" in message
    FRAME.drop(columns="color").to_parquet(tmp_path / "new.parquet")
    assert "lacks 1 columns" in refusal(tmp_path / "new.parquet")


def test_an_unknown_category_is_zero_everywhere_and_an_empty_cell_is_missing(csv):
    frame = FRAME.assign(color=["violet", None], width=[None, 1])
    rows = read_rows(csv(frame), COLUMNS)
    np.testing.assert_array_equal(rows, [[np.nan, 0, 0, 3], [1, np.nan, np.nan, 4]])


def test_a_cell_that_is_no_number_is_named_by_column_and_line(csv):
    message = refusal(csv(FRAME.astype(object).replace(4, "tall")))
    assert "column height, row 3: 'tall', not a finite number" in message
    assert "row 2: 'inf', not a finite number" in refusal(csv(FRAME.replace(1.5, np.inf)))


def test_a_file_without_rows_or_that_is_not_there_is_refused(csv, tmp_path):
    assert refusal(csv(FRAME[:0])).endswith("has no rows")
    FRAME[:0].to_parquet(tmp_path / "new.parquet")
    assert refusal(tmp_path / "new.parquet").endswith("has no rows")
    assert "no such file" in refusal(tmp_path / "nothing.csv")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.booleans())
def test_the_file_of_the_training_gives_the_rows_of_the_training(
    tmp_path: Path, data: st.DataObject, header: bool
):
    names = data.draw(st.permutations(["number", "count", "text", "code"]))
    cells = {
        "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "count": st.none() | st.integers(-99, 99),
        "text": st.none() | st.sampled_from(["red", "dark red", "7", "07", "7.0", "é,;"]),
        "code": st.none() | st.sampled_from([1, 2, 10]),
    }
    rows = data.draw(st.lists(st.tuples(*(cells[name] for name in names)), min_size=6, max_size=20))
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    # So that the first row is no header.
    frame.loc[:1, "text"], frame.loc[0, "code"] = "red", 2
    place = data.draw(st.integers(0, len(names)))
    frame.insert(place, "kind", (["no", "yes"] * len(frame))[: len(frame)])
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False, header=header)
    columns = [name if header else str(frame.columns.get_loc(name)) for name in ("text", "code")]
    configuration = Configuration(
        dataset=f"csv:{path}",
        label="kind" if header else str(place),
        categorical=",".join(columns),
        missing="median",
    )

    dataset = preprocess(configuration)

    np.testing.assert_array_equal(read_rows(path, dataset.columns), dataset.features)
