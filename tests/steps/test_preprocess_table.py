from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.configuration import Configuration
from steps.preprocess import input_files, preprocess

TABLE = pd.DataFrame(
    {
        "id": [f"row {i}" for i in range(12)],
        "width": [i + 0.5 for i in range(12)],
        "color": ["red", "green", "blue"] * 4,
        "month": [1, 2, 10] * 4,
        "person": ["ann", "ann", "bob", "bob", "eve", "eve"] * 2,
        "kind": ["no", "yes"] * 6,
    }
)
NAMED = {"drop_columns": "id,person", "categorical": "color"}


@pytest.fixture(params=["csv", "parquet"])
def write(request, tmp_path):
    """Writes a table in each format and gives the dataset's name."""

    def write(frame: pd.DataFrame) -> str:
        path = tmp_path / f"rows.{request.param}"
        if request.param == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return f"{request.param}:{path}"

    return write


@pytest.fixture
def csv(tmp_path):
    def csv(frame: pd.DataFrame, name: str, header: bool = True) -> str:
        frame.to_csv(tmp_path / name, index=False, header=header)
        return str(tmp_path / name)

    return csv


def with_cell(row: int, column: str, cell: object) -> pd.DataFrame:
    frame = TABLE.astype({"width": object, "month": object})
    frame.loc[row, column] = cell
    return frame


@pytest.mark.parametrize("dropped", ["id,person,color", "0,4,2"])
def test_columns_are_dropped_by_name_and_by_position(read, write, dropped):
    table = read(write(TABLE), drop_columns=dropped)
    assert table.feature_names == ("width", "month")
    np.testing.assert_array_equal(table.features, TABLE[["width", "month"]])
    assert table.class_names == ("no", "yes")


@pytest.mark.parametrize("categorical", ["color", "2"])
def test_a_categorical_column_becomes_one_column_of_0_and_1_per_category(read, write, categorical):
    table = read(write(TABLE), **{**NAMED, "categorical": categorical})
    assert table.feature_names == ("width", "color=blue", "color=green", "color=red", "month")
    expected = pd.get_dummies(TABLE["color"])[["blue", "green", "red"]]
    np.testing.assert_array_equal(table.features[:, 1:4], expected)


def test_automatic_categories_are_those_of_all_columns_that_hold_text(read, write):
    table = read(write(TABLE), drop_columns="id", categorical="auto")
    assert [column.name for column in table.columns if column.categories] == ["color", "person"]


def test_numbers_can_be_categories_and_are_named_as_they_were_written(read, write, csv):
    table = read(write(TABLE), **{**NAMED, "categorical": "color,month"})
    assert table.feature_names[-3:] == ("month=1", "month=10", "month=2")
    as_text = TABLE.assign(month=["01", "1", "2"] * 4)
    table = read(f"csv:{csv(as_text, 'text.csv')}", **{**NAMED, "categorical": "color,month"})
    assert table.feature_names[-3:] == ("month=01", "month=1", "month=2")


def test_a_column_of_text_is_refused_with_a_hint_at_categories(refusal, write):
    message = refusal(write(TABLE), drop_columns="id")
    assert "column color, row " in message
    assert "'red', not a finite number; a column of categories goes into --categorical" in message


def test_a_column_of_dates_is_refused_and_not_counted_in_nanoseconds(refusal, tmp_path):
    frame = TABLE.assign(id=pd.date_range("2024-01-01", periods=12))
    frame.to_parquet(tmp_path / "rows.parquet")
    message = refusal(f"parquet:{tmp_path / 'rows.parquet'}", drop_columns="color,person")
    assert "column id, row 1: '2024-01-01 00:00:00', not a finite number" in message


def test_more_categories_than_a_column_of_categories_has_are_refused(refusal, csv):
    frame = pd.DataFrame(
        {"text": [f"text {i}" for i in range(1001)], "kind": [0, 1, 0] * 333 + [1, 0]}
    )
    message = refusal(f"csv:{csv(frame, 'rows.csv')}", categorical="text")
    assert "column text has 1001 categories, allowed are 1 to 1000" in message


@pytest.mark.parametrize("cell", [None, "?", "NA", ""])
def test_a_missing_cell_is_an_error_unless_it_may_be_missing(refusal, csv, cell):
    path = csv(with_cell(4, "width", cell), "rows.csv")
    message = refusal(f"csv:{path}", **NAMED)
    assert "column width, row 6: an empty cell, NaN or ?; --missing drop" in message


