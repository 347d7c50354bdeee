"""What a run is told goes to the disk first, and from there to MLflow, in order."""

import contextlib
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient

from pipeline.cache import JOURNALS, JOURNALS_LOCK
from pipeline.journal import Journal, Letter
from pipeline.terminal import is_of_the_store
from pipeline.tracking import letters
from pipeline.tracking.patience import is_refusal, patience, say
from steps.errors import one_line

SECONDS_OF_SILENT_WAITING = 5.0


class Outbox:
    """The letters of one run that MLflow does not have yet."""

    def __init__(self, run_id: str) -> None:
        """Args: the run that is told."""
        self._run_id = run_id
        self._client = MlflowClient()
        self._journal = Journal(run_id)
        self._waiting: deque[Letter] = deque()
        self._number = 0
        self._given_up = False
        self._delivering = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def open(self) -> None:
        """This process works on the run from now on; what an earlier one left goes first."""
        owner = self._journal.owner()
        if not (self._journal.is_at_work and owner is not None and owner.is_this_process):
            JOURNALS.mkdir(parents=True, exist_ok=True)
            with FileLock(JOURNALS_LOCK):
                self._journal.begin(mlflow.get_tracking_uri())
        self._waiting = deque(self._journal.letters())
        known = self._journal.letters(delivered_too=True)
        self._number = max((letter.number for letter in known), default=0)

    def post(self, kind: str, content: Mapping[str, Any], folder: Path | None = None) -> Letter:
        """Keep a letter; it is safe when this returns, and `deliver` sends it."""
        self._number += 1
        letter = Letter(self._number, kind, content, None if folder is None else str(folder))
        self._journal.append(letter)
        self._waiting.append(letter)
        return letter

    def post_files(
        self, kind: str, content: Mapping[str, Any], save: Callable[[Path], object]
    ) -> Letter:
        """Keep a letter and what it encloses, which `save` writes into an empty folder.

        Raises:
            OSError: no disk takes that.
        """
        folder = self._journal.folder / str(self._number + 1)
        try:
            folder.mkdir(parents=True)
            save(folder)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if not is_of_the_store(error):
                raise
            folder = Path(tempfile.mkdtemp())
            save(folder)
        return self.post(kind, content, folder)

    def deliver(self) -> None:
        """Give MLflow all that waits, with patience; not if that was in vain before.

        Where it does not answer, everything goes on waiting.

        Raises:
            Exception: MLflow answers, but never takes one of the letters, which is dropped.
        """
        if self._given_up or patience.is_over:
            return
        if not self._delivering.acquire(timeout=SECONDS_OF_SILENT_WAITING):
            say("waiting for MLflow, which is being told of the epochs so far")
            self._delivering.acquire()
        try:
            self._deliver(patience.ask)
        except Exception as error:
            if is_refusal(error):
                self._done(self._first())
                raise
            self._given_up = True
            say(f"{one_line(error)}; what run {self._run_id} is told is kept in {JOURNALS}")
        finally:
            self._delivering.release()

    def deliver_in_silence(self) -> None:
        """What can be delivered at once: for the rest there will be another time."""
        with self._delivering, contextlib.suppress(Exception):
            self._deliver(lambda question: question())

    def close(self) -> None:
        """Give MLflow the rest, if it takes it now; nothing is kept of a run that it knows all of.

        Raises:
            Exception: as `deliver`.
        """
        if self._given_up or patience.is_over:
            self.deliver_in_silence()
        else:
            self.deliver()
        if not self._waiting:
            self._journal.delete()
            return
        self._journal.leave()
        if not self._journal.is_whole:
            say(f"{JOURNALS} takes no more either: run {self._run_id} is not whole there")

    def _deliver(self, ask: Callable[[Callable[[], None]], None]) -> None:
        while self._waiting:
            group = self._first()
            ask(partial(letters.deliver, self._client, self._run_id, group))
            self._done(group)

    def _first(self) -> list[Letter]:
        return letters.together(list(self._waiting))[0]

    def _done(self, group: list[Letter]) -> None:
        for _ in group:
            self._waiting.popleft()
        self._journal.delivered(group[-1].number)
