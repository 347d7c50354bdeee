"""Numbers for people: units, digits, and what a number is worth."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pipeline.units import three_digits, worth

if TYPE_CHECKING:
    from pipeline.choice import Interval, Ranked
    from pipeline.tracking import RecordedRun

UNITS = {
    "_j": (("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3)),
    "_s": (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)),
    "_kg": (("kg", 1.0), ("g", 1e-3), ("mg", 1e-6), ("µg", 1e-9)),
    "_w": (("W", 1.0),),
    "_ms": (("ms", 1.0),),
}
"""By the ending of a metric's name: units and their size, the largest first."""

NAMES = {
    "energy_to_accuracy_j": "Energy",
    "energy_per_epoch_j": "Energy per epoch",
    "time_to_accuracy_s": "Time",
    "time_per_epoch_s": "Time per epoch",
    "emissions_to_accuracy_kg": "CO2e",
    "epochs": "Epochs",
    "test_accuracy": "Test accuracy",
    "val_accuracy": "Validation accuracy",
}


class Worth(StrEnum):
    """What a number is worth; on the page each looks different."""

    MEASURED = "measured"
    PARTLY = "partly estimated"
    ESTIMATED = "estimated"
    ABSENT = "absent"

    @property
    def css(self) -> str:
        """Its class in the page's style."""
        return f"worth-{self.name.lower()}"


@dataclass(frozen=True)
class Unit:
    """A unit of one quantity, and how much of the base unit it is."""

    name: str
    size: float = 1.0

    def of(self, value: float) -> float:
        """A value of the base unit in this one, with three digits."""
        return float(f"{value / self.size:.3g}")

    def written(self, value: float) -> str:
        """The number alone."""
        return three_digits(value / self.size)


@dataclass(frozen=True)
class Number:
    """A number on the page.

    Attributes:
        text: with its unit; empty where it is absent.
        between: limits of its interval, or empty.
        worth: what it is worth.
    """

    text: str
    between: str
    worth: Worth


def unit_of(metric: str, values: Iterable[float]) -> Unit:
    """The unit in which most of the values read well: one for a whole column or axis."""
    scales = next((scales for end, scales in UNITS.items() if metric.endswith(end)), ())
    sizes = [abs(value) for value in values if value]
    if not scales:
        return Unit("")
    if not sizes:
        return Unit(*next(scale for scale in scales if scale[1] == 1.0))
    middle = statistics.median(sizes)
    return Unit(*next((scale for scale in scales if middle >= scale[1]), scales[-1]))


def name_of(metric: str) -> str:
    """A metric's name for people."""
    if metric in NAMES:
        return NAMES[metric]
    end = next((end for end in UNITS if metric.endswith(end)), "")
    return metric.removesuffix(end).replace("_", " ").capitalize()


def named(metric: str, unit: Unit, *more: str) -> str:
    """A heading or an axis title: ``Energy (kJ, estimated)``."""
    told = ", ".join(part for part in (unit.name, *more) if part)
    return f"{name_of(metric)} ({told})" if told else name_of(metric)


def worth_of_energy(runs: Iterable["RecordedRun"]) -> Worth:
    """What the energy of these runs is worth; partly estimated where they differ."""
    kinds = {Worth(worth(run).strip("()")) for run in runs}
    if not kinds:
        return Worth.ABSENT
    return kinds.pop() if len(kinds) == 1 else Worth.PARTLY


def worth_of(metric: str, runs: Sequence["RecordedRun"]) -> Worth:
    """What a metric of these runs is worth.

    Emissions rest on a carbon intensity from a table, and are never more than an estimate.
    """
    if metric == "emissions_to_accuracy_kg":
        energy = worth_of_energy(runs)
        return energy if energy is Worth.ABSENT else Worth.ESTIMATED
    if "energy" in metric and metric.endswith("_j"):
        return worth_of_energy(runs)
    return Worth.MEASURED


def doubt(metric: str, runs: Sequence["RecordedRun"]) -> str:
    """For an axis: what its numbers are worth, or nothing where they were measured."""
    told = worth_of(metric, runs)
    return "" if told is Worth.MEASURED else told.value


def number(ranked: "Ranked", metric: str, unit: Unit | None = None) -> Number:
    """A metric of a configuration; with its unit, unless that stands elsewhere already."""
    interval = ranked.intervals.get(metric)
    mean = ranked.mean(metric) if interval is None else interval.mean
    if mean is None:
        return Number("", "", Worth.ABSENT)
    own = unit or unit_of(metric, [mean])
    shown = "" if unit or not own.name else f"\u00a0{own.name}"
    return Number(
        _digits(metric, own, mean) + shown,
        _between(interval, own, shown),
        worth_of(metric, ranked.runs),
    )


def _digits(metric: str, unit: Unit, value: float) -> str:
    if metric.endswith("accuracy"):
        return f"{value:.4f}"
    if metric == "epochs":
        return f"{value:.0f}" if value >= 10 or value.is_integer() else f"{value:.1f}"
    return unit.written(value)


def _between(interval: "Interval | None", unit: Unit, shown: str) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"{unit.written(interval.low)} to {unit.written(interval.high)}{shown}"
