"""Power over time, with what the time was for."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from pipeline.choice import names_of_runs
from pipeline.report.data import Points, ReportData
from pipeline.report.pictures.picture import (
    Picture,
    blank,
    rounded,
    slug,
    spread_over,
)
from pipeline.report.quantities import unit_of, worth_of_energy
from pipeline.report.theme import COLOURS
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

POINTS = 1000


class Window(NamedTuple):
    """A stretch of the training."""

    name: str
    start_s: float
    end_s: float


def power(data: ReportData) -> Iterator[Picture]:
    """One picture per leader whose epochs were metered; an epoch's power is its mean."""
    runs = {run.run_id: run for run in data.runs}
    names = names_of_runs(data.runs)
    metered = [(runs.get(run_id), *_epochs(each)) for run_id, each in data.histories.items()]
    known = [(run, edges, watts) for run, edges, watts in metered if run is not None and watts]
    for number, (run, edges, watts) in enumerate(known, 1):
        yield _of_run(number, run, names[run.run_id], edges, watts)


def _epochs(history: Mapping[str, Points]) -> tuple[list[float], list[float]]:
    """Edges in seconds, shape (epochs + 1,), and the watts between them, shape (epochs,)."""
    energies = {step: value for step, _, value in history.get("epoch_energy_j", ())}
    edges, watts = [0.0], []
    for number, (step, _, time_s) in enumerate(sorted(history.get("epoch_time_s", ())), 1):
        # An epoch that is missing would move all that follow.
        if step != number or step not in energies or time_s <= 0:
            return [], []
        edges.append(edges[-1] + time_s)
        watts.append(energies[step] / time_s)
    return edges, watts


def _windows(run: "RecordedRun", edges: Sequence[float]) -> tuple[Window, ...]:
    """The way to the target, and the epochs in which it was held."""
    held = int(run.parameters["patience"])
    if run.tags.get("outcome") != Outcome.REACHED or held >= len(edges):
        return (Window("all epochs", edges[0], edges[-1]),)
    there = edges[-1 - held]
    held_for = f"held for {held} {'epoch' if held == 1 else 'epochs'}"
    windows = (Window("to the target", edges[0], there), Window(held_for, there, edges[-1]))
    return tuple(window for window in windows if window.end_s > window.start_s)


def _of_run(
    number: int, run: "RecordedRun", name: str, edges: Sequence[float], watts: Sequence[float]
) -> Picture:
    worth = worth_of_energy([run]).value
    unit = unit_of("epoch_time_s", [edges[-1]])
    figure = blank(height=360, showlegend=False, margin={"t": 40})
    kept = spread_over(len(edges), POINTS)
    until_the_end = [*watts, watts[-1]]
    figure.add_scatter(
        x=rounded((edges[index] / unit.size for index in kept), 6),
        y=rounded(until_the_end[index] for index in kept),
        mode="lines",
        line={"color": COLOURS[0], "shape": "hv", "width": 2},
        hovertemplate=f"%{{x}} {unit.name}: %{{y}} W<extra></extra>",
    )
    windows = _windows(run, edges)
    for place, window in enumerate(windows):
        side = ("left", window.start_s) if place == 0 else ("right", window.end_s)
        figure.add_vrect(
            x0=window.start_s / unit.size,
            x1=window.end_s / unit.size,
            fillcolor=COLOURS[1 + place],
            opacity=0.15,
            layer="below",
            line_width=0,
            annotation={
                "text": window.name,
                "x": side[1] / unit.size,
                "y": 1,
                "xanchor": side[0],
                "yanchor": "bottom",
            },
        )
    figure.update_xaxes(title_text=f"time ({unit.name})")
    figure.update_yaxes(title_text=f"power (W, {worth})", rangemode="tozero")
    areas = sum((b - a) * watt for (a, b), watt in zip(pairwise(edges), watts, strict=True))
    marked = "; ".join(
        f"{each.name}, {unit.written(each.end_s - each.start_s)} {unit.name}" for each in windows
    )
    return Picture(
        name=f"power-{number}-{slug(run.name)[:40]}",
        choice=name,
        title=f"Power of {name}",
        says=(
            f"Mean power of each epoch, its energy over its time; {worth}, "
            f"{areas / (edges[-1] - edges[0]):.3g} W on average. Marked: {marked}."
        ),
        figure=figure,
    )
