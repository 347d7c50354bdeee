"""What a training has measured so far, on disk before it is anywhere else.

Sending to MLflow is no part of training and waits until the window is closed. Until then this file
holds what was measured, so that not even a ``kill -9`` loses it: the next command finds the file
and delivers it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(".cache", "journal")


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
    """The entries of one run, oldest first."""

    def __init__(self, run_id: str) -> None:
        """Args: the run that they belong to."""
        self._path = FOLDER / f"{run_id}.jsonl"

    def append(self, entry: Entry) -> None:
        """Add an entry; it is safe when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(entry)) + "\n")

    def entries(self) -> Iterator[Entry]:
        """All that were written whole; a process may have been killed in the middle of the last."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    return
                read: dict[str, Any] = json.loads(line)
                yield Entry([tuple(point) for point in read["curve"]], read["spent"], read["tags"])

    def delete(self) -> None:
        """Everything has arrived where it belongs."""
        self._path.unlink(missing_ok=True)
