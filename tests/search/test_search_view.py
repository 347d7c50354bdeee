"""What a person sees while a search runs."""

import io

import pytest
from rich.console import Console

from pipeline.search import view

WORDS = ("--sampler", "grid", "--trials", "3", "--repeats", "2", "--budget-kj", "9")


@pytest.fixture
def terminal(monkeypatch):
    """A terminal that keeps what was written to it."""
    file = io.StringIO()
    monkeypatch.setattr(view, "progress_console", Console(file=file, force_terminal=True, width=99))
    return file


def test_without_a_terminal_each_training_is_a_line_that_says_where_the_search_stands(search):
    _, _, err = search(*WORDS, "--budget-g", "5")
    lines = [line for line in err.splitlines() if line.startswith("#")]
    assert len(lines) == 6
    assert ", 2 of 3 tried, spent " in lines[1]
    assert " of 9 kJ, " in lines[1] and " of 5 g CO2e: 2 REACHED; left: about " in lines[1]
    # An epoch is all that takes time here: three trials and three repeats, of which two are done.
    assert lines[-1].endswith("left: about 0 s")


def test_the_time_left_holds_the_proof_of_the_first(search):
    _, _, err = search("--trials", "3", "--repeats", "2", "--confirm-top", "2", "--prove", "2")
    lines = [line for line in err.splitlines() if line.startswith("#")]
    left = [float(line.rsplit("left: about ", 1)[1].split()[0]) for line in lines]
    assert len(lines) == 7
    assert all(seconds > 0 for seconds in left[:-1]) and left[-1] == 0


def test_in_a_terminal_the_same_is_shown_in_place(search, terminal):
    code, out, err = search(*WORDS)
    assert code == 0
    assert out.startswith("Ended by --trials 3.\n")
    assert not any(line.startswith("#") for line in err.splitlines())
    shown = terminal.getvalue()
    for told in ("3 of 3 tried, spent ", " of 9 kJ", "outcomes", "REACHED", "time left", "about "):
        assert told in shown
