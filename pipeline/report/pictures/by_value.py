"""What pictures of a hyperparameter's values have in common."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pipeline.choice import Interval
from pipeline.report.data import Table
from pipeline.report.pictures.picture import plain, tick
from pipeline.report.quantities import Unit
from pipeline.report.theme import TEXT

if TYPE_CHECKING:
    from pipeline.effects import Effect
    from pipeline.tracking import RecordedRun

NO_VALUE = "(none)"
ByValue = Mapping[str, Interval]
"""A metric over the values of a hyperparameter, in their order; those without it are missing."""


def over_values(
    effect: "Effect", metric: str, runs: Iterable["RecordedRun"] = ()
) -> dict[str, Interval]:
    """A metric by value.

    The test accuracy is no effect, since it must not decide: it is the plain mean of these runs.
    """
    if metric == "test_accuracy":
        return _plain_means(effect, metric, list(runs))
    return {level.value: level.means[metric] for level in effect.levels if metric in level.means}


def _plain_means(
    effect: "Effect", metric: str, runs: Sequence["RecordedRun"]
) -> dict[str, Interval]:
    means = {}
    for level in effect.levels:
        values = [
            run.metrics[metric]
            for run in runs
            if metric in run.metrics and _belongs(run.parameters.get(effect.parameter), level.value)
        ]
        if values:
            means[level.value] = Interval(statistics.fmean(values), None, None)
    return means


def _belongs(value: str | None, level: str) -> bool:
    if value is None or value == level:
        return value == level
    low, _, high = (_number(part) for part in level.partition(" to "))
    number = _number(value)
    if low is None or number is None:
        return False
    # The limits of a range are written with three digits.
    return math.isclose(number, low, rel_tol=5e-3) or (
        high is not None and low <= number <= high * (1 + 5e-3)
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def categories(by_value: ByValue) -> dict[str, object]:
    """An axis of the values, none of which is written over the next panel."""
    names = [value or NO_VALUE for value in by_value]
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": [plain(name) for name in names],
        "ticktext": [tick(name) for name in names],
    }


def whiskers(by_value: ByValue, unit: Unit) -> Iterator[go.Scatter]:
    """The intervals alone, for a panel that shows the means already.

    A trace of their own, since plotly draws an unknown limit as one of length 0: as certainty.
    """
    known = {
        value: (each.mean, each.low, each.high)
        for value, each in by_value.items()
        if each.low is not None and each.high is not None
    }
    if known:
        yield go.Scatter(
            x=[plain(value) or NO_VALUE for value in known],
            y=[unit.of(mean) for mean, _, _ in known.values()],
            error_y={
                "array": [unit.of(high - mean) for mean, _, high in known.values()],
                "arrayminus": [unit.of(mean - low) for mean, low, _ in known.values()],
                "color": TEXT,
                "thickness": 1.2,
                "width": 4,
            },
            mode="markers",
            marker={"opacity": 0},
            hoverinfo="skip",
        )


def numbers(
    effect: "Effect",
    columns: Mapping[str, ByValue],
    units: Mapping[str, Unit],
    titles: Sequence[str],
) -> Table:
    """A row per value.

    Args:
        effect: of the hyperparameter.
        columns: by metric, what it is at each value.
        units: by metric.
        titles: of the columns.
    """
    rows = [
        (
            level.value or NO_VALUE,
            f"{level.reached} of {level.runs}",
            *(_cell(by_value.get(level.value), units[m]) for m, by_value in columns.items()),
        )
        for level in effect.levels
    ]
    headings = (effect.parameter, "runs that reached the target", *titles)
    return Table("", "Mean, with its 95 % interval where that is known", headings, rows)


def _cell(interval: Interval | None, unit: Unit) -> str:
    if interval is None:
        return "-"
    mean = unit.written(interval.mean)
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} ({unit.written(interval.low)} to {unit.written(interval.high)})"
