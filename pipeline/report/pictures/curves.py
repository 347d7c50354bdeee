"""Loss of the leaders over epochs, gradient steps, seconds and joules."""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from pipeline.choice import names_of_runs
from pipeline.report.data import Points, ReportData
from pipeline.report.pictures.picture import (
    LOGARITHMIC,
    Picture,
    blank,
    plain,
    rounded,
    spread_over,
)
from pipeline.report.quantities import unit_of
from pipeline.report.theme import COLOURS, SYMBOLS

AXES = {"epochs": "", "steps": "", "seconds": "epoch_time_s", "joules": "epoch_energy_j"}
"""Where a metric has to be summed up to get there, its name."""
TITLES = {
    "epochs": "epochs",
    "steps": "gradient steps",
    "seconds": "time ({unit})",
    "joules": "energy ({unit})",
}
FEW_POINTS = 40
LOSSES = (("val_loss", "validation"), ("train_loss", "training"))


def curves(data: ReportData) -> Iterator[Picture]:
    """One picture per axis that any of the runs has."""
    names = names_of_runs(data.runs)
    for axis in AXES:
        along = {
            run_id: x
            for run_id, history in data.histories.items()
            if (x := _along(axis, history, data.steps_per_epoch.get(run_id)))
        }
        if along:
            yield _over(axis, data, names, along)


def _along(axis: str, history: Mapping[str, Points], steps: int | None) -> dict[int, float]:
    """Position on the axis by epoch; empty where the run does not know."""
    epochs = sorted({step for metric, _ in LOSSES for step, _, _ in history.get(metric, ())})
    if axis == "epochs":
        return {epoch: float(epoch) for epoch in epochs}
    if axis == "steps":
        return {epoch: float(epoch * steps) for epoch in epochs} if steps else {}
    spent = {step: value for step, _, value in history.get(AXES[axis], ())}
    # A sum with a gap in it would be too small from there on. MLflow thins out long curves.
    if epochs != list(range(1, len(epochs) + 1)) or any(epoch not in spent for epoch in epochs):
        return {}
    return dict(zip(epochs, accumulate(spent[epoch] for epoch in epochs), strict=True))


def _over(
    axis: str, data: ReportData, names: Mapping[str, str], along: Mapping[str, Mapping[int, float]]
) -> Picture:
    figure = blank(height=460)
    unit = unit_of(AXES[axis], [max(x.values()) for x in along.values()])
    for number, (run_id, positions) in enumerate(along.items()):
        for metric, kind in LOSSES:
            points = [
                (e, v) for e, _, v in data.histories[run_id].get(metric, ()) if e in positions
            ]
            kept = [points[index] for index in spread_over(len(points))] if points else []
            figure.add_scatter(
                x=rounded(positions[epoch] / unit.size for epoch, _ in kept),
                y=rounded(loss for _, loss in kept),
                name=plain(names.get(run_id, run_id)),
                legendgroup=run_id,
                showlegend=metric == "val_loss",
                line={
                    "dash": "solid" if metric == "val_loss" else "dot",
                    "color": COLOURS[number % len(COLOURS)],
                },
                opacity=1.0 if metric == "val_loss" else 0.55,
                marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 6},
                mode="lines+markers" if len(kept) <= FEW_POINTS else "lines",
                hovertemplate=f"{kind} loss %{{y}} at %{{x}}<extra>%{{fullData.name}}</extra>",
            )
    title = TITLES[axis].format(unit=unit.name)
    figure.update_xaxes(title_text=title, rangemode="tozero")
    figure.update_yaxes(title_text="loss", **LOGARITHMIC)
    return Picture(
        name=f"loss-{axis}",
        choice={"steps": "gradient steps"}.get(axis, axis),
        title=f"Loss against {title}",
        says=(
            f"{len(along)} of the leading runs: solid lines are the loss on validation rows, "
            "dotted ones on training rows. The vertical axis is logarithmic."
        ),
        figure=figure,
        narrow={"height": 460 + 22 * len(along)},
    )
