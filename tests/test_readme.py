"""Every command that the README shows, in its order, on less data and in fewer epochs.

What is different from the page is in the tables at the top. `mlflow run` is taken for the command
that its entry point is; that it really gets there, `test_whole_commands.py` says, and what MLflow's
own commands do with the models, `test_serving.py` and the tests beside it.
"""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"
sys.path.insert(0, str(RECIPES))

import make  # noqa: E402

SHOWN = re.compile(
    r"^ {4}((?:python -m|mlflow) .*)$|`((?:python -m pipeline|mlflow run)[^`]*)`", re.M
)

AT_ONCE = ("--target-accuracy", "0.05", "--patience", "1", "--max-epochs", "2")
FRANCE = ("--country", "FRA")
FEW = ("--trials", "2", "--repeats", "1", "--confirm-top", "1")
OF_ALL = ("--target-accuracy", "0.05", "--patience", "1", "--dataset", "digits")
APPENDED = {
    "run": (*AT_ONCE, *FRANCE, "--inference-window", "0"),
    "preprocess": AT_ONCE,
    "train": FRANCE,
    "search": (*AT_ONCE, *FRANCE, *FEW),
    "find-lr": ("--steps", "20", *FRANCE),
    "quantize": ("--inference-window", "0", *FRANCE),
    "quantize-grid": ("--repeats", "2"),
    "compare": OF_ALL,
}
"""To the commands: of an option that is given twice the last one counts."""

ELSEWHERE = (
    "mlflow ui",
    "mlflow models",
    "python -m pipeline idle",
    "python -m pipeline.completion",
)
"""Beginnings of what other tests run: servers, a quiet machine, a shell."""

NOT_A_COMMAND = ("python -m pipeline", "mlflow run .", "mlflow run", "mlflow run . -P name=value")
"""Mentioned in a sentence."""


def commands(readme: str) -> list[list[str]]:
    """Words of each as `python -m pipeline` takes them."""
    found = [block or inline for block, inline in SHOWN.findall(readme)]
    told = (line for line in found if line not in NOT_A_COMMAND)
    return [words_of(line) for line in told if not line.startswith(ELSEWHERE)]


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    if words[0] == "python":
        return [*words[2].split(".")[1:], *words[3:]]
    options = [words[i + 1] for i, word in enumerate(words) if word == "-P"]
    pairs = (option.split("=", 1) for option in options)
    typed = [word for name, text in pairs for word in (f"--{name.replace('_', '-')}", text)]
    entry = entry_of(words)
    return ["run" if entry == "main" else entry.replace("_", "-"), *typed]


def entry_of(words: list[str]) -> str:
    """The entry point of MLproject that a `mlflow run` names."""
    return words[words.index("-e") + 1] if "-e" in words else "main"


@pytest.fixture
def clone(store, tmp_path):
    """A folder that looks like a clone, with the files that the README's readers have."""
    make.set_up(tmp_path)
    draw = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}" for a, b in draw.normal(size=(60, 2))]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,label", *rows]))
    for name in ("cats", "dogs"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = draw.integers(0, 255, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    metered = [f"{energy},10,{1.2 * energy + 50}" for energy in range(100, 160, 10)]
    (tmp_path / "FILE.csv").write_text("\n".join(["energy_j,duration_s,wall_j", *metered]))
    return tmp_path


def test_every_command_of_the_readme_works_as_printed(project, clone, greenest):
    run_id = ""
    for words in commands((project / "README.md").read_text()):
        typed = [run_id if word == "ID" else word for word in words]
        if words[0] == "predict":
            # Of a model of these rows, as the sentence before it says.
            csv = ("run", "--dataset", "csv:rows.csv")
            _, out, _ = greenest(*csv, *APPENDED["run"])
            typed = [make.TRAINED.findall(out)[-1] if word == "ID" else word for word in words]
        code, out, err = greenest(*typed, *APPENDED.get(words[0], ()))
        assert code == 0, f"{' '.join(words)}\n{out}\n{err}"
        if words[0] in ("run", "preprocess"):
            run_id = (make.TRAINED.findall(out + err) or [run_id])[-1]
    assert (clone / "greenest.yaml").is_file()


def test_what_the_readme_gives_to_mlflow_run_is_in_its_entry_points(project):
    entry_points = yaml.safe_load((project / "MLproject").read_text())["entry_points"]
    lines = [line for found in SHOWN.findall((project / "README.md").read_text()) for line in found]
    told = [line for line in lines if line.startswith("mlflow run .") and line not in NOT_A_COMMAND]
    assert told
    for line in told:
        words = shlex.split(line, comments=True)
        names = {words[i + 1].split("=")[0] for i, word in enumerate(words) if word == "-P"}
        assert names <= set(entry_points[entry_of(words)]["parameters"]), line
