"""The journal keeps what was measured until MLflow has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal import Entry, Journal


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entry(number: int) -> Entry:
    return Entry([("val_loss", number / 3, 1000 + number, number)], {"epochs": number}, {"a": "b"})


def test_entries_come_back_as_they_were_in_their_order():
    journal = Journal("run")
    written = [entry(number) for number in range(5)]
    for each in written:
        journal.append(each)
    assert list(Journal("run").entries()) == written


def test_runs_do_not_see_each_others_entries():
    Journal("one").append(entry(1))
    assert list(Journal("two").entries()) == []


@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_gives_the_entries_that_were_whole(tmp_path_factory, cut):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cut"))
        journal = Journal("run")
        for number in range(3):
            journal.append(entry(number))
        (file,) = (journal._path.parent).iterdir()
        content = file.read_bytes()
        cut %= len(content) + 1
        file.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert list(journal.entries()) == [entry(number) for number in range(whole)]


def test_deleted_journal_is_gone_and_can_be_deleted_again(folder):
    journal = Journal("run")
    journal.append(entry(1))
    journal.delete()
    journal.delete()
    assert list(journal.entries()) == []
