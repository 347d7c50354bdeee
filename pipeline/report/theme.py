"""Colours of the figures, in light and in dark.

The order of colours is after Okabe and Ito's palette ("Color universal design", 2008), which people
with any kind of colour vision tell apart, each darkened or lightened until it has a contrast of
3 : 1 against the background.
"""

from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
COLOURS = ("#0072b2", "#d55e00", "#00805c", "#b5538c", "#9a6a00", "#2f8fc7", "#6f4bb8", "#6b7280")
TEXT, LINE, AXIS, PAPER = "#23282f", "#e4e7ec", "#7a8290", "#ffffff"
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "triangle-down", "star")
"""Told apart where colours are not."""

IN_THE_DARK = {
    **dict(
        zip(
            COLOURS,
            (
                "#5ab4f0",
                "#ff9b52",
                "#3ecf9f",
                "#eba3cd",
                "#f0c84a",
                "#a6dcfa",
                "#bda4f0",
                "#a3acb9",
            ),
            strict=True,
        )
    ),
    TEXT: "#e4e7eb",
    LINE: "#333a44",
    AXIS: "#7d8794",
    PAPER: "#14171b",
}
"""What takes the place of each colour on a dark background."""


def theme() -> dict[str, Any]:
    """A template of plotly's, in the colours of the light."""
    axes = {"gridcolor": LINE, "linecolor": AXIS, "zerolinecolor": AXIS, "tickcolor": AXIS}
    flat = {**axes, "automargin": True, "title": {"standoff": 10, "font": {"size": 13}}}
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": TEXT},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": list(COLOURS),
            "colorscale": {"sequential": "Cividis"},
            "margin": {"l": 12, "r": 12, "t": 14, "b": 12},
            "xaxis": {**flat, "showgrid": False, "showline": True, "ticks": "outside"},
            "yaxis": {**flat, "ticklabelstandoff": 5},
            "annotationdefaults": {"font": {"size": 13}},
            "scene": {"xaxis": axes, "yaxis": axes, "zaxis": axes},
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.18, "x": 0},
            "hoverlabel": {"font": {"family": FONT}},
            "hovermode": "closest",
            "dragmode": False,
        }
    }
