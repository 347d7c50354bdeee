"""YAML read for its line numbers: mappings and lists of texts, each of which knows its line.

Spaces and configurations are such files.

Nothing is constructed from the YAML: a text is what stands in the file, ``on`` and ``1e-4`` too,
as if it had been typed on the command line.
"""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import yaml

from steps.errors import InputError

LARGEST_FILE = 100_000
"""Bytes. A space is a page of text."""

DEEPEST_NESTING = 10
"""A space needs 5."""

LONGEST_SHOWN = 60
"""Characters of a text of the user's that a message repeats."""

LEAST_LIKENESS = 0.7
"""Of a name to the one that may be meant, from 0 to 1, as difflib computes it."""

JOINERS = "\u200c\u200d"
"""Parts of words in Persian and Hindi, and of emoji."""

LONGEST_LIST = 500
"""Characters of what a message says is allowed."""


class SpaceError(ValueError):
    """What is wrong with such a file, and in which of its lines, counted from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class Entry(NamedTuple):
    """What stands behind a name: the line of the name, and the node."""

    line: int
    node: yaml.Node


def read_tree(path: Path, option: str = "--space") -> yaml.Node:
    """The one document of a YAML file, which the user named by that option.

    Raises:
        InputError: the file cannot be read.
        SpaceError: it is not YAML, or uses more of YAML than mappings, lists and texts.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(option, path, f"cannot be read ({error.strerror})") from None
    if len(content) > LARGEST_FILE:
        raise SpaceError(1, f"the file is larger than {LARGEST_FILE} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpaceError(line, "is not a text in UTF-8") from None
    tree = _composed(text)
    if tree is None:
        raise SpaceError(1, "the file is empty")
    return tree


def _is_writing(character: str) -> bool:
    """Whether it stands in names of files and classes: what steers a terminal does not."""
    is_space = unicodedata.category(character) == "Zs"
    return character.isprintable() or is_space or character in JOINERS


def _composed(text: str) -> yaml.Node | None:
    try:
        composer = _PlainComposer(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpaceError(line, f"the character U+{error.character:04X} is not allowed") from None
    try:
        return composer.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else composer.line
        raise SpaceError(line + 1, f"is not YAML: {error.problem}") from None
    except SpaceError:
        raise
    # PyYAML's scanner lets these through, for an escape such as "\U00110000".
    except (ValueError, OverflowError) as error:
        raise SpaceError(composer.line + 1, f"is not YAML: {error}") from None


class _PlainComposer(yaml.SafeLoader):
    """Refuses what a space has no use for, before it costs anything.

    Of aliases a small file can grow without end, and of nesting the composer's recursion.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise SpaceError(line, "YAML's anchors and aliases (& and *) are not allowed")
        if event.tag is not None:
            raise SpaceError(line, "YAML's tags (!) are not allowed")
        if isinstance(event, yaml.ScalarEvent) and not all(map(_is_writing, event.value)):
            raise SpaceError(line, "a text must be of printable characters, in one line")
        if self.depth == DEEPEST_NESTING:
            raise SpaceError(line, f"is nested more than {DEEPEST_NESTING} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def line_of(node: yaml.Node) -> int:
    """Where it begins, counted from 1."""
    return int(node.start_mark.line) + 1


def text_of(node: yaml.Node, what: str) -> str:
    """A scalar as it stands in the file. Raises: SpaceError if it is a list or a mapping."""
    if not isinstance(node, yaml.ScalarNode):
        raise SpaceError(line_of(node), f"{what} must be one value, not a list or a mapping")
    return str(node.value)


def texts_of(node: yaml.Node, what: str) -> list[tuple[int, str]]:
    """The texts of a list, or the one that stands for a list of itself, each with its line.

    Raises:
        SpaceError: the list is empty, or holds other things than texts.
    """
    if not isinstance(node, yaml.SequenceNode):
        return [(line_of(node), text_of(node, what))]
    if not node.value:
        raise SpaceError(line_of(node), f"{what}: the list is empty")
    return [(line_of(item), text_of(item, f"each of {what}")) for item in node.value]


def entries_of(node: yaml.Node, what: str) -> dict[str, Entry]:
    """What a mapping holds, by name.

    Raises:
        SpaceError: it is no mapping, or has a name twice.
    """
    if not isinstance(node, yaml.MappingNode):
        raise SpaceError(line_of(node), f"{what} must be a mapping of names to values")
    entries: dict[str, Entry] = {}
    for key, value in node.value:
        name = text_of(key, "a name")
        if name in entries:
            first = entries[name].line
            raise SpaceError(line_of(key), f"{shown(name)} stands in line {first} already")
        entries[name] = Entry(line_of(key), value)
    return entries


def check_known(entries: dict[str, Entry], allowed: Iterable[str], what: str) -> None:
    """Raises: SpaceError for the first name that is not allowed, with what may be meant."""
    for name, entry in entries.items():
        if name not in allowed:
            raise SpaceError(entry.line, f"{shown(name)} is no {what}; {meant(name, allowed)}")


def meant(name: str, allowed: Iterable[str]) -> str:
    """A question after the likeliest of the names, or all of them."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=LEAST_LIKENESS)
    if close:
        return f"did you mean {close[0]}?"
    return f"choose one of {listed(allowed)}"


def listed(texts: Iterable[str]) -> str:
    """Some texts of the user's within a message."""
    return shorten(", ".join(map(shown, texts)), LONGEST_LIST, placeholder=" …")


def shown(text: str) -> str:
    """A text of the user's within a message."""
    if len(text) > LONGEST_SHOWN:
        return text[:LONGEST_SHOWN] + "…"
    return text or "''"
