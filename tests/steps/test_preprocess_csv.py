import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.configuration import Configuration
from steps.preprocess import preprocess

DELIMITERS = (",", ";", "\t", "|")
ROWS = [(i + 0.5, -i / 3, i % 2) for i in range(8)]


@pytest.fixture
def write(tmp_path):
    """Writes a file and gives the dataset's name."""

    def write(content: str | bytes, name: str = "rows.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return f"csv:{path}"

    return write


def text(rows: object, header: str = "", delimiter: str = ",") -> str:
    lines = [delimiter.join(map(str, row)) for row in rows]
    return "\n".join([header, *lines] if header else lines) + "\n"


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("header", ["", "width,height,kind", "0,1,2", "1,2,3"])
def test_a_csv_reads_the_same_with_any_delimiter_with_or_without_header(
    read, write, header, delimiter
):
    table = read(write(text(ROWS, header.replace(",", delimiter), delimiter)))
    np.testing.assert_array_equal(table.features, np.array(ROWS)[:, :2])
    np.testing.assert_array_equal(table.labels, np.array(ROWS)[:, 2])
    assert table.feature_names == tuple((header or "0,1,2").split(",")[:2])


def test_a_byte_order_mark_does_not_make_a_header_of_the_first_row(read, write):
    content = text(ROWS)
    marked = read(write(b"\xef\xbb\xbf" + content.encode(), "with.csv"))
    assert marked.digest == read(write(content, "without.csv")).digest


def test_windows_line_ends_and_blank_lines_at_the_end_change_nothing(read, write):
    content = text(ROWS, "width,height,kind")
    windows = content.replace("\n", "\r\n") + "\r\n\r\n"
    assert read(write(windows, "a.csv")).digest == read(write(content, "b.csv")).digest


def test_a_csv_that_pandas_wrote_with_its_index_keeps_every_row(read, write):
    frame = pd.DataFrame(np.array(ROWS))
    assert len(read(write(frame.to_csv())).labels) == len(ROWS)


def test_numbers_of_seventeen_digits_are_read_to_the_last_bit(read, write):
    drawn = np.random.default_rng(0).normal(size=(500, 2)) * 10.0 ** np.arange(-250, 250)[:, None]
    rows = [(first, second, i % 2) for i, (first, second) in enumerate(drawn.tolist())]
    np.testing.assert_array_equal(read(write(text(rows))).features, drawn)


def test_string_labels_become_classes_in_alphabetical_order(read, write):
    rows = [(i, name) for i, name in enumerate(["pear", "apple", "fig"] * 3)]
    for header in ("", "weight,fruit"):
        table = read(write(text(rows, header)))
        assert table.class_names == ("apple", "fig", "pear")
        assert table.labels.tolist() == [2, 0, 1] * 3


def test_number_labels_become_classes_in_order_of_value(read, write):
    rows = [(i + 0.5, label) for i, label in enumerate([10, 9, -1] * 3)]
    table = read(write(text(rows)))
    assert table.class_names == ("-1", "9", "10")
    assert table.labels.tolist() == [2, 1, 0] * 3


@pytest.mark.parametrize("label", ["kind", "0"])
def test_the_label_is_found_by_name_and_by_position(read, write, label):
    rows = [(kind, width, height) for width, height, kind in ROWS]
    table = read(write(text(rows, "kind,width,height")), label=label)
    assert table.feature_names == ("width", "height")
    np.testing.assert_array_equal(table.features, np.array(ROWS)[:, :2])
    np.testing.assert_array_equal(table.labels, np.array(ROWS)[:, 2])


def test_a_name_wins_over_a_position_of_the_same_spelling(read, write):
    table = read(write(text([(kind, *rest) for *rest, kind in ROWS], "1,2,3")), label="1")
    assert table.feature_names == ("2", "3")
    assert table.class_names == ("0", "1")


def test_a_text_file_is_read_as_text_whatever_its_name_ends_in(read, write):
    expected = read(write(text(ROWS, "width,height,kind")))
    for suffix in ("gz", "zip", "bz2", "xz", "zst"):
        dataset = read(write(text(ROWS, "width,height,kind"), f"rows.csv.{suffix}"))
        np.testing.assert_array_equal(dataset.features, expected.features)


@pytest.mark.parametrize("label", ["colour", "3", "-1", "1.0", "9" * 5000])
def test_a_missing_label_column_is_refused_with_the_columns_that_there_are(refusal, write, label):
    message = refusal(write(text(ROWS, "width,height,kind")), label=label)
    assert message.startswith(f"--label {label}: "[:900])
    assert "width, height, kind" in message and "0 to 2" in message


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("", "an empty cell, NaN or ?"),
        ("nan", "an empty cell, NaN or ?"),
        ("NA", "an empty cell, NaN or ?"),
        ("?", "an empty cell, NaN or ?"),
        ("abc", "'abc'"),
        ("inf", "'inf'"),
        ("-inf", "'-inf'"),
        ("1e999", "'inf'"),
    ],
)
@pytest.mark.parametrize("header", ["", "width,height,kind"])
@pytest.mark.parametrize("place", [0, 1, 5, 7])
def test_a_cell_that_is_no_number_is_named_by_column_and_line(
    refusal, write, cell, told, header, place
):
    rows = [list(row) for row in ROWS]
    rows[place][1] = cell
    message = refusal(write(text(rows, header)))
    line = place + (2 if header else 1)
    assert f"column {'height' if header else '1'}, row {line}: {told}" in message
    assert message.startswith("--dataset csv:")


