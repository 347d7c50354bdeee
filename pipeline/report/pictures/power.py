"""Power over time, with the windows that were metered."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from pipeline.report.data import Points, PowerTrace, PowerWindow, ReportData
from pipeline.report.pictures.picture import Picture, blank, plain, rounded, slug, spread_over
from pipeline.report.quantities import worth_of_energy
from pipeline.report.theme import COLOURS

POINTS = 1000
MOST_WINDOWS = 12


def power(data: ReportData) -> Iterator[Picture]:
    """One picture per recorded trace; of the first leader's epochs where there is none."""
    traces = list(data.power) or list(_by_epoch(data))
    for number, trace in enumerate(traces):
        yield _of_trace(number, trace, recorded=bool(data.power))


def _by_epoch(data: ReportData) -> Iterator[PowerTrace]:
    """The mean power of each epoch is its energy over its time."""
    runs = {run.run_id: run for run in data.runs}
    for run_id, history in data.histories.items():
        edges, watts = _epochs(history)
        if not watts or run_id not in runs:
            continue
        yield PowerTrace(
            name=runs[run_id].name,
            at_s=edges,
            power_w=[*watts, watts[-1]],
            worth=worth_of_energy([runs[run_id]]).value,
            windows=(PowerWindow("epochs", edges[0], edges[-1]),),
        )


def _epochs(history: Mapping[str, Points]) -> tuple[list[float], list[float]]:
    """Edges in seconds, shape (epochs + 1,), and the watts between them, shape (epochs,)."""
    energies = {step: value for step, _, value in history.get("epoch_energy_j", ())}
    edges, watts = [0.0], []
    for step, _, time_s in sorted(history.get("epoch_time_s", ())):
        if step not in energies or time_s <= 0:
            return [], []
        edges.append(edges[-1] + time_s)
        watts.append(energies[step] / time_s)
    return edges, watts


def _of_trace(number: int, trace: PowerTrace, *, recorded: bool) -> Picture:
    kept = spread_over(len(trace.at_s), POINTS)
    figure = blank(height=360, showlegend=False, margin={"t": 48})
    figure.add_scatter(
        x=rounded((trace.at_s[index] for index in kept), 6),
        y=rounded(trace.power_w[index] for index in kept),
        mode="lines",
        line={"color": COLOURS[0], "shape": "linear" if recorded else "hv", "width": 1.5},
        fill="tozeroy",
        hovertemplate="%{x} s: %{y} W<extra></extra>",
    )
    windows = trace.windows[:MOST_WINDOWS]
    for place, window in enumerate(windows):
        figure.add_vrect(
            x0=window.start_s,
            x1=window.end_s,
            fillcolor=COLOURS[(1 + place) % len(COLOURS)],
            opacity=0.12,
            line_width=0,
            annotation={
                "text": plain(window.name),
                "x": window.start_s,
                "y": 1,
                "xanchor": "left",
                "yanchor": "bottom",
                # Names of short windows would stand on each other.
                "yshift": 15 * (place % 2),
            },
        )
    figure.update_xaxes(title_text="time (s)")
    figure.update_yaxes(title_text=f"power (W, {trace.worth})", rangemode="tozero")
    return Picture(
        name=f"power-{number + 1}-{slug(trace.name)[:40]}",
        choice=trace.name,
        title=f"Power of {trace.name}",
        says=_says(trace, recorded=recorded),
        figure=figure,
    )


def _says(trace: PowerTrace, *, recorded: bool) -> str:
    mean = _mean(trace)
    told = "Power as it was sampled" if recorded else "Mean power of each epoch, its energy / time"
    windows = ", ".join(
        f"{window.name} from {window.start_s:.3g} s to {window.end_s:.3g} s"
        for window in trace.windows[:MOST_WINDOWS]
    )
    marked = f" Marked: {windows}." if windows else ""
    return f"{told}; {trace.worth}, {mean:.3g} W on average.{marked}"


def _mean(trace: PowerTrace) -> float:
    steps = list(pairwise(trace.at_s))
    if not steps:
        return trace.power_w[0]
    areas = sum((b - a) * w for (a, b), w in zip(steps, trace.power_w, strict=False))
    return areas / (trace.at_s[-1] - trace.at_s[0])
