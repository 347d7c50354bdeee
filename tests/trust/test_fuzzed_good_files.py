"""Good files of any content: what is read is what was written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from extent import TALLY, tried
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from energy.sources.replay import Trace
from pipeline import greenest_file
from pipeline.search.space import Space
from steps.configuration import FIELDS, Configuration, as_text
from steps.errors import InputError
from steps.preprocess import preprocess, read_image

WORDS = st.text(
    st.characters(exclude_categories=["C"], exclude_characters='"'), min_size=1, max_size=5
).map("w{}w".format)
CELLS = st.floats(allow_nan=False, allow_infinity=False) | st.just(np.nan)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A column of numbers with holes, one of words with holes, and the label last."""
    names = draw(st.lists(WORDS, min_size=3, max_size=3, unique=True))
    classes = draw(st.lists(WORDS, min_size=2, max_size=4, unique=True))
    labels = draw(st.permutations(classes * 3))
    count = len(labels)
    numbers = draw(st.lists(CELLS, min_size=count, max_size=count))
    categories = draw(st.lists(WORDS | st.none(), min_size=count, max_size=count))
    return pd.DataFrame(dict(zip(names, (numbers, categories, labels), strict=True)))


@tried
@given(tables(), st.sampled_from(",;\t|"), st.sampled_from(("utf-8", "utf-8-sig")))
def test_a_table_with_holes_and_words_is_read_back_as_it_was_written(
    tmp_path: Path, table: pd.DataFrame, delimiter: str, encoding: str
):
    TALLY["inputs tried"] += 1
    number, word, label = table.columns
    assume(table[number].notna().any() and table[word].notna().any())
    table.to_csv(tmp_path / "any.csv", index=False, sep=delimiter, encoding=encoding, quoting=2)
    dataset = preprocess(
        Configuration(
            dataset=f"csv:{tmp_path / 'any.csv'}", label=label, categorical="1", missing="median"
        )
    )
    known = sorted(set(table[word].dropna()))
    assert dataset.class_names == tuple(sorted(set(table[label])))
    assert [dataset.class_names[place] for place in dataset.labels] == list(table[label])
    assert dataset.feature_names == (number, *(f"{word}={each}" for each in known))
    np.testing.assert_array_equal(dataset.features[:, 0], table[number])
    for row, told in zip(dataset.features[:, 1:], table[word], strict=True):
        expected = [float(each == told) if isinstance(told, str) else np.nan for each in known]
        np.testing.assert_array_equal(row, expected)


ARRAYS = npst.arrays(
    st.sampled_from("?bBhHiIlLefd").flatmap(
        lambda kind: st.sampled_from("<>").map(lambda order: np.dtype(kind).newbyteorder(order))
    ),
    st.integers(1, 3).flatmap(lambda more: st.tuples(st.just(6), *[st.integers(1, 4)] * more)),
)
LABELS = npst.arrays(
    st.sampled_from(("<i8", ">i2", "?", "<u8", "<U3", ">U2", "S3")), 2, unique=True
)


@tried
@given(ARRAYS, LABELS, st.booleans(), st.booleans())
def test_arrays_of_any_number_are_read_back_as_they_were_written(
    tmp_path: Path, rows: np.ndarray, two: np.ndarray, is_npz: bool, is_fortran: bool
):
    TALLY["inputs tried"] += 1
    labels = np.repeat(two, 3)
    rows = np.asfortranarray(rows) if is_fortran else rows
    np.savez(tmp_path / "any.npz", X=rows, y=labels)
    np.save(tmp_path / "X.npy", rows)
    np.save(tmp_path / "y.npy", labels)
    source = f"npz:{tmp_path / 'any.npz'}" if is_npz else f"npy:{tmp_path}/X.npy,{tmp_path}/y.npy"
    is_table, is_bytes = rows.ndim == 2, rows.dtype == np.uint8
    with np.errstate(over="ignore"):
        expected = rows.astype("f8" if is_table else "u1" if is_bytes else "f4")
    texts = np.char.decode(labels, "utf-8", "replace") if labels.dtype.kind == "S" else labels
    try:
        dataset = preprocess(Configuration(dataset=source))
    except InputError as refusal:
        channels_first = rows.ndim == 4 and rows.shape[1] in (1, 3) and rows.shape[3] > 4
        is_finite = np.isfinite(expected).all()
        no_text = any("\ud800" <= each <= "\udfff" for each in "".join(map(str, texts)))
        assert channels_first or not is_finite or no_text or len(set(texts)) < 2, refusal
        return
    np.testing.assert_array_equal(dataset.features, expected)
    assert [dataset.class_names[place] for place in dataset.labels] == list(map(str, texts))


MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P"),
    "WEBP": ("RGB", "RGBA"),
}
DRAWN = st.sampled_from([(kind, mode) for kind, modes in MODES.items() for mode in modes])


@tried
@given(DRAWN, npst.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))))
def test_a_lossless_image_of_any_mode_has_the_pixels_that_were_drawn(
    tmp_path: Path, drawn: tuple[str, str], pixels: np.ndarray
):
    TALLY["inputs tried"] += 1
    kind, mode = drawn
    height, width, _ = pixels.shape
    if mode == "I;16":
        gray = pixels[:, :, 0].astype(np.uint16) * 257
        image, expected = Image.fromarray(gray), pixels[:, :, :1].repeat(3, axis=2)
    else:
        image = Image.fromarray(pixels).convert(mode)
        expected = np.asarray(image.convert("RGBA"))[:, :, :3]
    path = tmp_path / f"any.{kind.lower()}"
    image.save(path, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(read_image(path, (height, width, 3)), expected)


@tried
@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1000)), min_size=2, max_size=9),
    st.floats(0, 1),
)
def test_a_trace_that_was_recorded_has_the_energy_of_its_trapezoids(
    tmp_path: Path, samples: list[tuple[float, float]], share: float
):
    TALLY["inputs tried"] += 1
    times = np.cumsum([gap for gap, _ in samples])
    watts = np.array([power for _, power in samples])
    lines = [
        "time_s,gpu3,ram",
        *(f"{t!r},{w!r},1" for t, w in zip(times.tolist(), watts.tolist(), strict=True)),
    ]
    (tmp_path / "any.csv").write_text("\n".join(lines))
    trace = Trace.read(tmp_path / "any.csv")
    until = times[0] + share * (times[-1] - times[0])
    fine = np.union1d(times[times <= until], [until])
    expected = np.trapezoid(np.interp(fine, times, watts), fine)
    found = trace.energy_j("gpu3", share * trace.duration_s)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert trace.energy_j("ram", trace.duration_s) == pytest.approx(times[-1] - times[0])


IN_ONE_LINE = WORDS.filter(lambda word: not {"\u2028", "\u2029"} & set(word))
VALUES = {
    "dataset": st.sampled_from(("iris", "digits")) | IN_ONE_LINE.map("csv:{}.csv".format),
    "label": st.just("") | IN_ONE_LINE,
    "hidden": st.lists(st.integers(1, 999), min_size=1, max_size=3).map(
        lambda widths: ",".join(map(str, widths))
    ),
    "lr": st.floats(1e-300, 1e300) | st.just("auto"),
    "weight_decay": st.none() | st.floats(0, 1e300),
    "batch_size": st.integers(1, 2**32 - 1) | st.just("full"),
    "target_accuracy": st.floats(0, 1, exclude_max=True),
    "seed": st.integers(0, 2**32 - 1),
    "dropout": st.floats(0, 1, exclude_max=True),
    "jit_compile": st.sampled_from(("on", "off", "auto")),
    "early_stopping": st.sampled_from(("", "0.001,10")),
}


@tried
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_a_configuration_that_was_written_is_read_back_the_same(tmp_path: Path, values: dict):
    TALLY["inputs tried"] += 1
    try:
        configuration = Configuration(**values)
    except InputError:
        # They contradict each other.
        return
    typed = {name: getattr(configuration, name) for name in FIELDS}
    (tmp_path / "any.yaml").write_text(greenest_file._yaml(typed), encoding="utf-8")
    read = greenest_file.read(tmp_path / "any.yaml")
    again = {name: FIELDS[name].metadata["parse"](text) for name, text in read.texts.items()}
    assert Configuration(**again) == configuration


@tried
@given(
    st.dictionaries(
        st.sampled_from(("lr", "dropout", "weight_decay")),
        st.lists(st.floats(1e-9, 0.9), min_size=1, max_size=5, unique=True),
        min_size=1,
    )
)
def test_a_space_of_lists_has_their_values_in_their_order(tmp_path: Path, lists: dict):
    TALLY["inputs tried"] += 1
    body = "\n".join(f"  {name}: [{', '.join(map(repr, each))}]" for name, each in lists.items())
    (tmp_path / "any.yaml").write_text(f"purpose: Any.\nparameters:\n{body}\n")
    space = Space.load(tmp_path / "any.yaml")
    found = {parameter.name: list(parameter.grid()) for parameter in space.parameters}
    assert found == {name: list(map(as_text, each)) for name, each in lists.items()}
