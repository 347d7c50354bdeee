"""The word `greenest` and its Tab key, in real shells."""

import os
import shutil
import subprocess
import sys

import pytest

from pipeline.completion import ASKED, SCRIPTS, completions

BASH = """
source {script}
COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_greenest greenest
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(monkeypatch, line):
    """Answers to a line whose last word is incomplete."""
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    return list(completions("bash"))


@pytest.fixture(scope="module")
def script(project, tmp_path_factory):
    """What the command prints for a shell, in a file."""

    def script_(shell):
        printed = subprocess.run(
            [sys.executable, "-m", "pipeline.completion", shell],
            cwd=project,
            capture_output=True,
            text=True,
            check=True,
        )
        path = tmp_path_factory.mktemp(shell) / "script"
        path.write_text(printed.stdout)
        return path

    return script_


def test_commands_and_options_are_completed_and_values_are_left_to_file_names(monkeypatch):
    assert completed(monkeypatch, "greenest quantize") == ["quantize", "quantize-grid"]
    assert completed(monkeypatch, "greenest run --opt") == ["--optimizer"]
    assert completed(monkeypatch, "greenest compare --dataset csv : rows.csv --min") == [
        "--min-success"
    ]
    assert completed(monkeypatch, "greenest search --space spaces/gr") == []
    assert completed(monkeypatch, "greenest nothing --opt") == []


def test_bash_completes_in_any_folder_and_runs_the_command(script, tmp_path):
    def typed(text):
        done = subprocess.run(
            ["bash", "--norc", "-c", text],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    path = script("bash")
    assert typed(BASH.format(script=path, line="greenest find")) == ["find-lr"]
    assert typed(BASH.format(script=path, line="greenest run --lr-")) == ["--lr-schedule"]
    help_text = typed(f"source {path}; greenest compare --help")
    assert help_text[0] == "Usage: python -m pipeline compare [OPTIONS]"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_takes_its_script(script, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    words = {"fish": ["--no-config", "-c"], "zsh": ["-f", "-c"], "bash": ["--norc", "-c"]}[shell]
    text = f"source {script(shell)}; greenest --help"
    done = subprocess.run([shell, *words, text], capture_output=True, text=True, check=True)
    assert (done.stdout.split("\n")[0], done.stderr) == (
        "Usage: python -m pipeline [OPTIONS] COMMAND [ARGS]...",
        "",
    )


def test_tab_key_imports_neither_mlflow_nor_tensorflow(project):
    code = (
        "import sys\nfrom pipeline.completion import completions\n"
        "assert list(completions('bash')) == ['--objective']\n"
        "print({'mlflow', 'pandas', 'sklearn', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env={
            **os.environ,
            "COMP_WORDS": "greenest compare --obj",
            "COMP_CWORD": "2",
            ASKED: "bash",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_unknown_shell_is_one_line_that_names_the_known(project):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.completion", "tcsh"],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "'bash', 'zsh', 'fish'" in done.stderr
