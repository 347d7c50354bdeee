"""A picture and what it says, and how texts and numbers get into one."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pipeline.report.data import Table

LONGEST_NAME, LONGEST_TICK = 44, 12
POINTS_PER_LINE = 300
LOGARITHMIC = {"type": "log", "dtick": "D2", "tickformat": "~g"}
"""An axis with a tick at 1, 2 and 5."""


@dataclass(frozen=True)
class Picture:
    """A figure with its text alternatives.

    Attributes:
        name: of its file; letters, digits and hyphens.
        choice: what it is called where one of several is picked.
        title: its heading.
        says: in a sentence or two, what is to be seen.
        figure: without colours of text and background; they come with the theme.
        numbers: what it was drawn from, where that is short enough to read.
        narrow: what its layout is on a phone, where that differs.
    """

    name: str
    choice: str
    title: str
    says: str
    figure: go.Figure
    numbers: Table | None = None
    narrow: Mapping[str, Any] = field(default_factory=dict)


def plain(text: str) -> str:
    """A text that plotly shows as it is: it would read tags and entities in it.

    Others chose it, so it may be long, or a program.
    """
    return escaped(text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…")


def escaped(text: str) -> str:
    """The same, however long."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def tick(text: str) -> str:
    """Of a value, what has room under its bar."""
    return escaped(text if len(text) <= LONGEST_TICK else f"{text[: LONGEST_TICK - 1]}…")


def slug(text: str) -> str:
    """What of a text may stand in a file's name and in an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def rounded(values: Iterable[float], digits: int = 4) -> list[float | None]:
    """Short enough for a page, since a screen shows no more; a gap where one is not finite."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]


def spread_over(length: int, at_most: int = POINTS_PER_LINE) -> list[int]:
    """Indices of at most so many out of `length`, evenly, with the first and the last."""
    return sorted(set(np.linspace(0, length - 1, min(length, at_most)).astype(int).tolist()))


def blank(**layout: Any) -> go.Figure:
    """An empty figure with that layout, its height in pixels among it."""
    return go.Figure(layout={"template": "none", **layout})
