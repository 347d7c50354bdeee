"""What ``--help`` says is whole, is true, and agrees with the README."""

import re
import shlex

import click
import pytest

from pipeline.__main__ import cli
from steps import configuration as configurations

COMMANDS = sorted(cli.commands)
WIDTH = 78
"""What Click fills of a terminal of 80 columns."""

UNITS = {
    "--budget-g": "Grams",
    "--budget-kj": "Kilojoules",
    "--carbon-intensity": "Grams of CO2e per kWh",
    "--inference-window": "Seconds",
    "--max-epochs": "epochs",
    "--patience": "Epochs",
    "--power-limit-w": "watts",
    "--qat-epochs": "Epochs",
    "--seconds": "Seconds",
    "--timeout": "Seconds",
    "--warmup-epochs": "Epochs",
}

YES_OR_NO = {
    ("run", "--final"): (),
    ("run", "--time-ordered"): (),
    ("search", "--resume"): ("--space", "spaces/greenest.yaml"),
    ("search", "--shared-energy"): ("--space", "spaces/greenest.yaml"),
    ("compare", "--profiles"): (),
    ("compare", "--record"): (),
}
"""With what else the command wants."""

OF_OTHER_TOOLS = {"--env-manager", "--help"}
DESCRIBED = ("run", "search", "compare")
"""Commands whose every option the README has; what the others take, they say themselves."""


def options(command: str) -> list[click.Option]:
    return [each for each in cli.commands[command].params if isinstance(each, click.Option)]


ALL_OPTIONS = {option.opts[0] for command in COMMANDS for option in options(command)}


def shown(command: click.Command) -> str:
    return command.get_help(click.Context(command, info_name=command.name, terminal_width=WIDTH))


def test_list_of_commands_shows_a_whole_sentence_on_each():
    listed = shown(cli).partition("Commands:\n")[2].splitlines()
    told = dict(line.split(maxsplit=1) for line in listed)
    assert sorted(told) == COMMANDS
    for name, sentence in told.items():
        assert re.fullmatch(r"[A-Z].*[^.]\.", sentence), f"{name}: {sentence}"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_options_are_told_in_sentences_with_their_defaults(name):
    command = cli.commands[name]
    assert re.fullmatch(r"[A-Z].*\.\s*", command.help, re.DOTALL)
    told = " ".join(shown(command).split())
    for option in options(name):
        assert option.help and option.help.endswith("."), option.opts
        assert " ".join(option.help.split()) in told
        if not option.is_flag and option.default not in ("", None):
            assert option.show_default, option.opts
            assert re.search(rf"{option.opts[0]} .*?\[default: ", told), option.opts


def choices(hyperparameter: str) -> list[str]:
    """What the refusal of anything else says is allowed; nothing where any text is, or a number."""
    try:
        configurations.FIELDS[hyperparameter].metadata["parse"]("\x00")
    except ValueError as refused:
        allowed = str(refused).partition("choose one of ")[2]
        return re.findall(r"[a-z0-9_]+", allowed.partition(" or ")[0].partition(", such as")[0])
    return []


def test_help_of_a_choice_names_all_that_is_allowed():
    found = {name: choices(name) for name in configurations.FIELDS}
    assert sum(map(bool, found.values())) >= 10
    for name, allowed in found.items():
        told = re.findall(r"[a-z0-9_]+", configurations.FIELDS[name].metadata["help"].lower())
        assert set(allowed) <= set(told), name


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"compare"}))
def test_option_of_a_quantity_says_its_unit(name):
    """Those of compare only pick runs by it."""
    for option in options(name):
        assert UNITS.get(option.opts[0], "") in option.help, option.opts


def test_every_option_that_is_named_after_a_unit_is_tested_for_it():
    assert set(UNITS) <= ALL_OPTIONS
    assert {each for each in ALL_OPTIONS if re.search(r"-(w|g|kj|s|seconds)$", each)} <= set(UNITS)


@pytest.mark.parametrize(("command", "option"), YES_OR_NO, ids=" ".join)
def test_yes_and_no_are_what_such_an_option_takes_and_its_help_says_so(
    command, option, store, greenest, project, monkeypatch
):
    monkeypatch.chdir(project)
    (parameter,) = (each for each in cli.commands[command].params if option in each.opts)
    assert "yes" in parameter.help
    code, out, err = greenest(command, *YES_OR_NO[command, option], option, "maybe")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"Error: {option} maybe: ")
    assert "yes" in err and "no" in err


def test_every_option_whose_default_is_no_is_tested_for_it():
    found = {each.opts[0] for name in COMMANDS for each in options(name) if each.default == "no"}
    assert found | {"--record"} == {option for _, option in YES_OR_NO}


@pytest.fixture
def readme(project):
    return (project / "README.md").read_text()


@pytest.mark.parametrize("name", DESCRIBED)
def test_readme_has_every_option(readme, name):
    missing = [
        option.opts[0]
        for option in options(name)
        if not re.search(rf"(?<![\w-]){option.opts[0]}(?![\w-])", readme)
    ]
    assert missing == []


def test_readme_has_no_option_that_is_not_there(readme):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", readme))
    assert len(named) > 50
    assert named - ALL_OPTIONS - OF_OTHER_TOOLS == set()


def test_each_command_line_of_the_readme_has_options_of_its_command(readme):
    lines = re.findall(r"python -m pipeline(?: |\.(?=compare))([a-z][\w-]*)([^`\n#]*)", readme)
    assert len(lines) > 20
    for name, rest in lines:
        assert name in COMMANDS
        known = {each.opts[0] for each in options(name)} | {"--help"}
        given = {word for word in shlex.split(rest.replace("'", "")) if word.startswith("--")}
        assert given <= known, f"{name}{rest}"
