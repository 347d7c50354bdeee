"""Space files: from YAML to parameters that are sound, each error with its line."""

import math
from collections.abc import Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml

from pipeline.choice import FACETS
from pipeline.search.parameters import Choice, Condition, Parameter, Range
from pipeline.search.yaml_tree import (
    Entry,
    SpaceError,
    check_known,
    entries_of,
    line_of,
    listed,
    meant,
    read_tree,
    shown,
    text_of,
    texts_of,
)
from steps.configuration import FIELDS, as_text
from steps.errors import InputError

SECTIONS = ("purpose", "parameters", "bundles")
RANGE_KEYS = ("low", "high", "log", "step")
PARAMETER_KEYS = ("values", *RANGE_KEYS, "when")

NOT_COMPARED = "what another dataset or target costs is not comparable"


class SpaceFile(NamedTuple):
    """What a file says: its one-line purpose, and the parameters, each after those it asks about.

    `line` is where they begin, counted from 1.
    """

    purpose: str
    parameters: tuple[Parameter, ...]
    line: int


def read_space_file(path: Path) -> SpaceFile:
    """Read and check a space file.

    Raises:
        InputError: it cannot be read, or something is wrong in one of its lines.
    """
    try:
        return _space_file(read_tree(path))
    except SpaceError as problem:
        raise InputError("--space", path, f"line {problem.line}: {problem}") from None


def _space_file(tree: yaml.Node) -> SpaceFile:
    sections = entries_of(tree, "a space")
    check_known(sections, SECTIONS, "part of a space")
    if "purpose" not in sections:
        raise SpaceError(line_of(tree), "purpose is missing: say in a line what the space is for")
    purpose = text_of(sections["purpose"].node, "purpose").strip()
    if not purpose:
        raise SpaceError(sections["purpose"].line, "purpose is empty")
    single, bundles = (
        entries_of(sections[name].node, name) if name in sections else {}
        for name in ("parameters", "bundles")
    )
    parameters = {name: _parameter(name, entry) for name, entry in single.items()}
    for name, entry in bundles.items():
        parameters[name] = _bundle(name, entry)
    line = min((sections[name].line for name in sections if name != "purpose"), default=1)
    if not parameters:
        raise SpaceError(line, "the space is empty: parameters has no hyperparameter")
    _check_decided_once(parameters)
    conditioned = {
        name: replace(parameter, when=_condition(single[name], parameters))
        for name, parameter in parameters.items()
        if name in single
    }
    return SpaceFile(purpose, _ordered(parameters | conditioned), line)


def _parameter(name: str, entry: Entry) -> Parameter:
    _check_hyperparameter(name, entry.line)
    if not isinstance(entry.node, yaml.MappingNode):
        return _choice(name, entry.line, entry.node)
    keys = entries_of(entry.node, name)
    check_known(keys, PARAMETER_KEYS, f"part of {name}")
    if "values" not in keys:
        return _range(name, entry.line, keys)
    for key in RANGE_KEYS:
        if key in keys:
            raise SpaceError(keys[key].line, f"{name} has values already, so no {key}")
    return _choice(name, entry.line, keys["values"].node)


def _choice(name: str, line: int, node: yaml.Node) -> Choice:
    settings: dict[str, Mapping[str, str]] = {}
    for value_line, text in texts_of(node, name):
        value = as_text(_parsed(name, text, value_line))
        if value in settings:
            raise SpaceError(value_line, f"{name} has {shown(text)} twice")
        settings[value] = {name: value}
    if name in FACETS and len(settings) > 1:
        raise SpaceError(line, f"{name} must be one value: {NOT_COMPARED}")
    return Choice(name, settings, line)


def _range(name: str, line: int, keys: dict[str, Entry]) -> Range:
    kinds = get_args(FIELDS[name].type) or (FIELDS[name].type,)
    whole = int in kinds
    if not whole and float not in kinds:
        raise SpaceError(line, f"{name} takes no range, only values: it is no number")
    if name in FACETS:
        raise SpaceError(line, f"{name} must be one value: {NOT_COMPARED}")
    if "low" not in keys or "high" not in keys:
        raise SpaceError(line, f"{name} needs a value, a list, values, or low and high")
    low, high = (_bound(name, key, keys[key].node) for key in ("low", "high"))
    if low > high:
        raise SpaceError(keys["low"].line, f"{name}: low {low} is above high {high}")
    log = "log" in keys and _yes_or_no(name, keys["log"].node)
    if log and low <= 0:
        raise SpaceError(keys["low"].line, f"{name}: low {low} has no logarithm; begin above 0")
    if log and "step" in keys:
        raise SpaceError(keys["step"].line, f"{name}: log and step do not go together")
    step: float | None = 1 if whole else None
    if "step" in keys:
        step = _step(name, keys["step"].node, high - low, whole)
    return Range(name, low, high, line, log, step, whole)


def _bound(name: str, key: str, node: yaml.Node) -> float:
    number = _parsed(name, text_of(node, f"{name}: {key}"), line_of(node))
    if not isinstance(number, int | float):
        raise SpaceError(line_of(node), f"{name}: {key} must be a number")
    return number


