"""The ranking as a table that can be sorted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.report.answer import differing
from pipeline.report.data import ReportData
from pipeline.report.quantities import Number, Unit, name_of, number, unit_of

if TYPE_CHECKING:
    from pipeline.choice import Interval, Ranked

METRICS = (
    "energy_to_accuracy_j",
    "emissions_to_accuracy_kg",
    "time_to_accuracy_s",
    "epochs",
    "test_accuracy",
)
MOST_ROWS = 500
"""More make the page slow, and nobody reads them there: all are in the file beside it."""
FAR_APART = 5
LEADERS = 15
"""Over whose intervals the whiskers' scale goes: one far behind would press all together."""


@dataclass(frozen=True)
class Whisker:
    """A mean and its interval as a small picture in a cell, in percent of the cell's width."""

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """A number in the table, and what to sort it by; None goes last."""

    number: Number
    order: float | None


@dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        place: from 1.
        name: of the configuration.
        config_id: likewise.
        told_apart: the hyperparameters that differ, in words.
        mark: ``first``, ``tied`` or empty.
        repeats: seeds.
        cells: one per column.
        whisker: of the first of them.
    """

    place: int
    name: str
    config_id: str
    told_apart: str
    mark: str
    repeats: int
    cells: Sequence[Cell]
    whisker: Whisker | None


@dataclass(frozen=True)
class Column:
    """A heading: what is in the column, and its unit, which all of its cells share."""

    name: str
    unit: str


@dataclass(frozen=True)
class Ranking:
    """The table.

    Attributes:
        columns: of numbers.
        rows: the first of the ranking.
        of: how many configurations were ranked.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    of: int


def ranking(data: ReportData) -> Ranking:
    """The ranking, as far as it is shown."""
    shown = data.choice.ranking[:MOST_ROWS]
    if not shown:
        return Ranking((), (), 0)
    metrics = [data.metric, *(metric for metric in METRICS if metric != data.metric)]
    units = {metric: _unit(metric, shown) for metric in metrics}
    leaders = shown[:LEADERS]
    scale = _Scale.over([ranked.intervals.get(data.metric) for ranked in leaders])
    tied = {ranked.config_id for ranked in data.choice.tied_with or ()}
    names = differing(shown)
    rows = [
        Row(
            place=place,
            name=ranked.name,
            config_id=ranked.config_id,
            told_apart=", ".join(
                f"{name}\u00a0{ranked.parameters.get(name) or '-'}" for name in names
            ),
            mark="first" if place == 1 else "tied" if ranked.config_id in tied else "",
            repeats=ranked.repeats,
            cells=[
                Cell(number(ranked, metric, units[metric]), _order(ranked, metric))
                for metric in metrics
            ],
            whisker=scale.whisker(ranked.intervals.get(data.metric)),
        )
        for place, ranked in enumerate(shown, 1)
    ]
    columns = [Column(name_of(metric), units[metric].name) for metric in metrics]
    return Ranking(columns, rows, len(data.choice.ranking))


def _unit(metric: str, shown: Sequence["Ranked"]) -> Unit:
    return unit_of(metric, [mean for each in shown if (mean := _mean(each, metric)) is not None])


def _mean(ranked: "Ranked", metric: str) -> float | None:
    interval = ranked.intervals.get(metric)
    return ranked.mean(metric) if interval is None else interval.mean


def _order(ranked: "Ranked", metric: str) -> float | None:
    mean = _mean(ranked, metric)
    return None if mean is None else float(f"{mean:.6g}")


@dataclass(frozen=True)
class _Scale:
    """From the least to the most of all intervals; by the logarithm where they lie far apart."""

    low: float
    high: float
    is_logarithm: bool

    @classmethod
    def over(cls, intervals: Sequence["Interval | None"]) -> "_Scale":
        ends = [
            end
            for each in intervals
            if each is not None
            for end in (each.mean, each.low, each.high)
            if end is not None
        ]
        low, high = min(ends, default=0.0), max(ends, default=0.0)
        return cls(low, high, 0 < low < high / FAR_APART)

    def whisker(self, interval: "Interval | None") -> Whisker | None:
        if self.high <= self.low or interval is None:
            return None
        if not self.low <= interval.mean <= self.high:
            return None
        at = self._percent(interval.mean)
        if interval.low is None or interval.high is None:
            return Whisker(at, at, at)
        return Whisker(at, self._percent(interval.low), self._percent(interval.high))

    def _percent(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.is_logarithm:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(100 * share, 1)
