"""What things cost, over the values of any one hyperparameter."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from pipeline.report.data import ReportData
from pipeline.report.effects_in_words import about
from pipeline.report.pictures import panels
from pipeline.report.pictures.by_value import (
    NO_VALUE,
    ByValue,
    categories,
    numbers,
    over_values,
    whiskers,
)
from pipeline.report.pictures.picture import Picture, blank, plain, slug
from pipeline.report.quantities import Unit, doubt, named, unit_of
from pipeline.report.theme import COLOURS, PAPER

if TYPE_CHECKING:
    from pipeline.effects import Effect

PANELS = (
    "energy_to_accuracy_j",
    "time_to_accuracy_s",
    "epochs",
    "energy_per_epoch_j",
    "time_per_epoch_s",
    "test_accuracy",
)
ESTIMATE = {"shape": "/", "fillmode": "overlay", "fgcolor": PAPER, "fgopacity": 0.35, "size": 7}
"""Bars of estimates are hatched."""


def bars(data: ReportData) -> Iterator[Picture]:
    """For each hyperparameter that has an effect, its bars."""
    for effect in data.effects.effects if data.effects else ():
        columns = {metric: over_values(effect, metric, data.runs) for metric in PANELS}
        shown = {metric: by_value for metric, by_value in columns.items() if by_value}
        if shown:
            yield _of_parameter(data, effect, shown)


def _of_parameter(data: ReportData, effect: "Effect", shown: Mapping[str, ByValue]) -> Picture:
    units = {m: unit_of(m, [each.mean for each in told.values()]) for m, told in shown.items()}
    doubts = {metric: doubt(metric, data.runs) for metric in shown}
    titles = [named(metric, units[metric], doubts[metric]) for metric in shown]
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    figure = blank(
        showlegend=False,
        # What would have to be tiny to fit into its bar is in the table below.
        uniformtext={"minsize": 10, "mode": "hide"},
        **panels.layout(titles, columns, 290),
    )
    for number, (metric, by_value) in enumerate(shown.items()):
        _panel(figure, number, by_value, units[metric], hatched="estimated" in doubts[metric])
    return Picture(
        name=f"bars-{slug(effect.parameter)}",
        choice=effect.parameter,
        title=f"Over {effect.parameter}",
        says=f"{about(effect)} Whiskers are 95 % intervals; the test accuracy is a plain mean.",
        figure=figure,
        numbers=numbers(effect, shown, units, titles),
        narrow=panels.layout(titles, 1, 240),
    )


def _panel(figure: go.Figure, number: int, by_value: ByValue, unit: Unit, *, hatched: bool) -> None:
    means = [unit.of(each.mean) for each in by_value.values()]
    marker: dict[str, Any] = {"color": COLOURS[0]}
    at = {"xaxis": panels.axis("x", number), "yaxis": panels.axis("y", number)}
    figure.add_bar(
        x=[plain(value) or NO_VALUE for value in by_value],
        y=means,
        text=[f"{mean:g}" for mean in means],
        textposition="inside",
        insidetextanchor="start",
        insidetextfont={"color": PAPER},
        marker={**marker, "pattern": ESTIMATE} if hatched else marker,
        hovertemplate="%{x}: %{y}<extra></extra>",
        **at,
    )
    for trace in whiskers(by_value, unit):
        figure.add_trace(trace.update(at))
    figure.update_layout(
        {
            panels.axis("xaxis", number): categories(by_value),
            panels.axis("yaxis", number): {"rangemode": "tozero"},
        }
    )
