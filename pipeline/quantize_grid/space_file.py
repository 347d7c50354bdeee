"""Files of formats: from YAML to a sound space, each error with its line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import yaml

from pipeline.quantize_grid.space import Crossed, Format, Formats, Group, Listed, WidthSpace
from pipeline.search.yaml_tree import (
    Entry,
    SpaceError,
    check_known,
    entries_of,
    line_of,
    read_tree,
    shown,
    text_of,
    texts_of,
)
from steps.errors import InputError
from steps.quantization_modes import FixedPoint

FORMATS = ("data", "weights")
WITH_BIAS = (*FORMATS, "bias")
OF_THEIR_OWN = ("types", "layers")
SECTIONS = ("purpose", *WITH_BIAS, *OF_THEIR_OWN)
CROSSED = ("width", "fraction")

T = TypeVar("T")


def load(path: Path) -> WidthSpace:
    """Read and check a file of formats.

    Raises:
        InputError: it cannot be read, or something is wrong in one of its lines.
    """
    try:
        return _space(path, read_tree(path))
    except SpaceError as problem:
        raise InputError("--space", path, f"line {problem.line}: {problem}") from None


def _space(path: Path, tree: yaml.Node) -> WidthSpace:
    sections = entries_of(tree, "a space of formats")
    check_known(sections, SECTIONS, "part of a space of formats")
    if "purpose" not in sections:
        raise SpaceError(line_of(tree), "purpose is missing: say in a line what the space is for")
    purpose = text_of(sections["purpose"].node, "purpose").strip()
    if not purpose:
        raise SpaceError(sections["purpose"].line, "purpose is empty")
    groups: list[Group] = []
    if any(name in sections for name in WITH_BIAS):
        groups.append(_group("", sections, line_of(tree)))
    for section in OF_THEIR_OWN:
        if section not in sections:
            continue
        for name, entry in entries_of(sections[section].node, section).items():
            if any(group.name == name for group in groups):
                raise SpaceError(entry.line, f"{name} is there as a type and as a layer")
            groups.append(_own_group(name, entry, is_kind=section == "types"))
    if not groups:
        raise SpaceError(line_of(tree), "the space is empty: give data and weights")
    return WidthSpace(path, purpose, tuple(groups))


def _own_group(name: str, entry: Entry, is_kind: bool) -> Group:
    if not name:
        raise SpaceError(entry.line, f"a {'type' if is_kind else 'layer'} has no name")
    keys = entries_of(entry.node, name)
    check_known(keys, WITH_BIAS, f"part of {name}")
    return replace(_group(name, keys, entry.line), is_kind=is_kind)


def _group(owner: str, keys: dict[str, Entry], line: int) -> Group:
    whose = f"{owner}: " if owner else ""
    for name in FORMATS:
        if name not in keys:
            present = [keys[other].line for other in WITH_BIAS if other in keys]
            raise SpaceError(min(present, default=line), f"{whose}{name} is missing")
    data, weights = (_formats(f"{whose}{name}", keys[name].node) for name in FORMATS)
    bias = _formats(f"{whose}bias", keys["bias"].node) if "bias" in keys else None
    return Group(owner, data, weights, min(keys[name].line for name in FORMATS), bias)


def _formats(name: str, node: yaml.Node) -> Formats:
    if isinstance(node, yaml.MappingNode):
        return _crossed(name, node)
    return Listed(name, tuple(_all_different(name, texts_of(node, name), _format)))


def _crossed(name: str, node: yaml.Node) -> Crossed:
    keys = entries_of(node, name)
    check_known(keys, CROSSED, f"part of {name}")
    for key in CROSSED:
        if key not in keys:
            raise SpaceError(line_of(node), f"{name}: {key} is missing")
    widths, fractions = (
        _all_different(f"{name}: {key}", texts_of(keys[key].node, f"{name}: {key}"), _bits)
        for key in CROSSED
    )
    crossed = Crossed(name, tuple(widths), tuple(fractions))
    for each in crossed.all:
        _check(name, each, keys["width"].line)
    return crossed


def _all_different(
    name: str, texts: list[tuple[int, str]], parse: Callable[[str, str, int], T]
) -> list[T]:
    values: list[T] = []
    for line, text in texts:
        value = parse(name, text, line)
        if value in values:
            raise SpaceError(line, f"{name} has {shown(text)} twice")
        values.append(value)
    return values


def _format(name: str, text: str, line: int) -> Format:
    width, point, fraction = text.partition(".")
    if not (point and _is_whole(width) and _is_whole(fraction)):
        problem = "must be WIDTH.FRACTION in bits, such as 8.4"
        raise SpaceError(line, f"{name} {shown(text)}: {problem}")
    return _check(name, Format(int(width), int(fraction)), line)


def _bits(name: str, text: str, line: int) -> int:
    if not _is_whole(text):
        raise SpaceError(line, f"{name} {shown(text)}: must be a whole number of bits")
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def _check(name: str, given: Format, line: int) -> Format:
    """See that the arithmetic has such numbers."""
    try:
        FixedPoint(*given, *given)
    except ValueError as error:
        allowed = str(error).rpartition(": ")[2]
        raise SpaceError(line, f"{name} {given}: {allowed}") from None
    return given
