"""Markdown for the descriptions that MLflow shows, in which no name is taken for markup."""

import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """As it stands: names are the users', and nothing in them is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|&])", r"\\\1", text)


def code(text: str) -> str:
    """As inline code, likewise."""
    return f"`{text.replace('`', chr(39))}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
