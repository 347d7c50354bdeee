"""Several small plots in one figure, side by side or, on a phone, one below the other."""

from collections.abc import Sequence
from typing import Any

GAP_ACROSS_PX, GAP_DOWN_PX = 60, 115
USUAL_WIDTH_PX = 900


def axis(name: str, number: int) -> str:
    """Plotly's name of the axis of a panel, which are counted from 0: ``x``, ``x2``, ``x3``."""
    return name if number == 0 else f"{name}{number + 1}"


def layout(titles: Sequence[str], columns: int, row_height: int) -> dict[str, Any]:
    """Where the panels stand, and their titles above them.

    Args:
        titles: one per panel.
        columns: panels in a row.
        row_height: in pixels.
    """
    rows = -(-len(titles) // columns)
    height = row_height * rows
    across = GAP_ACROSS_PX / USUAL_WIDTH_PX
    down = GAP_DOWN_PX / height
    wide = (1 - across * (columns - 1)) / columns
    high = (1 - down * (rows - 1)) / rows
    placed: dict[str, Any] = {"height": height, "margin": {"t": 50}, "annotations": []}
    for number, title in enumerate(titles):
        row, column = divmod(number, columns)
        left, top = column * (wide + across), 1 - row * (high + down)
        placed[axis("xaxis", number)] = {
            "domain": [left, min(left + wide, 1.0)],
            "anchor": axis("y", number),
        }
        placed[axis("yaxis", number)] = {
            "domain": [max(top - high, 0.0), top],
            "anchor": axis("x", number),
        }
        placed["annotations"].append(_title(title, left, top))
    return placed


def _title(text: str, left: float, top: float) -> dict[str, Any]:
    """The unit and its worth go below, where they have room on a phone and on paper."""
    name, *qualified = text.removesuffix(")").split(" (", 1)
    return {
        "text": "<br>".join([f"<b>{name}</b>", *qualified]),
        "align": "left",
        "xref": "paper",
        "yref": "paper",
        "x": left,
        "y": top,
        "yshift": 6,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }
