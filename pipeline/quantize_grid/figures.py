"""Pictures of a grid: accuracy over the formats of data and weights, and samplers in a race."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.quantize_grid.comparison import Race
from pipeline.quantize_grid.objective import Result
from pipeline.quantize_grid.space import Format, Group, WidthSpace

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

Cell = tuple[str, str]
"""Formats of data and of weights."""

COLORS = "Viridis"
FLOOR = 0.0
"""Where bars begin: accuracies are compared by their lengths."""

HALF_A_BAR = 0.38
EYE = {"x": 1.6, "y": -1.9, "z": 1.2}
"""From where all of the bars are seen."""

NARROWEST = 0.01
"""Range of accuracies that the colours tell apart."""

PANELS_ABREAST = 2


def heat_map(space: WidthSpace, results: Iterable[Result]) -> "go.Figure":
    """Validation accuracy over the formats of data and weights; what was not evaluated is blank.

    One below the other for layers with formats of their own. Where more is chosen than a cell
    shows, such as the format of biases, it has the best of all points with its formats.
    """
    from plotly.subplots import make_subplots

    results = list(results)
    figure = make_subplots(len(space.groups), 1, subplot_titles=_titles(space))
    for row, group in enumerate(space.groups, 1):
        accuracies = _accuracies(row - 1, results)
        data, weights = _axes(group)
        cells = [[accuracies.get((d, w)) for d in data] for w in weights]
        figure.add_heatmap(
            x=data,
            y=weights,
            z=cells,
            text=[["" if cell is None else f"{cell:.4f}" for cell in line] for line in cells],
            texttemplate="%{text}",
            hovertemplate="data %{x}, weights %{y}: %{z:.4f}<extra></extra>",
            coloraxis="coloraxis",
            row=row,
            col=1,
        )
        figure.update_xaxes(type="category", title_text="data, bits.behind the point", row=row)
        title = "weights" if group.bias is None else "weights (best of the biases)"
        figure.update_yaxes(type="category", title_text=title, row=row)
    figure.update_layout(
        template="plotly_white",
        height=120 + 400 * len(space.groups),
        coloraxis=_colors(results),
    )
    return figure


def bars(space: WidthSpace, results: Iterable[Result]) -> "go.Figure":
    """The same cells as `heat_map`, each a bar as high as its accuracy."""
    from plotly.subplots import make_subplots

    results = list(results)
    rows = len(space.groups)
    figure = make_subplots(
        rows, 1, subplot_titles=_titles(space), specs=[[{"type": "scene"}]] * rows
    )
    for row, group in enumerate(space.groups, 1):
        data, weights = _axes(group)
        for (d, w), accuracy in _accuracies(row - 1, results).items():
            corners = _box(data.index(d), weights.index(w), accuracy)
            figure.add_mesh3d(
                **corners,
                intensity=[accuracy] * len(corners["x"]),
                coloraxis="coloraxis",
                flatshading=True,
                hovertemplate=f"data {d}, weights {w}: {accuracy:.4f}<extra></extra>",
                row=row,
                col=1,
            )
        figure.update_scenes(
            xaxis={"title": "data", "tickvals": list(range(len(data))), "ticktext": data},
            yaxis={"title": "weights", "tickvals": list(range(len(weights))), "ticktext": weights},
            zaxis={"title": "validation accuracy", "range": [FLOOR, 1]},
            camera={"eye": EYE},
            row=row,
            col=1,
        )
    figure.update_layout(
        template="plotly_white",
        height=120 + 560 * rows,
        coloraxis=_colors(results),
    )
    return figure


def race_figure(panels: Mapping[str, Sequence[Race]]) -> "Figure":
    """Evaluations until the best of each seed as a dot, and their mean with its 95 % interval.

    Args:
        panels: by title, the races of one grid.
    """
    from matplotlib.figure import Figure

    columns = min(len(panels), PANELS_ABREAST)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(0.5 + 4.2 * columns, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.ravel()[len(panels) :]:
        axis.remove()
    for axis, (title, of_grid) in zip(axes.ravel(), panels.items(), strict=False):
        for place, race in enumerate(of_grid):
            met = [each for each in race.evaluations if each is not None]
            # Seeds side by side, so that equal counts are seen to be many.
            across = place + np.linspace(-0.3, 0.3, max(2, len(met)))[: len(met)]
            axis.plot(across, met, ".", color="#8fbf9c", zorder=1)
            mean = race.mean_evaluations
            if mean is not None and mean.low is not None and mean.high is not None:
                spread = [[mean.value - mean.low], [mean.high - mean.value]]
                axis.errorbar(place, mean.value, spread, fmt="o", color="#c2571a", capsize=6)
        names = [_with_misses(race) for race in of_grid]
        axis.set_xticks(range(len(of_grid)), names)
        axis.set_title(title, fontsize="medium")
    # Only now: a limit that is set ends the scaling to what else is drawn, in all panels.
    axes[0, 0].set_ylim(bottom=0)
    figure.supylabel("evaluations until the best")
    return figure


def _with_misses(race: Race) -> str:
    misses = len(race.evaluations) - race.met
    return race.sampler + (f"\n(missed {misses} of {len(race.evaluations)})" if misses else "")


def _colors(results: Iterable[Result]) -> dict[str, object]:
    """The same in both pictures. Of bars of one colour each, plotly would find no range itself."""
    accuracies = [result.metrics["val_accuracy"] for result in results]
    low, high = min(accuracies, default=0.0), max(accuracies, default=1.0)
    return {
        "colorscale": COLORS,
        "cmin": min(low, high - NARROWEST),
        "cmax": high,
        "colorbar": {"title": "validation accuracy"},
    }


def _titles(space: WidthSpace) -> list[str]:
    if len(space.groups) == 1:
        return [space.groups[0].name]
    return [group.name or "all other layers" for group in space.groups]


def _axes(group: Group) -> tuple[list[str], list[str]]:
    return list(map(str, group.data.all)), list(map(str, group.weights.all))


def _accuracies(place: int, results: Iterable[Result]) -> dict[Cell, float]:
    """Best validation accuracy by the formats that the group of that place has."""
    best: dict[Cell, float] = {}
    for result in results:
        widths = result.point[place]
        data, weights = str(Format(*widths.data)), str(Format(*widths.weights))
        accuracy = result.metrics["val_accuracy"]
        best[data, weights] = max(best.get((data, weights), accuracy), accuracy)
    return best


def _box(x: float, y: float, height: float) -> dict[str, list[float]]:
    """Corners and triangles of a bar, as plotly's Mesh3d has them."""
    sides = (-HALF_A_BAR, HALF_A_BAR)
    corners = list(itertools.product(sides, sides, (FLOOR, height)))
    faces = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    triangles = [t for a, b, c, d in faces for t in ((a, b, c), (a, c, d))]
    return {
        "x": [x + corner[0] for corner in corners],
        "y": [y + corner[1] for corner in corners],
        "z": [corner[2] for corner in corners],
        **{
            name: list(ends) for name, ends in zip("ijk", zip(*triangles, strict=True), strict=True)
        },
    }
