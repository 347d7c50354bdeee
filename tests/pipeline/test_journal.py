"""The journal keeps what a run is told until MLflow has it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.journal import Journal, Letter

PROJECT = Path(__file__).parents[2]
URI = "sqlite:///mlflow.db"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def letter(number: int) -> Letter:
    return Letter(number, "figures", {"points": [["val_loss", number / 3, 1000 + number, number]]})


def begun(run_id: str) -> Journal:
    journal = Journal(run_id)
    journal.begin(URI)
    return journal


def test_letters_come_back_as_they_were_in_their_order():
    journal = begun("run")
    written = [letter(number) for number in range(1, 6)]
    for each in written:
        journal.append(each)
    assert Journal("run").letters() == written


def test_runs_do_not_see_each_others_letters():
    begun("one").append(letter(1))
    assert Journal("two").letters() == []


def test_what_was_delivered_waits_no_longer_but_is_kept_with_the_rest():
    journal = begun("run")
    for number in range(1, 5):
        journal.append(letter(number))
    journal.delivered(3)
    assert journal.letters() == [letter(4)]
    assert journal.letters(delivered_too=True) == [letter(number) for number in range(1, 5)]


def test_a_process_that_takes_a_run_up_keeps_what_waits():
    journal = begun("run")
    for number in range(1, 4):
        journal.append(letter(number))
    journal.delivered(1)
    Journal("run").begin(URI)
    assert Journal("run").letters() == [letter(2), letter(3)]


@settings(deadline=None)
@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_gives_the_letters_that_were_whole(tmp_path_factory, cut):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("cut"))
        journal = begun("run")
        for number in range(1, 4):
            journal.append(letter(number))
        file = journal._path
        content = file.read_bytes()
        cut %= len(content) + 1
        file.write_bytes(content[:cut])
        whole = max(0, content[:cut].count(b"\n") - 1)
        assert journal.letters() == [letter(number) for number in range(1, whole + 1)]


@settings(deadline=None)
@given(rubbish=st.binary(max_size=200), place=st.integers(0, 3))
def test_rubbish_between_the_lines_costs_no_letter(tmp_path_factory, rubbish, place):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("torn"))
        journal = begun("run")
        for number in range(1, 4):
            journal.append(letter(number))
        lines = journal._path.read_bytes().splitlines(keepends=True)
        lines.insert(1 + place, b"{torn" + rubbish.replace(b"\n", b"") + b"\n")
        journal._path.write_bytes(b"".join(lines))
        assert journal.letters() == [letter(number) for number in range(1, 4)]


def test_deleted_journal_is_gone_and_can_be_deleted_again(folder):
    journal = begun("run")
    journal.append(letter(1))
    (journal.folder / "1").mkdir(parents=True)
    journal.delete()
    journal.delete()
    assert journal.letters() == []
    assert list((folder / ".cache" / "journal").iterdir()) == []


def test_processes_that_ended_are_told_from_those_that_run():
    assert begun("alive").owner().is_this_process
    code = f"from pipeline.journal import Journal; Journal('dead').begin('{URI}')"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not Journal("dead").owner().is_at_work
    assert [journal.run_id for journal in Journal.left_by_this_process()] == ["alive"]


def test_a_process_stays_alive_when_the_clock_is_set(monkeypatch):
    owner = begun("run").owner()
    boot_time, create_time = psutil.boot_time, psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 3600)
    assert owner.is_at_work
