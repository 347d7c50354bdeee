"""What is told of each value of a hyperparameter, and which runs may tell it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.choice import Interval
from pipeline.choice.objectives import LEAST, MOST
from pipeline.effects.additive import Estimate, Repeats
from pipeline.effects.grouped import Grouped, Indices
from pipeline.search.objective import OBJECTIVES, Objective
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

REACHED = frozenset({Outcome.REACHED})
TO_THE_END = frozenset({Outcome.REACHED, Outcome.BUDGET_EXHAUSTED})
ALL = frozenset({*TO_THE_END, Outcome.CAPPED, Outcome.DIVERGED})
KNOWN_WHETHER_REACHED = ALL - {Outcome.CAPPED}


@dataclass(frozen=True)
class Measure:
    """A quantity of a run.

    Attributes:
        name: as a metric of a run would be called.
        of: of a run; None where it was not measured.
        outcomes: of the runs that may tell it.
        multiplies: whether effects multiply, as those on a cost do; else they add.
    """

    name: str
    of: "Callable[[RecordedRun], float | None]"
    outcomes: frozenset[Outcome]
    multiplies: bool = True

    def interval(self, estimate: Estimate) -> Interval:
        """On the scale of the quantity; of a cost it is the geometric mean, and factors of it."""
        if not self.multiplies:
            return Interval(estimate.value, estimate.low, estimate.high)
        low, high = estimate.low, estimate.high
        return Interval(
            math.exp(estimate.value),
            None if low is None else math.exp(low),
            None if high is None else math.exp(high),
        )


def per_epoch(objective: Objective, finding_lr: str) -> "Callable[[RecordedRun], float | None]":
    """What an epoch cost on average, without what a training pays once.

    That is compiling and finding a learning rate: shared out over the epochs they would make an
    epoch look cheaper the more of them there were.
    """

    def of(run: "RecordedRun") -> float | None:
        cost, compiling = objective.of(run), objective.compiling(run)
        if cost is None or compiling is None or not run.metrics.get("epochs"):
            return None
        return (cost - compiling - run.metrics.get(finding_lr, 0.0)) / run.metrics["epochs"]

    return of


def _recorded(metric: str) -> "Callable[[RecordedRun], float | None]":
    return lambda run: run.metrics.get(metric)


def _reached(run: "RecordedRun") -> float:
    return float(run.tags["outcome"] == Outcome.REACHED)


ENERGY = Measure("energy_to_accuracy_j", _recorded("energy_to_accuracy_j"), REACHED)
TIME = Measure("time_to_accuracy_s", _recorded("time_to_accuracy_s"), REACHED)
EPOCHS = Measure("epochs", _recorded("epochs"), REACHED)
ENERGY_PER_EPOCH = Measure(
    "energy_per_epoch_j", per_epoch(OBJECTIVES["energy"], "find_lr_energy_j"), ALL
)
TIME_PER_EPOCH = Measure("time_per_epoch_s", per_epoch(OBJECTIVES["time"], "find_lr_time_s"), ALL)
ACCURACY = Measure("val_accuracy", _recorded("val_accuracy"), TO_THE_END, multiplies=False)
REACHING = Measure("reached", _reached, KNOWN_WHETHER_REACHED, multiplies=False)
"""A run that was given up might have reached its target, or not."""

MEASURES = (ENERGY, TIME, EPOCHS, ENERGY_PER_EPOCH, TIME_PER_EPOCH, ACCURACY)
"""Of each value. None comes from the test part of the data: it says nothing that could decide."""


@dataclass(frozen=True)
class Told:
    """A measure over the configurations that tell it.

    Attributes:
        of: int, shape (configurations that tell,): which ones.
        repeats: what they say, logarithms where effects multiply.
        least_variance: of a repeat, as far as the kind of measure tells.
    """

    of: Indices
    repeats: Repeats
    least_variance: float = 0.0


def told(measure: Measure, grouped: Grouped) -> Told:
    """What the runs tell.

    Runs of one configuration and seed are one repeat: they take the same epochs again.
    """
    values = np.array([_value(measure, run) for run in grouped.runs], np.float64)
    telling = np.isfinite(values)
    _, first, of_repeat = np.unique(grouped.repeat[telling], return_index=True, return_inverse=True)
    each = np.bincount(of_repeat, values[telling]) / np.bincount(of_repeat)
    which, of = np.unique(grouped.configuration[telling][first], return_inverse=True)
    if measure is REACHING:
        return _all_or_not(which, np.bincount(of, each == 1) == np.bincount(of))
    count = np.bincount(of).astype(np.float64)
    mean = np.bincount(of, each) / count
    return Told(which, Repeats(mean, count, float(((each - mean[of]) ** 2).sum())))


def _all_or_not(which: Indices, all_reached: npt.NDArray[np.bool_]) -> Told:
    """Whether all repeats reached the target, as it takes to be ranked; then repeats say no more.

    Where all did, or all of one value and none of another, nothing seems to scatter: the variance
    is at least that of a share, one more hit and one more miss added to it.
    """
    reached = all_reached.astype(np.float64)
    share = (reached.sum() + 1) / (len(reached) + 2)
    return Told(which, Repeats(reached, np.ones_like(reached), 0.0), float(share * (1 - share)))


def _value(measure: Measure, run: "RecordedRun") -> float:
    if run.tags.get("outcome") not in measure.outcomes:
        return math.nan
    value = measure.of(run)
    if value is None or not abs(value) < MOST:
        return math.nan
    if measure.multiplies:
        return math.log(value) if value > LEAST else math.nan
    return value