def _step(name: str, node: yaml.Node, width: float, whole: bool) -> float:
    text = text_of(node, f"{name}: step")
    try:
        step = float(text)
    except ValueError:
        step = math.nan
    if not 0 < step <= width or (whole and not step.is_integer()):
        kind = "a whole number" if whole else "a number"
        allowed = f"must be {kind} above 0, up to high - low"
        raise SpaceError(line_of(node), f"{name}: step {shown(text)} {allowed}")
    return int(step) if whole else step


def _yes_or_no(name: str, node: yaml.Node) -> bool:
    text = text_of(node, f"{name}: log")
    if text not in ("true", "false"):
        raise SpaceError(line_of(node), f"{name}: log {shown(text)} must be true or false")
    return text == "true"


def _bundle(name: str, entry: Entry) -> Choice:
    """A hyperparameter that one value of the bundle leaves out has its default there."""
    if name in FIELDS:
        raise SpaceError(entry.line, f"{name} is a hyperparameter; name the bundle otherwise")
    values = entries_of(entry.node, name)
    given = {value: _decided(name, value, node) for value, (_, node) in values.items()}
    defaults = {
        hyperparameter: as_text(FIELDS[hyperparameter].default)
        for texts in given.values()
        for hyperparameter in texts
    }
    if not defaults:
        raise SpaceError(entry.line, f"{name} is an empty bundle: it decides no hyperparameter")
    settings: dict[str, Mapping[str, str]] = {}
    for value, texts in given.items():
        complete = defaults | texts
        if complete in settings.values():
            problem = f"{name}: {shown(value)} decides the same as a value before it"
            raise SpaceError(values[value].line, problem)
        settings[value] = complete
    return Choice(name, settings, entry.line)


def _decided(name: str, value: str, node: yaml.Node) -> dict[str, str]:
    """The texts of the hyperparameters that one value of a bundle names."""
    texts = {}
    for hyperparameter, (line, typed) in entries_of(node, f"{name}: {shown(value)}").items():
        _check_hyperparameter(hyperparameter, line)
        if hyperparameter in FACETS:
            raise SpaceError(line, f"{hyperparameter} goes in no bundle: {NOT_COMPARED}")
        text = text_of(typed, hyperparameter)
        texts[hyperparameter] = as_text(_parsed(hyperparameter, text, line))
    return texts


def _check_hyperparameter(name: str, line: int) -> None:
    if name == "seed":
        raise SpaceError(line, "seed is no part of a space: seeds make repeats")
    if name not in FIELDS:
        raise SpaceError(line, f"{shown(name)} is no hyperparameter; {meant(name, FIELDS)}")


def _parsed(name: str, text: str, line: int) -> Any:
    try:
        return FIELDS[name].metadata["parse"](text)
    except ValueError as problem:
        raise SpaceError(line, f"{name} {shown(text)}: {problem}") from None


def _check_decided_once(parameters: Mapping[str, Parameter]) -> None:
    lines: dict[str, int] = {}
    for parameter in parameters.values():
        for name in parameter.hyperparameters:
            if name in lines:
                problem = f"{name} is decided in line {lines[name]} already"
                raise SpaceError(parameter.line, f"{problem}, and by {parameter.name}")
            lines[name] = parameter.line


def _condition(entry: Entry, parameters: Mapping[str, Parameter]) -> Condition:
    """The ``when`` of a parameter."""
    if not isinstance(entry.node, yaml.MappingNode):
        return {}
    keys = entries_of(entry.node, "a parameter")
    if "when" not in keys:
        return {}
    asked = entries_of(keys["when"].node, "when")
    if not asked:
        raise SpaceError(keys["when"].line, "when is empty: name a parameter and its values")
    return {name: _asked_values(name, about, parameters) for name, about in asked.items()}


def _asked_values(name: str, entry: Entry, parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    parameter = parameters.get(name)
    if parameter is None:
        problem = f"when asks about {shown(name)}, which is no parameter of this space"
        raise SpaceError(entry.line, f"{problem}; {meant(name, parameters)}")
    if isinstance(parameter, Range):
        raise SpaceError(entry.line, f"when asks about {name}, which is a range; list its values")
    values = []
    for line, text in texts_of(entry.node, f"when: {name}"):
        values.append(as_text(_parsed(name, text, line)) if name in FIELDS else text)
        if name not in FIELDS and text not in parameter.values:
            problem = f"{shown(text)} is no value of {name}"
            raise SpaceError(line, f"{problem}; {meant(text, parameter.values)}")
    # Some of them may be missing: so that a list can be shortened without touching conditions.
    if not any(value in parameter.values for value in values):
        problem = f"when never holds: {name} is never one of {listed(values)} in this space"
        raise SpaceError(entry.line, problem)
    return tuple(values)


def _ordered(parameters: Mapping[str, Parameter]) -> tuple[Parameter, ...]:
    sorter = TopologicalSorter({name: each.when for name, each in parameters.items()})
    try:
        return tuple(parameters[name] for name in sorter.static_order())
    except CycleError as error:
        circle = error.args[1]
        line = min(parameters[name].line for name in circle)
        raise SpaceError(line, f"conditions in a circle: {' -> '.join(circle)}") from None
