"""A search that is killed at random moments and taken up again each time, as a program.

    python kill_and_resume.py KILLS SEED search --space …

Each sitting is a fork of this process, which has imported everything and done nothing with it yet.
"""

import os
import random
import signal
import sys
import time
from typing import IO

import epochs_as_energy

# Imported once, here, instead of by each sitting.
import keras  # noqa: F401
import tensorflow as tf  # noqa: F401

from pipeline import terminal, tracking  # noqa: F401
from pipeline.__main__ import cli

TRIAL_S = 1.0
"""About what one takes, within which the moment is drawn."""


def begin(words: list[str]) -> tuple[int, IO[str]]:
    """The process of a sitting, and what it says."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        epochs_as_energy.install(setattr)
        sys.argv[1:] = words
        terminal.main(cli, "python -m pipeline")
    os.close(theirs)
    return pid, os.fdopen(ours, encoding="utf-8", errors="replace")


def kill(words: list[str], chance: random.Random) -> str:
    """One sitting, killed somewhere between its start and its third training; the last line."""
    pid, told = begin(words)
    lines_to_wait, said = chance.randrange(3), ""
    for said in told:
        lines_to_wait -= said.startswith("#")
        if lines_to_wait < 0 or (lines_to_wait == 0 and said.startswith(("preprocess", "#"))):
            break
    time.sleep(chance.uniform(0, 2 * TRIAL_S))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return said.strip()


def main(kills: int, seed: int, words: list[str]) -> int:
    """Exit code of the last sitting, which is left in peace."""
    chance = random.Random(seed)
    resume: list[str] = []
    for _ in range(kills):
        print(kill([*words, *resume], chance), flush=True)
        # Before the parent run is there, there is nothing to take up.
        resume = ["--resume"] if resume or has_begun() else []
    pid, told = begin([*words, *resume])
    for line in told:
        print(line, end="", flush=True)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def has_begun() -> bool:
    """Whether a process, which is let go before the next fork, finds a parent run."""
    import sqlite3

    with sqlite3.connect("mlflow.db") as database:
        query = "select count(*) from tags where key = 'search.key'"
        return bool(database.execute(query).fetchone()[0])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
