"""What a training has measured so far, on disk before it is anywhere else.

Sending to MLflow is no part of training and waits until the window is closed. Until then this file
holds what was measured, so that not even a ``kill -9`` loses it: the next command finds the file
and delivers it.
"""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from pipeline.cache import JOURNALS


@dataclass(frozen=True)
class Entry:
    """One reading.

    Attributes:
        curve: metrics of the epochs that it settled, as (name, value, timestamp in ms, step).
        spent: metrics of the run so far.
        tags: what these are worth.
    """

    curve: Sequence[tuple[str, float, int, int]]
    spent: Mapping[str, float]
    tags: Mapping[str, str]


class Journal:
    """The entries of one run, oldest first; the file is there while a process works on the run."""

    def __init__(self, run_id: str) -> None:
        """Args: the run that they belong to."""
        self._path = JOURNALS / f"{run_id}.jsonl"

    def begin(self, tracking_uri: str) -> None:
        """This process works on the run from now on, which lives at `tracking_uri`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        owner = {
            "process": _this_process(),
            "host": platform.node(),
            "tracking_uri": tracking_uri,
        }
        self._path.write_text(json.dumps(owner) + "\n", encoding="utf-8")

    def append(self, entry: Entry) -> None:
        """Add an entry; it is safe when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(entry)) + "\n")

    def entries(self) -> Iterator[Entry]:
        """All that were written whole; a process may have been killed in the middle of the last."""
        for read in self._lines()[1:]:
            yield Entry([tuple(point) for point in read["curve"]], read["spent"], read["tags"])

    def delete(self) -> None:
        """Everything has arrived where it belongs."""
        self._path.unlink(missing_ok=True)

    @classmethod
    def abandoned(cls, tracking_uri: str) -> list[str]:
        """Ids of the runs of that store whose process is gone: ``kill -9``, or a power cut."""
        return [
            path.stem
            for path in sorted(JOURNALS.glob("*.jsonl"))
            for owner in cls(path.stem)._lines()[:1]
            # In a folder that machines share, nothing is known of another machine's processes.
            if owner["tracking_uri"] == tracking_uri
            and owner["host"] == platform.node()
            and not _is_running(*owner["process"])
        ]

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]


def _this_process() -> tuple[int, float]:
    process = psutil.Process()
    return process.pid, process.create_time()


def _is_running(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1
    except psutil.NoSuchProcess:
        return False
