"""The journal keeps what was measured until MLflow has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal import Entry, Journal

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entry(number: int) -> Entry:
    return Entry([("val_loss", number / 3, 1000 + number, number)], {"epochs": number}, {"a": "b"})


def begun(run_id: str) -> Journal:
    journal = Journal(run_id)
    journal.begin("sqlite:///mlflow.db")
    return journal


def test_entries_come_back_as_they_were_in_their_order():
    journal = begun("run")
    written = [entry(number) for number in range(5)]
    for each in written:
        journal.append(each)
    assert list(Journal("run").entries()) == written


def test_runs_do_not_see_each_others_entries():
    begun("one").append(entry(1))
    assert list(Journal("two").entries()) == []


@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_gives_the_entries_that_were_whole(tmp_path_factory, cut):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cut"))
        journal = begun("run")
        for number in range(3):
            journal.append(entry(number))
        (file,) = (journal._path.parent).iterdir()
        content = file.read_bytes()
        cut %= len(content) + 1
        file.write_bytes(content[:cut])
        whole = max(0, content[:cut].count(b"\n") - 1)
        assert list(journal.entries()) == [entry(number) for number in range(whole)]


def test_deleted_journal_is_gone_and_can_be_deleted_again(folder):
    journal = begun("run")
    journal.append(entry(1))
    journal.delete()
    journal.delete()
    assert list(journal.entries()) == []


def test_only_journals_of_dead_processes_and_of_this_store_are_abandoned():
    begun("alive")
    code = (
        "from pipeline.journal import Journal;"
        "Journal('dead').begin('sqlite:///mlflow.db'); Journal('elsewhere').begin('http://x')"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert Journal.abandoned("sqlite:///mlflow.db") == ["dead"]
