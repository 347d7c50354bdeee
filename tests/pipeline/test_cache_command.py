"""What the cache command shows and clears."""

import time
from pathlib import Path

import pytest
from cached_words import only_entry, recipe, set_used, taken
from filelock import FileLock

from pipeline.step_cache import RECIPE, StepCache


def test_cache_command_lists_what_there_is(tmp_path, monkeypatch, greenest):
    monkeypatch.chdir(tmp_path)
    folder = Path(".cache/steps")
    for number in range(2):
        taken(folder, number)
    set_used(folder, 0, at=time.mktime((2025, 1, 2, 3, 4, 0, 0, 0, -1)))
    size_bytes = StepCache(folder).entries()[0].size_bytes
    code, told, _ = greenest("cache", "--list")
    assert code == 0
    assert ".cache/steps: 2 entries, " in told
    first = next(line for line in told.splitlines() if recipe(0).key in line)
    assert first.split() == [
        *("greet", recipe(0).key, "greeting", "0", str(size_bytes), "bytes", "2025-01-02", "03:04")
    ]


def test_cache_command_tells_an_entry_that_cannot_be_read(tmp_path, monkeypatch, greenest):
    monkeypatch.chdir(tmp_path)
    taken(Path(".cache/steps"))
    (only_entry(Path(".cache/steps")) / RECIPE).write_text("{")
    _, told, _ = greenest("cache", "--list")
    assert "damaged" in told


def test_cache_command_clears_and_says_how_much(tmp_path, monkeypatch, greenest):
    monkeypatch.chdir(tmp_path)
    folder = Path(".cache/steps")
    for number in range(2):
        taken(folder, number)
    size_bytes = sum(entry.size_bytes for entry in StepCache(folder).entries())
    assert greenest("cache", "--clear")[:2] == (0, f"deleted 2 entries, {size_bytes} bytes\n")
    assert greenest("cache", "--clear")[:2] == (0, "deleted 0 entries, 0 bytes\n")
    assert taken(folder) == 1


def test_cache_command_leaves_what_another_process_is_making(tmp_path, monkeypatch, greenest):
    monkeypatch.chdir(tmp_path)
    taken(Path(".cache/steps"))
    with FileLock(f".cache/steps/greet-{recipe().key}.lock"):
        _, told, _ = greenest("cache", "--clear")
    assert told.startswith("deleted 0 entries")
    assert "kept, in use by another process: 1 entry" in told


@pytest.mark.parametrize("options", [[], ["--list", "--clear"]])
def test_cache_command_wants_one_thing(greenest, options):
    code, _, told = greenest("cache", *options)
    assert (code, told) == (2, "Error: cache takes one of --list and --clear\n")
