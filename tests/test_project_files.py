"""MLproject, conda.yaml and the requirements say the same as the command line."""

import re
import textwrap
import tomllib

import click
import pytest
import yaml
from mlflow.projects._project_spec import load_project

from pipeline.__main__ import cli

COMMANDS = sorted(set(cli.commands) - {"cache"})
"""The cache is tidied by flags, which `mlflow run` cannot pass."""


def entry_point_of(command: str) -> str:
    return "main" if command == "run" else command.replace("-", "_")


@pytest.fixture
def mlproject(project):
    return yaml.safe_load((project / "MLproject").read_text())


def options(command: click.Command) -> dict[str, click.Option]:
    """Those that take a value; `mlflow run` cannot pass flags."""
    return {
        param.name: param
        for param in command.params
        if isinstance(param, click.Option) and not param.is_flag
    }


def arguments(command: click.Command) -> set[str]:
    return {param.name for param in command.params if isinstance(param, click.Argument)}


def test_every_command_is_an_entry_point_and_the_other_way_round(mlproject):
    expected = {entry_point_of(name) for name in COMMANDS}
    assert set(mlproject["entry_points"]) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_entry_point_has_the_parameters_defaults_and_help_of_its_command(mlproject, name):
    entry_point = mlproject["entry_points"][entry_point_of(name)]
    expected = {
        option.name: (str(option.default), option.help)
        for option in options(cli.commands[name]).values()
    }
    told = {
        parameter: (str(given["default"]), given["help"])
        for parameter, given in entry_point["parameters"].items()
        if parameter not in arguments(cli.commands[name])
    }
    assert told == expected
    assert arguments(cli.commands[name]) == set(entry_point["parameters"]) - set(told)
    assert all(given["type"] in ("string", "float") for given in entry_point["parameters"].values())


@pytest.mark.parametrize("name", COMMANDS)
def test_entry_point_hands_each_parameter_to_the_option_of_its_name(mlproject, name):
    command = mlproject["entry_points"][entry_point_of(name)]["command"]
    assert all(f" {{{argument}}}" in command for argument in arguments(cli.commands[name]))
    handed = dict(re.findall(r"(--[a-z-]+) \{(\w+)\}", command))
    assert f"{command} ".startswith(f"python -m pipeline {name} ")
    assert handed == {
        option.opts[0]: option.name for option in options(cli.commands[name]).values()
    }


def test_mlflow_reads_the_project_and_its_conda_environment(project):
    loaded = load_project(str(project))
    assert loaded.name == "greenest"
    assert loaded.env_config_path == str(project / "conda.yaml")


def test_conda_installs_the_pinned_requirements(project):
    dependencies = yaml.safe_load((project / "conda.yaml").read_text())["dependencies"]
    assert dependencies == ["python=3.11", "pip", {"pip": ["-r requirements.txt"]}]


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_exact_pins_and_name_no_registry(project, file):
    lines = [
        line
        for line in (project / file).read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert len(lines) > 50
    assert all(re.fullmatch(r"[a-z0-9.\-]+==[^\s;]+( ; .+)?", line) for line in lines)


def test_every_direct_dependency_is_pinned(project):
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    wanted = {re.match(r"[\w-]+", each)[0].lower() for each in metadata["dependencies"]}
    pinned = set(re.findall(r"^([\w.-]+)==", (project / "requirements.txt").read_text(), re.M))
    assert wanted <= pinned


def test_example_of_metering_in_the_readme_is_the_packages_own(project):
    # The package's example is run by a test of energy/.
    import energy

    (example,) = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(), re.S)
    assert textwrap.indent(example.strip(), " " * 4) in energy.__doc__
    assert len(example.splitlines()) < 10
