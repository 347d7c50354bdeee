"""Files of anything: read as what they are, or refused in one line."""

from pathlib import Path

import pytest
from extent import LONG, TALLY, tried
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers import PARSERS

TOKENS = (
    *(b"", b"\0", b"\n", b"\r", b",", b";", b'"', b"'", b" ", b"\t", b":", b"-", b"[", b"{", b"("),
    *(b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b"9" * 5000, b"?", b"\xff", b"\xed\xa0\x80"),
    *("\U0001f600".encode(), "\u2028".encode(), b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"),
)
EDITS = st.tuples(
    st.floats(0, 1), st.integers(0, 40), st.sampled_from(TOKENS) | st.binary(max_size=8)
)


def edited(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """With some bytes taken away and others put there, at that share of its length."""
    for share, taken, put in edits:
        place = int(share * len(content))
        content = content[:place] + put + content[place + taken :]
    return content


@pytest.mark.parametrize("name", PARSERS)
def test_the_seeds_are_good_files(tmp_path, name):
    parser = PARSERS[name]
    for place, seed in enumerate(parser.seeds):
        path = tmp_path / f"{place}{parser.suffix}"
        assert parser.tried(path, seed)


@pytest.mark.parametrize("name", PARSERS)
@tried
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(
    tmp_path: Path, name: str, data: st.DataObject
):
    parser = PARSERS[name]
    content = data.draw(
        st.sampled_from(parser.seeds).flatmap(
            lambda seed: st.lists(EDITS, min_size=1, max_size=4).map(lambda e: edited(seed, e))
        )
        | st.binary(max_size=200)
    )
    TALLY["inputs tried"] += 1
    parser.tried(tmp_path / f"file{parser.suffix}", content)


@settings(tried, max_examples=500 if LONG else 15)
@given(st.lists(EDITS, min_size=1, max_size=4))
def test_run_with_a_damaged_configuration_ends_in_one_line_and_opens_no_run(store, greenest, edits):
    (seed,) = PARSERS["configuration"].seeds
    Path("any.yaml").write_bytes(edited(seed, edits))
    TALLY["inputs tried"] += 1
    # Whatever the file has become: what is typed counts, and this is not there.
    code, out, err = greenest("run", "--config", "any.yaml", "--dataset", "csv:gone.csv")
    assert (code, out) == (2, "")
    assert err.startswith("Error: --") and err.count("\n") == 1
    assert store.search_runs([each.experiment_id for each in store.search_experiments()]) == []