def test_a_whole_number_that_is_beyond_all_floats_is_no_number(refusal, write):
    """pandas keeps it as one of Python's, beside others."""
    content = "".join(f"{number},{number},{'xy'[number % 2]}\n" for number in range(8))
    assert "column 0, row 9: '9999" in refusal(write(f"{content}{'9' * 400},1,x\n"))


def test_the_row_in_a_message_is_the_line_of_the_file_although_lines_are_blank(refusal, write):
    lines = text(ROWS, "width,height,kind").splitlines()
    lines[6] = "x,1,0"
    message = refusal(write("\n".join([*lines[:3], "", "", *lines[3:]])))
    assert "column width, row 9: 'x'" in message


def test_a_row_with_too_few_or_too_many_cells_is_refused(refusal, write):
    short = text([*ROWS[:4], (1.5, 2.5), *ROWS[4:]], "width,height,kind")
    assert "column kind, row 6: no label" in refusal(write(short))
    long = text([*ROWS[:4], (1.5, 2.5, 0, 9), *ROWS[4:]], "width,height,kind")
    assert "line 6" in refusal(write(long))


def test_a_missing_label_is_named_by_column_and_line(refusal, write):
    rows = [*ROWS[:3], (9.5, 9.5, ""), *ROWS[3:]]
    assert "column kind, row 5: no label" in refusal(write(text(rows, "width,height,kind")))


@pytest.mark.parametrize("content", ["", "\n", "\n\n", "width,height,kind\n"])
def test_a_file_without_rows_is_refused(refusal, write, content):
    assert refusal(write(content)).endswith("has no rows")


def test_a_file_that_is_not_text_in_utf_8_is_refused(refusal, write):
    assert refusal(write("breite;höhe;art\n".encode("latin-1"))).endswith("UTF-8")
    far_down = (text(ROWS) * 30000).encode() + "1.5,2.5,größe\n".encode("latin-1")
    assert "is not a readable CSV" in refusal(write(far_down))


def test_a_file_of_one_endless_cell_is_refused(refusal, write):
    assert refusal(write("9" * 500_000)).startswith("--dataset csv:")


def test_a_file_with_nothing_beside_the_label_is_refused(refusal, write):
    assert refusal(write("kind\na\nb\na\nb\n")).endswith("has no column beside the label")


def test_a_text_of_one_column_is_refused_without_being_read_whole(write, refusal, monkeypatch):
    read = pd.read_csv

    def read_a_row(*args, **options):
        assert options.get("nrows") == 1
        return read(*args, **options)

    path = write("y\n" * 1000)
    monkeypatch.setattr(pd, "read_csv", read_a_row)
    assert refusal(path).endswith("has no column beside the label")


