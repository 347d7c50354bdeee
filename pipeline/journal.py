"""What a run is told, on disk before it is anywhere else.

Sending to MLflow is no part of training and waits until the window is closed, and a store may be
away by then. Whatever a run is told is a letter, in order, in a file of the run; what a letter
encloses lies in a folder beside it. Not even a ``kill -9`` loses one: the next command finds the
file and delivers it.
"""

import contextlib
import json
import os
import platform
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from pipeline.cache import JOURNALS
from steps.errors import InputError

ROOM_BYTES = 1 << 20
"""That a journal has at its end from the beginning, as spaces: for what its run is told once the
disk is full, by this program or another."""

ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)
"""Of a run, as MLflow has it. With another one, a server would choose where files are written."""


@dataclass(frozen=True)
class Letter:
    """One thing that a run is told.

    Attributes:
        number: its place among the letters of the run, from 1.
        kind: one of those in `pipeline.tracking.letters`.
        content: what JSON can hold.
        folder: what it encloses; None for nothing.
    """

    number: int
    kind: str
    content: Mapping[str, Any]
    folder: str | None = None


@dataclass(frozen=True)
class Owner:
    """Who works on a run, or did.

    Attributes:
        tracking_uri: of the store that the run lives in.
        experiment_id: where a run is being born that has no id yet; None if it has one.
        host: name of the machine.
        process: id of the process, and seconds after the machine's start at which it began.
    """

    tracking_uri: str
    experiment_id: str | None
    host: str
    process: tuple[int, float]

    @classmethod
    def here(cls, tracking_uri: str, experiment_id: str | None = None) -> Self:
        """This process."""
        return cls(tracking_uri, experiment_id, platform.node(), _identity(os.getpid()))

    @property
    def is_elsewhere(self) -> bool:
        """In a folder that machines share, nothing is known of another machine's processes."""
        return self.host != platform.node()

    @property
    def is_at_work(self) -> bool:
        """Whether its process runs on this machine."""
        try:
            began = _identity(self.process[0])[1]
        except psutil.NoSuchProcess:
            return False
        return not self.is_elsewhere and abs(began - self.process[1]) < 1

    @property
    def is_this_process(self) -> bool:
        """Whether it is the one that asks."""
        return self.process[0] == os.getpid() and self.is_at_work


class Journal:
    """The letters of one run; the file is there until MLflow has all of them."""

    def __init__(self, run_id: str) -> None:
        """Args: the run that they belong to.

        Raises:
            InputError: that is no id of a run.
        """
        if not ID.fullmatch(run_id):
            raise InputError("run", run_id, "is no id that MLflow gives to runs")
        self.run_id = run_id
        self.folder = JOURNALS / run_id
        self._path = JOURNALS / f"{run_id}.jsonl"
        self._end: int | None = None
        self._unwritten: list[bytes] = []
        self._lock = threading.Lock()

    @classmethod
    def all(cls) -> list[Self]:
        """Those in this folder."""
        return [cls(path.stem) for path in sorted(JOURNALS.glob("*.jsonl"))]

    @classmethod
    def left_by_this_process(cls) -> list[Self]:
        """Those that MLflow did not take all of."""
        return [
            journal
            for journal in cls.all()
            if (owner := journal.owner()) is not None and owner.is_this_process
        ]

    def begin(self, tracking_uri: str, experiment_id: str | None = None) -> None:
        """This process works on the run from now on. What waits goes on waiting.

        Raises:
            OSError: the disk cannot be written.
        """
        waiting = self.letters()
        lines = [vars(Owner.here(tracking_uri, experiment_id)), *map(asdict, waiting)]
        JOURNALS.mkdir(parents=True, exist_ok=True)
        for folder in {*map(str, self.folder.glob("*"))} - {letter.folder for letter in waiting}:
            shutil.rmtree(folder)
        aside = self._path.with_suffix(".aside")
        aside.write_bytes(b"".join(map(_line, lines)) + b" " * ROOM_BYTES)
        aside.replace(self._path)
        self._end = None

    def named(self, run_id: str) -> "Journal":
        """The journal of the run that was born as this one says."""
        owner = self.owner()
        assert owner is not None
        named = Journal(run_id)
        named.begin(owner.tracking_uri)
        self.delete()
        return named

    def exists(self) -> bool:
        """Whether there is anything to deliver, or to tidy up."""
        return self._path.exists()

    def owner(self) -> Owner | None:
        """Who began it last; None if the file is gone or cannot be read."""
        lines = self._lines()
        try:
            told = dict(lines[0])
            return Owner(**{**told, "process": tuple(told["process"])})
        except (IndexError, KeyError, TypeError):
            return None

    def append(self, letter: Letter) -> None:
        """Keep a letter. Where the disk takes no more, that is for the process to remember."""
        self._write(_line(asdict(letter)))

    def delivered(self, number: int) -> None:
        """MLflow has the letters up to this one."""
        self._write(_line({"delivered": number}))

    def leave(self) -> None:
        """This process is done with the run, and somebody else may deliver what waits."""
        self._write(_line({"left": True}))

    @property
    def is_at_work(self) -> bool:
        """Whether a process of this machine works on the run."""
        owner = self.owner()
        left = any("left" in line for line in self._lines()[1:])
        return owner is not None and owner.is_at_work and not left

    @property
    def is_whole(self) -> bool:
        """Whether all that was to be kept is on the disk; tries once more."""
        if self._unwritten:
            self._write(b"")
        return not self._unwritten

    def letters(self, *, delivered_too: bool = False) -> list[Letter]:
        """Those that wait, oldest first; of one that was not written whole, nothing is known.

        Args:
            delivered_too: all that were written since the journal began.
        """
        found: dict[int, Letter] = {}
        delivered = 0
        for line in self._lines()[1:]:
            if "delivered" in line:
                delivered = line["delivered"]
            elif "kind" in line:
                letter = Letter(**line)
                found[letter.number] = letter
        first = 0 if delivered_too else delivered
        return [letter for number, letter in sorted(found.items()) if number > first]

    def delete(self) -> None:
        """Everything has arrived where it belongs."""
        shutil.rmtree(self.folder, ignore_errors=True)
        # Last, since it alone tells the next command that there is something to tidy up.
        self._path.unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        """Over the spaces, and not beyond what is whole: what does not fit may later."""
        with self._lock, contextlib.suppress(OSError):
            self._unwritten.append(line)
            text = b"".join(self._unwritten)
            if self._end is None:
                self._end = self._path.read_bytes().rfind(b"\n") + 1
            with self._path.open("r+b", buffering=0) as file:
                file.seek(self._end)
                if file.write(text) == len(text):
                    self._end += len(text)
                    self._unwritten.clear()

    def _lines(self) -> Sequence[Mapping[str, Any]]:
        return list(_objects(self._path))


def _objects(path: Path) -> Iterator[Mapping[str, Any]]:
    """Of the lines that were written whole: a kill or a full disk may have cut any."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if line.endswith(b"\n") and isinstance(told, dict):
                    yield told


def _line(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


def _identity(process_id: int) -> tuple[int, float]:
    """A process, told apart from later ones of that id.

    The clock may be set while it runs, which moves psutil's time of creation, but not its distance
    from the machine's start.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    return process_id, psutil.Process(process_id).create_time() - psutil.boot_time()
