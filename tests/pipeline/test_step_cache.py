"""The cache of steps gives what was made, whatever happened to the disk or to other processes."""

import os
import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cached_words import HELLO, Maker, Words, only_entry, recipe, set_used, taken
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import step_cache
from pipeline.step_cache import CHECKSUMS, RECIPE, Recipe, StepCache

PROJECT = Path(__file__).parents[2]


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("*.aside"))


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    bit %= 8 * len(content)
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def python(code: str, *arguments: object, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_result_is_made_once_and_then_taken_from_disk(tmp_path, capsys):
    assert taken(tmp_path) == 1
    assert taken(tmp_path) == 0
    assert capsys.readouterr().err == f"greet: from the cache ({recipe().key})\n"


def test_the_same_process_gets_the_same_object(tmp_path):
    cache = StepCache(tmp_path)
    first = cache.get(recipe(), Words, Maker())
    assert cache.get(recipe(), Words, Maker()) is first


def test_another_ingredient_is_another_result_and_another_description_is_not(tmp_path):
    assert taken(tmp_path, 1) == 1
    assert taken(tmp_path, 2) == 1
    assert Recipe("greet", "a", {"n": 1}).key == Recipe("greet", "b", {"n": 1}).key
    assert Recipe("greet", "a", {"n": 1}).key != Recipe("other", "a", {"n": 1}).key


@settings(deadline=None, max_examples=60)
@given(file=st.integers(0, 3), bit=st.integers(min_value=0))
def test_one_wrong_bit_in_any_file_is_found_told_and_mended(tmp_path_factory, file, bit):
    folder = tmp_path_factory.mktemp("flipped")
    taken(folder)
    files = sorted(only_entry(folder).iterdir())
    assert [each.name for each in files] == ["0.txt", "1.txt", CHECKSUMS, RECIPE]
    flip(files[file], bit)
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr(step_cache.click, "echo", lambda line, err: lines.append(line))
        assert taken(folder) == 1
        assert lines == [f"greet: {recipe().key} in the cache was damaged and is made anew"]
        assert taken(folder) == 0


@pytest.mark.parametrize("name", ["0.txt", "1.txt", RECIPE, CHECKSUMS])
def test_an_incomplete_entry_is_made_anew(tmp_path, name):
    taken(tmp_path)
    (only_entry(tmp_path) / name).unlink()
    assert taken(tmp_path) == 1
    assert taken(tmp_path) == 0


def test_an_entry_with_a_foreign_file_is_made_anew(tmp_path):
    taken(tmp_path)
    (only_entry(tmp_path) / "2.txt").write_text("!")
    assert taken(tmp_path) == 1
    assert taken(tmp_path) == 0


def test_damage_is_found_by_the_process_that_has_checked_the_entry_before(tmp_path):
    cache = StepCache(tmp_path)
    first = cache.get(recipe(), Words, Maker())
    assert cache.get(recipe(), Words, Maker()) is first
    file = only_entry(tmp_path) / "0.txt"
    before = file.stat()
    flip(file, 0)
    # Size and time of the last change are as they were; the system knows better.
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    maker = Maker()
    assert cache.get(recipe(), Words, maker) == HELLO
    assert maker.calls == 1


KILL_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path
from test_step_cache import Maker, Words, flip, only_entry, recipe, taken
from pipeline.step_cache import StepCache

def killed_at(moment, folder):
    if (child := os.fork()) == 0:
        seen = 0
        def watch(event, arguments):
            nonlocal seen
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(watch)
        StepCache(folder, limit_bytes=1).get(recipe(), Words, Maker())
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

folder, start = Path(sys.argv[1]), sys.argv[2]
moment = 0
died = True
while died:
    moment += 1
    here = folder / str(moment)
    if start == "damaged":
        taken(here)
        flip(only_entry(here) / "0.txt", 0)
    if start == "full":
        taken(here, 1)
    died = killed_at(moment, here)
    assert taken(here) <= died
    assert taken(here) == 0
print(moment)
"""


@pytest.mark.parametrize("start", ["cold", "full", "damaged"])
def test_a_kill_at_any_system_call_leaves_a_whole_entry_or_none(tmp_path, start):
    driver = python(KILL_AT_EACH_STEP, tmp_path, start)
    moments, told = driver.communicate()
    assert driver.returncode == 0, told
    assert int(moments) > 20
    # A kill damages nothing: only what was damaged before is told of, once or, if the process
    # died before it had mended that, twice.
    damaged = told.count("was damaged")
    assert damaged == 0 if start != "damaged" else int(moments) <= damaged <= 2 * int(moments)


def test_what_killed_processes_left_goes_with_the_next_result(tmp_path):
    for number in (1, 2):
        (tmp_path / f"greet-{recipe(number).key}.aside").mkdir(parents=True)
    with FileLock(tmp_path / f"greet-{recipe(2).key}.lock"):
        taken(tmp_path)
        assert [folder.stem for folder in left_over(tmp_path)] == [f"greet-{recipe(2).key}"]
    StepCache(tmp_path).clear()
    assert left_over(tmp_path) == []


WRITE_LARGE = """
import sys
from pathlib import Path
from test_step_cache import Large, recipe
from pipeline.step_cache import StepCache

def make():
    print("made", flush=True)
    return Large.example()

StepCache(Path(sys.argv[1])).get(recipe(), Large, make)
"""


@dataclass(frozen=True)
class Large:
    """Long enough in writing to be killed while it is."""

    numbers: np.ndarray

    @classmethod
    def example(cls):
        return cls(np.arange(1 << 21))

    def save(self, folder):
        for part in range(4):
            np.save(folder / f"{part}.npy", self.numbers, allow_pickle=False)

    @classmethod
    def load(cls, folder):
        return cls(np.load(folder / "3.npy", mmap_mode="r"))


def test_a_kill_at_a_random_moment_of_writing_costs_nothing_but_making_it_anew(tmp_path):
    unfinished = 0
    for round_ in range(6):
        writer = python(WRITE_LARGE, tmp_path)
        assert writer.stdout.readline() == "made\n"
        time.sleep(random.uniform(0, 0.02) * round_)
        writer.kill()
        assert "Error" not in writer.communicate()[1]
        unfinished += len(left_over(tmp_path))
        got = StepCache(tmp_path).get(recipe(), Large, Large.example)
        np.testing.assert_array_equal(got.numbers, Large.example().numbers)
        StepCache(tmp_path).clear()
        assert left_over(tmp_path) == []
    assert unfinished > 0


GREET_TOGETHER = """
import sys, time
from pathlib import Path
from test_step_cache import HELLO, Words, recipe
from pipeline.step_cache import StepCache

folder, me, together = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def make():
    with (folder / "made").open("a") as log:
        log.write(me + "\\n")
    while len(list(folder.glob("ready-*"))) < together:
        time.sleep(0.01)
    return HELLO

(folder / f"ready-{me}").touch()
print(StepCache(folder / "cache").get(recipe(), Words, make))
"""


def test_four_processes_on_a_cold_cache_make_one_result(tmp_path):
    processes = [python(GREET_TOGETHER, tmp_path, number, 4) for number in range(4)]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert len((tmp_path / "made").read_text().splitlines()) == 1
    assert {answer for answer, _ in answers} == {f"{HELLO}\n"}
    assert sum("from the cache" in told for _, told in answers) == 3
    assert taken(tmp_path / "cache") == 0


def test_waiting_for_another_process_is_told(tmp_path, monkeypatch):
    other = FileLock(tmp_path / f"greet-{recipe().key}.lock")
    other.acquire()
    lines = []

    def hear(line, err):
        lines.append(line)
        other.release()

    monkeypatch.setattr(step_cache, "SECONDS_OF_SILENT_WAITING", 0.0)
    monkeypatch.setattr(step_cache.click, "echo", hear)
    assert taken(tmp_path) == 1
    assert lines == [f"greet: another process is making {recipe().key}; waiting for it"]


def test_mapped_arrays_stay_when_another_process_deletes_and_remakes_them(tmp_path):
    mine = StepCache(tmp_path)
    got = mine.get(recipe(), Large, Large.example)
    assert isinstance(got.numbers, np.memmap)
    assert len(StepCache(tmp_path).clear()) == 1
    assert mine.get(recipe(), Large, lambda: pytest.fail("nothing to make")) is got
    StepCache(tmp_path).get(recipe(), Large, lambda: Large(np.zeros(1)))
    np.testing.assert_array_equal(got.numbers, Large.example().numbers)


def test_the_least_recently_used_goes_when_the_limit_is_passed(tmp_path):
    for number in range(3):
        taken(tmp_path, number)
        set_used(tmp_path, number, at=1000.0 + number)
    size_bytes = StepCache(tmp_path).entries()[0].size_bytes
    assert taken(tmp_path, 0) == 0
    taken(tmp_path, 3, limit_bytes=3 * size_bytes)
    kept = {entry.about for entry in StepCache(tmp_path).entries()}
    assert kept == {"greeting 0", "greeting 2", "greeting 3"}


def test_what_this_process_uses_stays_beyond_the_limit(tmp_path):
    taken(tmp_path, 0)
    cache = StepCache(tmp_path, limit_bytes=1)
    for number in (1, 2):
        cache.get(recipe(number), Words, Maker())
    assert {entry.about for entry in cache.entries()} == {"greeting 1", "greeting 2"}


def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    cache = StepCache(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        got = cache.get(recipe(), Large, Large.example)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(got.numbers, Large.example().numbers)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"greet: not kept in the cache: {tmp_path} cannot be written (")
    assert cache.entries() == left_over(tmp_path) == []
    assert cache.get(recipe(), Large, lambda: pytest.fail("made twice")) is got


def test_a_folder_that_cannot_be_made_costs_the_cache_and_nothing_else(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert taken(tmp_path / "file" / "cache") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "not kept in the cache" in line


@pytest.mark.parametrize("raised", [FileNotFoundError("rows.csv"), KeyboardInterrupt()])
def test_what_goes_wrong_in_making_is_no_trouble_of_the_cache(tmp_path, capsys, raised):
    def fail():
        raise raised

    with pytest.raises(type(raised)):
        StepCache(tmp_path).get(recipe(), Words, fail)
    assert capsys.readouterr().err == ""
    assert taken(tmp_path) == 1
