"""The fixed-point grid, and how fast samplers find its best point."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, product

import numpy as np
import plotly.graph_objects as go

from pipeline.report.data import GridPoint, ReportData, SamplerTrace, Table
from pipeline.report.pictures.picture import Picture, blank, plain, rounded
from pipeline.report.theme import COLOURS, SYMBOLS
from steps.parsing import count

DATA, WEIGHTS = "bits of the data (width.fraction)", "bits of the weights (width.fraction)"
COLOURBAR = {"title": {"text": "accuracy", "font": {"size": 13}}, "thickness": 12}
HALF = 0.38
"""Half the width of a tower, of which one stands at each whole number."""
MOST_WRITTEN = 80
# Two triangles per side of a box whose corner k has the bits of k as its coordinates.
CORNERS = tuple(product((0, 1), repeat=3))
TRIANGLES = (
    (0, 1, 3),
    (0, 3, 2),
    (4, 6, 7),
    (4, 7, 5),
    (0, 4, 5),
    (0, 5, 1),
    (2, 3, 7),
    (2, 7, 6),
    (0, 2, 6),
    (0, 6, 4),
    (1, 5, 7),
    (1, 7, 3),
)


def heat_map(data: ReportData) -> Iterator[Picture]:
    """Accuracy by the bits of data and weights."""
    if data.grid is None or not data.grid.points:
        return
    best = _best_of_each(data.grid.points)
    down, across = _sides(best)
    cells = [[_accuracy(best, d, w) for w in across] for d in down]
    figure = blank(height=140 + 46 * len(down))
    figure.add_heatmap(
        x=[plain(width) for width in across],
        y=[plain(width) for width in down],
        z=cells,
        texttemplate="%{z:.3f}" if len(best) <= MOST_WRITTEN else None,
        hovertemplate="data %{y}, weights %{x}: %{z}<extra></extra>",
        colorscale="Cividis",
        colorbar=COLOURBAR,
        xgap=2,
        ygap=2,
    )
    figure.update_xaxes(type="category", title_text=WEIGHTS)
    figure.update_yaxes(type="category", title_text=DATA, autorange="reversed")
    top = max(best.values(), key=lambda point: (point.accuracy, -(point.average_bitwidth or 0)))
    yield Picture(
        name="fixed-point-heat-map",
        choice="heat map",
        title="Accuracy by bits",
        says=(
            f"Validation accuracy of the model of {data.grid.of}. Of {len(best)} points, data "
            f"{top.data} with weights {top.weights} is the most accurate: {top.accuracy:.4f}."
        ),
        figure=figure,
        numbers=Table(
            "",
            "Accuracy by bits of data (rows) and of weights (columns)",
            ("data", *across),
            [
                (d, *("-" if a is None else f"{a:.4f}" for a in row))
                for d, row in zip(down, cells, strict=True)
            ],
        ),
    )


def towers(data: ReportData) -> Iterator[Picture]:
    """The same as bars in three dimensions."""
    if data.grid is None or not data.grid.points:
        return
    best = _best_of_each(data.grid.points)
    down, across = _sides(best)
    figure = blank(height=520)
    figure.add_trace(_boxes(best, down, across))
    ticks = {"tickmode": "array"}
    figure.update_layout(
        scene={
            "xaxis": {**ticks, "tickvals": list(range(len(across))), "ticktext": across}
            | {"title": {"text": "weights"}},
            "yaxis": {**ticks, "tickvals": list(range(len(down))), "ticktext": down}
            | {"title": {"text": "data"}},
            "zaxis": {"title": {"text": "accuracy"}, "rangemode": "tozero"},
            "camera": {"eye": {"x": 1.5, "y": -1.6, "z": 1.0}},
            "dragmode": "orbit",
        },
    )
    yield Picture(
        name="fixed-point-towers",
        choice="3-D bars",
        title="Accuracy by bits, as bars",
        says="The same points; the higher, the more accurate. Drag to turn it.",
        figure=figure,
    )


def _best_of_each(grid: Sequence[GridPoint]) -> dict[tuple[str, str], GridPoint]:
    """Several points share bits where these differ by layer, or seed."""
    best: dict[tuple[str, str], GridPoint] = {}
    for point in grid:
        known = best.get((point.data, point.weights))
        if known is None or point.accuracy > known.accuracy:
            best[point.data, point.weights] = point
    return best


def _sides(best: dict[tuple[str, str], GridPoint]) -> tuple[list[str], list[str]]:
    """Bits of the data and of the weights, the widest first."""
    down, across = ({key[side] for key in best} for side in (0, 1))
    return sorted(down, key=_bits, reverse=True), sorted(across, key=_bits, reverse=True)


def _bits(written: str) -> tuple[int, ...]:
    return tuple(count(part) or 0 for part in written.split("."))


def _accuracy(best: dict[tuple[str, str], GridPoint], data: str, weights: str) -> float | None:
    point = best.get((data, weights))
    return None if point is None else point.accuracy


def _boxes(
    best: dict[tuple[str, str], GridPoint], down: Sequence[str], across: Sequence[str]
) -> go.Mesh3d:
    xs: list[float] = []
    ys: list[float] = []
    zs: list[float] = []
    heat: list[float] = []
    sides: list[list[int]] = []
    for (data, weights), point in best.items():
        first = len(xs)
        at_x, at_y = across.index(weights), down.index(data)
        for right, back, top in CORNERS:
            xs.append(at_x + HALF * (2 * right - 1))
            ys.append(at_y + HALF * (2 * back - 1))
            zs.append(point.accuracy * top)
            heat.append(point.accuracy)
        sides += [[first + corner for corner in triangle] for triangle in TRIANGLES]
    i, j, k = zip(*sides, strict=True)
    return go.Mesh3d(
        x=rounded(xs),
        y=rounded(ys),
        z=rounded(zs),
        i=i,
        j=j,
        k=k,
        intensity=rounded(heat),
        colorscale="Cividis",
        flatshading=True,
        lighting={"ambient": 0.75, "diffuse": 0.5},
        colorbar=COLOURBAR,
        hovertemplate="accuracy %{z:.4f}<extra></extra>",
    )


def samplers(data: ReportData) -> Iterator[Picture]:
    """The best point found so far, over evaluations: median over seeds, and quartiles."""
    by_sampler: dict[str, list[SamplerTrace]] = {}
    for trace in data.grid.walks if data.grid else ():
        if trace.scores:
            by_sampler.setdefault(trace.sampler, []).append(trace)
    if data.grid is None or len(by_sampler) < 2:
        return
    figure = blank(height=420)
    told = []
    for number, (sampler, traces) in enumerate(by_sampler.items()):
        colour = COLOURS[number % len(COLOURS)]
        low, middle, high = _quartiles(traces)
        at = list(range(1, len(middle) + 1))
        if len(traces) > 1:
            for edge, fill in ((low, "none"), (high, "tonexty")):
                figure.add_scatter(
                    x=at,
                    y=rounded(edge),
                    fill=fill,
                    mode="lines",
                    line={"color": colour, "shape": "hv", "width": 0.5},
                    opacity=0.4,
                    hoverinfo="skip",
                    showlegend=False,
                )
        figure.add_scatter(
            x=at,
            y=rounded(middle),
            name=plain(sampler),
            line={"color": colour, "shape": "hv"},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 7},
            mode="lines+markers",
            hovertemplate="%{y} after %{x} evaluations",
        )
        needed = [_until_best(trace.scores) for trace in traces]
        told.append((sampler, str(len(traces)), f"{np.median(needed):g}", f"{middle[-1]:.4f}"))
    figure.update_xaxes(title_text="evaluations", rangemode="tozero")
    figure.update_yaxes(title_text="best objective so far")
    says = "; ".join(f"{name} found its best after {median}" for name, _, median, _ in told)
    yield Picture(
        name="samplers",
        choice="samplers",
        title="How fast the best point is found",
        says=(
            f"By {data.grid.objective}: the median over seeds, with the middle "
            f"half of them. In the median, {says} evaluations."
        ),
        figure=figure,
        numbers=Table(
            "",
            "Samplers on this grid",
            ("sampler", "searches", "evaluations until its best, median", "best, median"),
            told,
        ),
    )


def _quartiles(traces: Sequence[SamplerTrace]) -> tuple[list[float], list[float], list[float]]:
    """Of the best so far, over evaluations, as far as all of them go."""
    shortest = min(len(trace.scores) for trace in traces)
    best = np.array([list(accumulate(trace.scores, max))[:shortest] for trace in traces])
    low, middle, high = np.quantile(best, (0.25, 0.5, 0.75), axis=0)
    return low.tolist(), middle.tolist(), high.tolist()


def _until_best(scores: Sequence[float]) -> int:
    return int(np.argmax(scores)) + 1
