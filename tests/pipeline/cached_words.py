"""The smallest result that a step can have, for tests of the cache."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import step_cache
from pipeline.step_cache import Recipe, StepCache


@dataclass(frozen=True)
class Words:
    """The smallest result: a file per word."""

    words: tuple[str, ...]

    def save(self, folder):
        for number, word in enumerate(self.words):
            (folder / f"{number}.txt").write_text(word)

    @classmethod
    def load(cls, folder):
        return cls(tuple(file.read_text() for file in sorted(folder.glob("*.txt"))[:-1]))


HELLO = Words(("hello", "world"))


def recipe(number: int = 0) -> Recipe:
    return Recipe("greet", f"greeting {number}", {"number": number})


class Maker:
    """Makes words and counts how often it had to."""

    def __init__(self, made: Words = HELLO) -> None:
        self.made = made
        self.calls = 0

    def __call__(self) -> Words:
        self.calls += 1
        return self.made


def taken(folder: Path, number: int = 0, limit_bytes: int = step_cache.LIMIT_BYTES) -> int:
    """As another process would take it; how often it was made."""
    maker = Maker()
    assert StepCache(folder, limit_bytes).get(recipe(number), Words, maker) == HELLO
    return maker.calls


def only_entry(folder: Path) -> Path:
    (entry,) = StepCache(folder).entries()
    return entry.folder


def set_used(folder: Path, number: int, at: float) -> None:
    os.utime(folder / f"greet-{recipe(number).key}", (at, at))