@pytest.mark.parametrize("column", ["width", "color", "kind"])
def test_rows_with_a_missing_cell_are_dropped_and_counted(read, write, column):
    table = read(write(with_cell(4, column, None)), missing="drop", **NAMED)
    kept = TABLE.drop(index=4)
    np.testing.assert_array_equal(table.features[:, 0], kept["width"])
    assert table.labels.tolist() == (kept["kind"] == "yes").astype(int).tolist()
    assert table.facts["rows_dropped"] == 1


def test_a_missing_cell_in_a_dropped_column_drops_no_row(read, write):
    table = read(write(with_cell(4, "id", None)), missing="drop", **NAMED)
    assert (len(table.labels), table.facts["rows_dropped"]) == (12, 0)


def test_missing_cells_stay_missing_for_the_median_of_training_rows_and_are_counted(read, write):
    frame = with_cell(4, "width", None)
    frame.loc[[1, 2], "color"] = None
    table = read(write(frame), missing="median", **NAMED)
    gaps = np.zeros((12, 5), bool)
    gaps[4, 0] = gaps[1:3, 1:4] = True
    np.testing.assert_array_equal(np.isnan(table.features), gaps)
    assert table.facts["missing_cells"] == {"width": 1, "color": 2}


def test_a_missing_label_is_an_error_where_cells_are_filled(refusal, write):
    message = refusal(write(with_cell(4, "kind", None)), missing="median", **NAMED)
    assert "column kind, row " in message and "no label" in message


def test_a_table_with_a_hole_in_each_row_is_refused(refusal, write):
    message = refusal(write(TABLE.assign(width=None)), missing="drop", **NAMED)
    assert message.endswith("has no row without a missing cell; see --drop-columns")


def test_whole_numbers_as_labels_keep_their_names_beside_a_missing_one(read, write):
    frame = TABLE.assign(kind=[1, 2, None] * 4)
    assert read(write(frame), missing="drop", **NAMED).class_names == ("1", "2")


@pytest.mark.parametrize("group", ["person", "4"])
def test_rows_with_equal_values_in_the_group_column_have_equal_group_numbers(read, write, group):
    table = read(write(TABLE), group=group, drop_columns="id", categorical="color")
    assert table.groups.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert table.groups.dtype == np.int64
    assert "person" not in [column.name for column in table.columns]


def test_a_missing_group_is_an_error(refusal, write):
    frame = with_cell(3, "person", None)
    message = refusal(write(frame), group="person", drop_columns="id", categorical="color")
    assert "column person, row " in message and message.endswith("no group")


@pytest.mark.parametrize("option", ["drop_columns", "categorical", "group"])
def test_an_unknown_column_is_refused_with_those_that_there_are(refusal, write, option):
    message = refusal(write(TABLE), **{option: "colour"})
    typed = "--" + option.replace("_", "-")
    assert message.startswith(f"{typed} colour: no such column; the file has id, width, color")


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"drop_columns": "kind"}, "--drop-columns kind: column kind is the label already"),
        ({"categorical": "5"}, "--categorical 5: column kind is the label already"),
        ({"group": "kind"}, "--group kind: column kind is the label already"),
        ({"group": "id", "drop_columns": "id"}, "column id is the group already"),
        ({"drop_columns": "id", "categorical": "id"}, "column id is left out already"),
    ],
)
def test_a_column_that_is_to_be_two_things_is_refused(refusal, write, hyperparameters, told):
    assert told in refusal(write(TABLE), **hyperparameters)


def test_the_test_file_comes_last_and_stays_apart(read, csv):
    main, test = csv(TABLE, "main.csv"), csv(TABLE[3:7], "test.csv")
    table = read(f"csv:{main}", test_csv=test, **NAMED)
    assert table.test_rows == 4
    np.testing.assert_array_equal(table.features[12:], table.features[3:7])
    np.testing.assert_array_equal(table.labels[12:], table.labels[3:7])
    assert input_files(Configuration(dataset=f"csv:{main}", test_csv=test)) == (
        Path(main),
        Path(test),
    )


def test_a_category_that_only_the_test_file_has_is_unknown_as_in_prediction(read, csv):
    test = csv(TABLE[:4].assign(color=["violet", "red", "red", "red"]), "test.csv")
    table = read(f"csv:{csv(TABLE, 'main.csv')}", test_csv=test, **NAMED)
    assert table.feature_names[1:4] == ("color=blue", "color=green", "color=red")
    assert table.features[12:, 1:4].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


def test_a_label_that_only_the_test_file_has_is_refused(refusal, csv):
    test = csv(TABLE[:4].assign(kind="maybe"), "test.csv")
    message = refusal(f"csv:{csv(TABLE, 'main.csv')}", test_csv=test, **NAMED)
    assert "class maybe is in the test part only" in message


