"""Every command and every script of the recipes, as printed, on less data and in fewer epochs.

What is different from the page is all in the two tables at the top.
"""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline.__main__ import cli

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"
sys.path.insert(0, str(RECIPES))

import make  # noqa: E402

PYTHON = ("python", "-m", "pipeline")
AT_ONCE = ("--target-accuracy", "0.05", "--patience", "1", "--max-epochs", "2", "--country", "FRA")
FEW = ("--trials", "3", "--repeats", "1", "--confirm-top", "1")

APPENDED = {
    "run": (*AT_ONCE, "--inference-window", "0"),
    "search": (*AT_ONCE, *FEW),
    "find-lr": ("--steps", "20", "--country", "FRA"),
    "quantize-grid": ("--repeats", "2"),
    "compare": ("--target-accuracy", "0.05"),
}
"""To the commands of a page: of an option that is given twice the last one counts."""

INSTEAD = {
    "openml:32": "digits",
    "keras:mnist": "npz:mnist.npz",
    "keras.datasets.mnist.load_data()": "((None, None), (np.load('mnist.npz')['x_test'], [7]))",
    "import keras\n": "import numpy as np\n",
    "range(100)": "range(1)",
    "range(5)": "range(1)",
    "epochs=60": "epochs=1",
}
"""In the blocks of a page: no network, and no waiting."""

LARGEST_PICTURE = 150 * 1024

PAGES = make.pages()
NAMES = [page.stem for page in PAGES]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Files that a reader would have got from UCI and from Keras, made up."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    notes = draw.normal(size=(120, 4))
    rows = np.column_stack([notes, notes[:, 0] > 0])
    np.savetxt(folder / "banknote.csv", rows, delimiter=",", fmt="%.4f,%.4f,%.4f,%.4f,%d")
    digits = load_digits()
    pixels = np.kron(digits.images, np.ones((3, 3)))
    images = (15 * np.pad(pixels, ((0, 0), (2, 2), (2, 2)))).astype(np.uint8)
    parts = {"x_train": images[:300], "x_test": images[300:360]}
    labels = {"y_train": digits.target[:300], "y_test": digits.target[300:360]}
    np.savez(folder / "mnist.npz", **parts, **labels)
    return folder


@pytest.fixture
def run_block(store, tmp_path, data, greenest, monkeypatch):
    """Runs a block of a page in this process, in a folder that looks like a clone."""
    make.set_up(tmp_path)
    for file in data.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setenv("MPLBACKEND", "Agg")

    def run(language: str, text: str) -> str:
        if language == "python":
            exec(compile(text, "<recipe>", "exec"), {})
            return ""
        printed = []
        for line in make.commands(text):
            words = shlex.split(line)
            assert tuple(words[:3]) == PYTHON, f"{line!r} is for a bash block"
            name = words[3]
            code, out, err = greenest(*words[3:], *APPENDED.get(name, ()))
            assert code == 0, f"{line}\n{out}\n{err}"
            printed.append(out)
        return "".join(printed)

    return run


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_block_of_a_page_runs_and_draws_the_pages_pictures(path, run_block, tmp_path):
    page = path.read_text()
    make.remade(page, run_block, INSTEAD)
    for picture in make.pictures(page):
        assert (tmp_path / picture).stat().st_size > 1000


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_pictures_of_a_page_are_there_and_small(path):
    for picture in make.pictures(path.read_text()):
        assert 1000 < path.with_name(picture).stat().st_size <= LARGEST_PICTURE


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_output_that_a_page_shows_was_printed_by_its_commands(path):
    assert all(text.strip() for text in make.blocks(path.read_text(), "text"))


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_commands_for_other_machines_have_options_that_exist(path):
    for text in make.blocks(path.read_text(), "bash"):
        for line in make.commands(text):
            words = shlex.split(line, comments=True)
            if tuple(words[:3]) == PYTHON:
                cli.commands[words[3]].make_context(words[3], words[4:])


def test_readme_leads_to_every_recipe(project):
    readme = (project / "README.md").read_text()
    index = (RECIPES / "README.md").read_text()
    assert "docs/recipes" in readme
    assert [path.name for path in PAGES if f"({path.name})" not in index] == []


def test_page_keeps_what_its_blocks_print_and_the_last_run_is_its_id():
    page = "```sh\nfirst\n```\n\n```text\nold\n```\n\n```sh\nsecond ID\n```\n"
    run_id = "0123456789abcdef" * 2
    ran = []

    def run(language, text):
        ran.append((language, text))
        return f"\n run   {run_id}  \n"

    assert make.remade(page, run, {"first": "other"}) == page.replace("old", f" run   {run_id}")
    assert ran == [("sh", "other\n"), ("sh", f"second {run_id}\n")]
