"""Results of steps on disk: found by what they are made of, and checked whenever they are taken.

An entry is a folder with what the result saved, `RECIPE` and, over these, `CHECKSUMS`, which is
what ``sha256sum`` writes. It is made in a folder aside and renamed into place, and renamed away
before it is deleted, so that a kill at any moment leaves a whole entry or none. Whoever takes,
makes or deletes an entry holds its lock, which the system takes back from a process that dies.
What a process has mapped into memory stays readable when another one deletes the files.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import click
from filelock import FileLock, Timeout

LIMIT_BYTES = 10 * 10**9
RECIPE, CHECKSUMS = "recipe.json", "checksums.txt"
ASIDE, LOCK = ".aside", ".lock"
"""What is added to an entry's name for the folder that it is made or deleted in, and its lock."""
SECONDS_OF_SILENT_WAITING = 2.0


class Result(Protocol):
    """What a step has made and a folder can hold."""

    def save(self, folder: Path) -> None:
        """Write it into `folder`, which exists and is empty."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""


ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True)
class Recipe:
    """All that decides a result.

    Attributes:
        step: that makes it.
        about: the result in a few words, for people; no part of the key.
        ingredients: code, libraries, parameters, digest of what came in. What JSON can hold.
    """

    step: str
    about: str
    ingredients: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Hash of step and ingredients, 16 hexadecimal digits."""
        decisive = json.dumps([self.step, self.ingredients], sort_keys=True)
        return hashlib.sha256(decisive.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Entry:
    """A result on disk.

    Attributes:
        folder: that holds it.
        about: as in its recipe; None if that cannot be read.
        size_bytes: of its files.
        used_at: when it was made or last taken, in seconds since 1970.
    """

    folder: Path
    about: str | None
    size_bytes: int
    used_at: float

    @property
    def step(self) -> str:
        """That made it."""
        return self.folder.name.rpartition("-")[0]

    @property
    def key(self) -> str:
        """As in its recipe."""
        return self.folder.name.rpartition("-")[2]


class StepCache:
    """The entries in a folder, as one process uses them."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Args: where they are, and how large they may become before the oldest goes."""
        self._folder = folder.absolute()
        self._limit_bytes = limit_bytes
        self._in_use: set[Path] = set()
        self._latest: dict[str, tuple[str, Any]] = {}

    def get(self, recipe: Recipe, kind: type[ResultT], make: Callable[[], ResultT]) -> ResultT:
        """The result of a recipe: from this process's last use, from disk, or made and stored.

        A damaged entry is made anew. Where the disk cannot be used, the result is made without
        it. A line on the error stream tells of either, and of a result that was not made.

        Args:
            recipe: of the result.
            kind: its class.
            make: makes it; called by one process at a time.
        """
        entry = self._folder / f"{recipe.step}-{recipe.key}"
        key, latest = self._latest.get(recipe.step, ("", None))
        # If the entry is gone, what was loaded from it still is what it was.
        if key == recipe.key and (_is_sound(entry) or not entry.exists()):
            known: ResultT = latest
            return known
        result = self._shared(entry, recipe, kind, make)
        self._latest[recipe.step] = (recipe.key, result)
        return result

    def _shared(
        self, entry: Path, recipe: Recipe, kind: type[ResultT], make: Callable[[], ResultT]
    ) -> ResultT:
        with contextlib.ExitStack() as held:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(_locked(entry, recipe))
            except OSError as error:
                self._say_not_kept(recipe, error)
                return make()
            self._in_use.add(entry)
            if _is_sound(entry):
                _say(recipe, f"from the cache ({recipe.key})")
                with contextlib.suppress(OSError):
                    os.utime(entry)
                return kind.load(entry)
            if entry.exists():
                _say(recipe, f"{recipe.key} in the cache was damaged and is made anew")
            made = make()
            try:
                _store(entry, recipe, made)
            except OSError as error:
                self._say_not_kept(recipe, error)
                return made
            self._evict()
            return kind.load(entry)

    def entries(self) -> list[Entry]:
        """All of them, the least recently used first."""
        found = []
        for folder in self._folder.glob("*"):
            if folder.is_dir() and folder.suffix != ASIDE:
                # Another process may delete it at any moment.
                with contextlib.suppress(FileNotFoundError):
                    found.append(_described(folder))
        return sorted(found, key=lambda entry: entry.used_at)

    def clear(self) -> list[Entry]:
        """Delete the entries that no process is taking or making now, and tell which.

        Raises:
            OSError: the disk cannot be written.
        """
        self._latest.clear()
        self._delete_left_over()
        return [entry for entry in self.entries() if _delete(entry.folder)]

    def _say_not_kept(self, recipe: Recipe, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        _say(recipe, f"not kept in the cache: {self._folder} cannot be written ({reason})")

    def _evict(self) -> None:
        """Delete entries until the others are within the limit, but none that this process uses."""
        self._delete_left_over()
        entries = self.entries()
        excess_bytes = sum(entry.size_bytes for entry in entries) - self._limit_bytes
        for entry in entries:
            if excess_bytes <= 0:
                return
            if entry.folder not in self._in_use:
                with contextlib.suppress(OSError):
                    excess_bytes -= entry.size_bytes if _delete(entry.folder) else 0

    def _delete_left_over(self) -> None:
        """What killed processes left: a living one would hold the lock."""
        for aside in self._folder.glob(f"*{ASIDE}"):
            with contextlib.suppress(OSError), _locked_at_once(aside):
                shutil.rmtree(aside)


@contextlib.contextmanager
def _locked(entry: Path, recipe: Recipe) -> Iterator[None]:
    lock = FileLock(entry.with_suffix(LOCK))
    try:
        held = lock.acquire(timeout=SECONDS_OF_SILENT_WAITING)
    except Timeout:
        _say(recipe, f"another process is making {recipe.key}; waiting for it")
        held = lock.acquire()
    with held:
        yield


def _locked_at_once(entry: Path) -> contextlib.AbstractContextManager[Any]:
    """Raises: Timeout, which is an OSError, if another process holds the lock."""
    return FileLock(entry.with_suffix(LOCK), blocking=False)


def _store(entry: Path, recipe: Recipe, made: Result) -> None:
    aside = entry.with_suffix(ASIDE)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        made.save(aside)
        (aside / RECIPE).write_text(json.dumps(vars(recipe)), encoding="utf-8")
        (aside / CHECKSUMS).write_bytes(_checksums(aside))
        for written in (*aside.iterdir(), aside):
            _write_through(written)
        if entry.exists():
            shutil.rmtree(entry)
        aside.rename(entry)
        _write_through(entry.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_through(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_sound(entry: Path) -> bool:
    """Whether its files are those that were stored, no more and no less; false if there is none."""
    try:
        return (entry / CHECKSUMS).read_bytes() == _checksums(entry)
    except OSError:
        return False


def _checksums(folder: Path) -> bytes:
    files = sorted(file for file in folder.iterdir() if file.name != CHECKSUMS)
    return "".join(f"{sha256_of(file)}  {file.name}\n" for file in files).encode()


def sha256_of(file: Path) -> str:
    """Hash of a file's content in hexadecimal; computed once per process until the file changes.

    Raises:
        OSError: it cannot be read.
    """
    now = file.stat()
    return _sha256(str(file.absolute()), now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


@cache
def _sha256(file: str, *state: int) -> str:
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _described(folder: Path) -> Entry:
    used_at = folder.stat().st_mtime
    size_bytes = sum(file.stat().st_size for file in folder.iterdir())
    try:
        about = str(json.loads((folder / RECIPE).read_text(encoding="utf-8"))["about"])
    except (OSError, ValueError, KeyError, TypeError):
        about = None
    return Entry(folder, about, size_bytes, used_at)


def _delete(entry: Path) -> bool:
    """Whether it could be: not while another process takes or makes it."""
    aside = entry.with_suffix(ASIDE)
    try:
        with _locked_at_once(entry):
            shutil.rmtree(aside, ignore_errors=True)
            entry.rename(aside)
            shutil.rmtree(aside)
    except Timeout:
        return False
    return True


def _say(recipe: Recipe, line: str) -> None:
    click.echo(f"{recipe.step}: {line}", err=True)