@pytest.mark.parametrize("labels", [[1, 2], ["1", "b"], [1.0, 2.0]])
def test_labels_of_the_two_files_are_the_same_classes_however_each_is_read(read, csv, labels):
    main = csv(TABLE.assign(kind=[1, 2, "b" if "b" in labels else 2] * 4), "main.csv")
    test = csv(TABLE[:2].assign(kind=labels), "test.csv")
    table = read(f"csv:{main}", test_csv=test, **NAMED)
    assert [table.class_names[label] for label in table.labels[12:]] == [
        str(label).removesuffix(".0") for label in labels
    ]


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (TABLE.rename(columns={"color": "colour"}), "column 2 is colour in its header, and color"),
        (TABLE.drop(columns="color"), "has 5 columns, --dataset has 6"),
        (TABLE[["id", "color", "width", "month", "person", "kind"]], "column 1 is color"),
    ],
)
def test_a_test_file_with_another_header_is_refused(refusal, csv, test, told):
    message = refusal(f"csv:{csv(TABLE, 'main.csv')}", test_csv=csv(test, "test.csv"), **NAMED)
    assert message.startswith("--test-csv ")
    assert told in message


@pytest.mark.parametrize("headers", [(True, False), (False, True)])
def test_a_header_in_one_file_of_two_is_refused(refusal, csv, headers):
    numbers = TABLE[["width", "month", "kind"]]
    main, test = csv(numbers, "main.csv", headers[0]), csv(numbers, "test.csv", headers[1])
    assert "--test-csv" in refusal(f"csv:{main}", test_csv=test)


def test_what_is_wrong_in_the_test_file_is_told_of_that_file(refusal, csv):
    test = csv(with_cell(2, "width", "wide"), "test.csv")
    message = refusal(f"csv:{csv(TABLE, 'main.csv')}", test_csv=test, **NAMED)
    assert message.startswith(f"--test-csv {test}: column width, row 4: 'wide'")
    gone = refusal(f"csv:{csv(TABLE, 'main.csv')}", test_csv=f"{test}.gone", **NAMED)
    assert gone.startswith(f"--test-csv {test}.gone: cannot be read (no such file")


def test_a_column_that_numbers_the_rows_is_left_out_of_both_files(read, csv):
    main = TABLE[["width", "kind"]].reset_index(names="")
    table = read(f"csv:{csv(main, 'main.csv')}", test_csv=csv(main[5:], "test.csv"))
    assert table.feature_names == ("width",)
    assert table.facts["columns_left_out"] == ["Unnamed: 0"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 this is nothing PAR1", b"id,kind\n1,2\n"])
def test_a_damaged_parquet_file_is_refused(refusal, tmp_path, content):
    (tmp_path / "rows.parquet").write_bytes(content)
    assert "is not a readable Parquet file" in refusal(f"parquet:{tmp_path / 'rows.parquet'}")


def test_columns_of_lists_are_refused_by_name(refusal, tmp_path):
    TABLE.assign(width=[[1, 2]] * 12).to_parquet(tmp_path / "rows.parquet")
    message = refusal(f"parquet:{tmp_path / 'rows.parquet'}", **NAMED)
    assert "column width, row 1: " in message


def test_a_parquet_file_without_columns_or_rows_is_refused(refusal, tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame().to_parquet(path)
    assert refusal(f"parquet:{path}").endswith("has no rows")
    TABLE[:0].to_parquet(path)
    assert refusal(f"parquet:{path}").endswith("has no rows")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.sampled_from(["red", "dark red", "7", "é"]),
            st.sampled_from(["no", "yes"]),
        ),
        max_size=30,
    )
)
def test_dropped_and_filled_tables_hold_what_pandas_holds(tmp_path: Path, drawn: list[tuple]):
    sure = [(0.0, "red", "no"), (1.0, "7", "yes")] * 3
    frame = pd.DataFrame(sure + drawn, columns=["width", "color", "kind"])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    dataset, whole = f"csv:{tmp_path / 'rows.csv'}", frame.dropna()

    dropped = preprocess(Configuration(dataset=dataset, categorical="color", missing="drop"))
    assert dropped.facts["rows_dropped"] == len(frame) - len(whole)
    np.testing.assert_array_equal(dropped.features[:, 0], whole["width"])
    filled = preprocess(Configuration(dataset=dataset, categorical="color", missing="median"))
    np.testing.assert_array_equal(filled.features[:, 0], frame["width"])
    for place, category in enumerate(filled.columns[1].categories, 1):
        is_it = np.where(frame["color"].isna(), np.nan, frame["color"] == category)
        np.testing.assert_array_equal(filled.features[:, place], is_it.astype(float))
