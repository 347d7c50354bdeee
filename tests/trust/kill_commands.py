"""Commands that are killed at random moments, one after the other, as a program.

    python kill_commands.py KILLS SEED

Each is a fork of this process, which has imported everything and done nothing with it yet. What
they had measured when they were killed is read from their journals, by other code than theirs.
The last line on the standard output is JSON: see `Witness`.
"""

import dataclasses
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

# Imported once, here, instead of by each command.
import keras  # noqa: F401
import tensorflow as tf  # noqa: F401

from pipeline import terminal, tracking  # noqa: F401
from pipeline.__main__ import cli
from pipeline.search import command as search_command
from pipeline.tracking import query, registry  # noqa: F401

EXPERIMENT = ("--experiment", "killed")
TRAIN = ("--dataset", "iris", "--hidden", "6", "--max-epochs", "60", "--country", "FRA")
REACHES = ("--target-accuracy", "0.34", "--patience", "1", "--lr", "0.01")
SPACE = "purpose: of a test\nparameters:\n  lr: [0.05, 0.01]\n  batch_size: [8, 16, 32]\n"
SEARCH = ("search", "--space", "space.yaml", "--trials", "3", "--repeats", "1", *TRAIN[:6])


@dataclasses.dataclass
class Witness:
    """What was done, and what may not get lost by it.

    Attributes:
        kills: moments.
        measured: epochs that a run had measured when it was killed, by its id.
        outcomes: how trainings had ended, by the id of their run.
        failed: commands that ended by themselves, and not well, with what they said.
        trainings: commands that open a run.
    """

    kills: int = 0
    measured: dict[str, int] = dataclasses.field(default_factory=dict)
    outcomes: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: list[str] = dataclasses.field(default_factory=list)
    trainings: int = 0

    def look(self) -> None:
        """At the journals of a process that was killed a moment ago."""
        for path in Path(".cache/journal").glob("*.jsonl"):
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
                told = json.loads(line)
                if told.get("kind") != "figures":
                    continue
                content: Any = told["content"]
                for name, value, _, _ in content["points"]:
                    if name == "epochs":
                        self.measured[path.stem] = int(value)
                if "outcome" in content["tags"]:
                    self.outcomes[path.stem] = content["tags"]["outcome"]


def begin(words: list[str]) -> int:
    """The process of a command; what it says goes to a file."""
    pid = os.fork()
    if pid == 0:
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        search_command.measure_idle_power = lambda meter: None
        sys.argv[1:] = words
        try:
            terminal.main(cli, "python -m pipeline")
        except SystemExit as ended:
            sys.stdout.flush()
            os._exit(int(ended.code or 0))
        os._exit(70)
    return pid


def in_peace(words: list[str], witness: Witness) -> float:
    """Seconds that a command takes which nobody kills."""
    began = time.monotonic()
    note_end(words, os.waitpid(begin(words), 0)[1], witness)
    return time.monotonic() - began


def killed(words: list[str], after_s: float, witness: Witness) -> None:
    """Run a command for so long, or until it has ended."""
    pid = begin(words)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            note_end(words, status, witness)
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    witness.kills += 1
    witness.look()


def note_end(words: list[str], status: int, witness: Witness) -> None:
    """A command that is left in peace has to end well."""
    if code := os.waitstatus_to_exitcode(status):
        said = Path("said.txt").read_text(encoding="utf-8", errors="replace")
        witness.failed.append(f"{' '.join(words)}: exit code {code}: {said[-2000:]}")


def commands(seed: int, trained: str) -> dict[str, list[str]]:
    """What is killed, by its kind. Another seed is another entry of the cache."""
    return {
        "run": ["run", *TRAIN, "--target-accuracy", "0.999", "--seed", str(seed), *EXPERIMENT],
        "search": [*SEARCH, *EXPERIMENT],
        "quantize": [
            *("quantize", "--run-id", trained, "--quantization", "int8"),
            *("--inference-window", "0", "--country", "FRA"),
        ],
        "compare": ["compare", *REACHES[:4], *TRAIN[:2], *EXPERIMENT],
        "cache": ["preprocess", "--dataset", f"csv:{table(seed)}", *EXPERIMENT],
    }


def table(seed: int) -> Path:
    """Rows that no other seed has."""
    path = Path(f"rows{seed}.csv")
    rows = [f"{number},{number * seed % 7},{'ab'[number % 2]}" for number in range(60)]
    path.write_text("\n".join(["x,y,label", *rows]), encoding="utf-8")
    return path


def main(kills: int, seed: int) -> None:
    """Kill so many commands, and then let others end."""
    chance, witness = random.Random(seed), Witness()
    Path("space.yaml").write_text(SPACE, encoding="utf-8")
    in_peace(["run", *TRAIN, *REACHES, *EXPERIMENT], witness)
    trained = Path("said.txt").read_text(encoding="utf-8").split("run ")[-1].split()[0]
    witness.trainings += 1
    kinds = list(commands(0, trained))
    takes_s = {}
    for kind in kinds:
        takes_s[kind] = in_peace(commands(1, trained)[kind], witness)
        witness.trainings += kind in ("run", "cache")
    has_search = False
    while witness.kills < kills:
        number = 2 + witness.kills
        kind = kinds[witness.kills % len(kinds)]
        words = commands(number, trained)[kind]
        if kind == "search":
            words += ["--seed", "1", *(["--resume"] if has_search else [])]
        killed(words, chance.uniform(0, takes_s[kind]), witness)
        witness.trainings += kind in ("run", "cache")
        has_search = has_search or is_there("search.key", 2)
    for kind in kinds if kills > len(kinds) else ("run", "compare"):
        words = commands(number + 1, trained)[kind]
        if kind == "search":
            words += ["--seed", "1", *(["--resume"] if has_search else [])]
        in_peace(words, witness)
        witness.trainings += kind in ("run", "cache")
    in_peace(["sync"], witness)
    print(json.dumps({**dataclasses.asdict(witness), "trained": trained}))


def is_there(tag: str, times: int) -> bool:
    """Whether so many runs have that tag. MLflow itself is not touched before a fork."""
    import sqlite3

    with sqlite3.connect("mlflow.db") as database:
        query = "select count(*) from tags where key = ?"
        return bool(database.execute(query, (tag,)).fetchone()[0] >= times)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
