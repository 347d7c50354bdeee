"""Why a batch size pays or not: it moves the epochs and the energy of each in opposite ways."""

from collections.abc import Iterator

from pipeline.report.data import ReportData
from pipeline.report.pictures import panels
from pipeline.report.pictures.by_value import NO_VALUE, categories, numbers, over_values, whiskers
from pipeline.report.pictures.picture import Picture, blank, plain
from pipeline.report.quantities import doubt, named, unit_of
from pipeline.report.theme import COLOURS

SHOWN = ("energy_per_epoch_j", "epochs", "energy_to_accuracy_j")


def per_epoch(data: ReportData) -> Iterator[Picture]:
    """Energy per epoch, epochs, and their product, over the batch size."""
    effects = data.effects.effects if data.effects else ()
    effect = next((each for each in effects if each.parameter == "batch_size"), None)
    if effect is None or not over_values(effect, SHOWN[0]):
        return
    columns = {metric: over_values(effect, metric) for metric in SHOWN}
    shown = {metric: by_value for metric, by_value in columns.items() if by_value}
    units = {m: unit_of(m, [each.mean for each in told.values()]) for m, told in shown.items()}
    titles = [named(metric, units[metric], doubt(metric, data.runs)) for metric in shown]
    figure = blank(showlegend=False, **panels.layout(titles, len(shown), 320))
    for number, (metric, by_value) in enumerate(shown.items()):
        at = {"xaxis": panels.axis("x", number), "yaxis": panels.axis("y", number)}
        figure.add_scatter(
            x=[plain(value) or NO_VALUE for value in by_value],
            y=[units[metric].of(each.mean) for each in by_value.values()],
            mode="lines+markers",
            marker={"size": 9},
            line={"color": COLOURS[number]},
            hovertemplate="batch size %{x}: %{y}<extra></extra>",
            **at,
        )
        for trace in whiskers(by_value, units[metric]):
            figure.add_trace(trace.update(at))
        along = {**categories(by_value), "title": {"text": "batch size"}}
        figure.update_layout(
            {
                panels.axis("xaxis", number): along,
                panels.axis("yaxis", number): {"rangemode": "tozero"},
            }
        )
    yield Picture(
        name="energy-per-epoch",
        choice="batch size",
        title="Energy per epoch against batch size",
        says=(
            "A larger batch takes fewer gradient steps in an epoch, and often more epochs. What "
            "training costs is about the product of the two."
        ),
        figure=figure,
        numbers=numbers(effect, shown, units, titles),
        narrow=panels.layout(titles, 1, 260),
    )
