"""Values of runs in little memory read like dictionaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tracking.compact import ByName, Shared

values = st.dictionaries(st.sampled_from("abcdef"), st.floats(allow_nan=False))


@given(st.lists(values, max_size=5), st.randoms())
def test_compact_values_read_like_dictionaries_in_whatever_order_they_came(all_values, random):
    shared = Shared()
    for expected in all_values:
        pairs = list(expected.items())
        random.shuffle(pairs)
        compact = shared.numbers(pairs)
        assert compact == expected
        assert dict(compact) == expected and {**compact} == expected
        assert compact.keys() == expected.keys() and len(compact) == len(expected)
        assert compact.get("a") == expected.get("a") and compact.get("z") is None
        assert ("b" in compact) == ("b" in expected)
        with pytest.raises(KeyError):
            compact["z"]


def test_runs_with_the_same_names_share_them():
    shared = Shared()
    one = shared.texts([("lr", "0.1"), ("seed", "0")])
    other = shared.texts([("seed", "1"), ("lr", "".join(["0", ".1"]))])
    assert isinstance(one, ByName) and isinstance(other, ByName)
    assert one._places is other._places
    assert one["lr"] is other["lr"]


def test_a_name_with_a_line_break_is_read_and_stands_for_no_other():
    shared = Shared()
    for pairs in ([("lr", "1"), ("lr\n", "2")], [("lr\n", "2"), ("lr", "1")]):
        assert dict(shared.texts(pairs)) == {"lr": "1"}
    assert dict(shared.texts([("lr\n", "2"), ("a", "b")])) == {"lr": "2", "a": "b"}