def test_a_file_that_is_not_there_is_refused(refusal, tmp_path):
    assert "no such file" in refusal(f"csv:{tmp_path / 'nothing.csv'}")
    assert "is a directory" in refusal(f"csv:{tmp_path}")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn, delimiter: str) -> tuple[pd.DataFrame, str]:
    """A table with at least three rows of each class, and the name of its label column."""
    # Spaces at a cell's edge are layout. So is a delimiter, unless it stands in quotes.
    words = st.text(f"xyzXYZéß _-'\"{delimiter}", max_size=6).map("v{}w".format)
    classes = draw(
        st.lists(words, min_size=2, max_size=4, unique=True)
        | st.lists(st.integers(-99, 99), min_size=2, max_size=4, unique=True)
    )
    more = draw(st.lists(st.sampled_from(classes), max_size=20))
    labels = draw(st.permutations(classes * 3 + more))
    names = draw(st.lists(words, min_size=2, max_size=5, unique=True))
    frame = pd.DataFrame(
        {
            name: draw(st.lists(NUMBERS, min_size=len(labels), max_size=len(labels)))
            for name in names[1:]
        }
    )
    frame.insert(draw(st.integers(0, len(names) - 1)), names[0], labels)
    return frame, names[0]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.data(),
    st.booleans(),
    st.sampled_from(DELIMITERS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
)
def test_a_table_written_by_pandas_is_read_back_exactly(
    tmp_path: Path, data: st.DataObject, header: bool, delimiter: str, quoting: int
):
    frame, label = data.draw(tables(delimiter))
    path = tmp_path / "rows.csv"
    frame.to_csv(path, sep=delimiter, header=header, index=False, quoting=quoting)
    position = str(frame.columns.get_loc(label))

    typed = label if header else position
    dataset = preprocess(Configuration(dataset=f"csv:{path}", label=typed))

    np.testing.assert_array_equal(dataset.features, frame.drop(columns=label).to_numpy())
    names = [dataset.class_names[index] for index in dataset.labels]
    assert names == [str(value) for value in frame[label]]
    assert dataset.class_names == tuple(map(str, sorted(frame[label].unique())))
    if header:
        assert dataset.feature_names == tuple(frame.columns.drop(label))


@pytest.mark.parametrize("first", [0, 1])
def test_a_nameless_column_that_numbers_the_rows_is_left_out_and_told(read, tmp_path, first):
    path = tmp_path / "rows.csv"
    rows = "".join(f'"{i + first}",{i % 7},{i % 5},"{"ab"[i >= 30]}"\n' for i in range(60))
    path.write_text('"","x","y","kind"\n' + rows)
    table = read(f"csv:{path}")
    assert table.feature_names == ("x", "y")
    assert table.facts == {"columns_left_out": ["Unnamed: 0"]}


def test_a_column_with_a_name_is_a_feature_even_if_it_numbers_the_rows(read, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("time,x,kind\n" + "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    table = read(f"csv:{path}")
    assert (table.feature_names, table.facts) == (("time", "x"), {"columns_left_out": []})


def test_a_header_of_a_table_of_texts_is_known_by_the_name_of_the_label(read, write):
    rows = [("ab"[i % 2], "xy"[i % 2]) for i in range(8)]
    table = read(write(text(rows, "kind,letter")), label="kind", categorical="auto")
    assert table.feature_names == ("letter=x", "letter=y")
    assert table.class_names == ("a", "b")


@pytest.mark.parametrize("end", ["", "9"])
def test_rows_with_more_cells_than_the_header_has_names_are_refused(refusal, write, end):
    rows = [(*row, end) for row in ROWS]
    assert "more cells than" in refusal(write(text(rows, "width,height,kind")))


@pytest.mark.parametrize(
    ("beginning", "told"),
    [(b"", "text file in UTF-8"), (b"\x89PNG\r\n", "UTF-8"), (b"1,2,0\n" * 99, "UTF-8")],
)
def test_three_gigabytes_that_are_no_csv_are_refused_from_their_first_bytes(
    refusal, tmp_path, beginning, told
):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(beginning)
        file.truncate(3 << 30)
    tracemalloc.start()
    try:
        message = refusal(f"csv:{path}")
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message.endswith(told)
    assert most_bytes < 1 << 26


def test_one_endless_line_is_refused_from_its_first_bytes(refusal, write):
    assert "first line is longer than 4 MiB" in refusal(write("1.5," * (1 << 21)))
