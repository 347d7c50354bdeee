"""A trial: one configuration of a search that was trained, and what the search knows of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.search.parameters import Point
from pipeline.search.pruning import SHORTFALL_WEIGHT, lower_bound
from steps.outcome import Outcome


@dataclass(frozen=True)
class Trial:
    """What a search remembers of a training.

    Attributes:
        number: counted from 0.
        point: of the space.
        config_id: of its configuration.
        outcome: how it ended.
        spent: in the unit of the objective; None where the training broke before it began.
        val_accuracy: the best of its epochs; 0 where there was none.
        figures: by which it is compared, each the better the less it is; None where it missed its
            target, or one of them was not recorded.
        training_id: shared by those of which one tells what the others cost; only `Search` asks.
    """

    number: int
    point: Point
    config_id: str
    outcome: str
    spent: float | None
    val_accuracy: float = 0.0
    figures: tuple[float, ...] | None = None
    training_id: str = ""

    @property
    def cost(self) -> float:
        """To the target; infinite where that was missed."""
        if self.outcome != Outcome.REACHED or self.spent is None:
            return math.inf
        return self.spent


def best_cost(trials: Sequence[Trial]) -> float:
    """The least; infinite where none reached the target."""
    return min((trial.cost for trial in trials), default=math.inf)


def values(trials: Sequence[Trial], slack: float, target: float) -> list[float]:
    """What a sampler is told of each trial, less is better: its cost, or a bound of it.

    A training that missed its target has spent more, for all that is known, than any that reached
    it: that it was given up early must not make it look cheap. As long as none reached it, only how
    far they were from it tells them apart: one that broke at once has spent the least.
    """
    best = best_cost(trials)
    costs = [trial.cost for trial in trials if math.isfinite(trial.cost)]
    at_least = max(costs or [trial.spent or 0.0 for trial in trials], default=0.0)

    def bound(trial: Trial) -> float:
        spent = trial.spent if costs and trial.spent is not None else at_least
        return max(at_least, lower_bound(spent, best, slack, target - trial.val_accuracy))

    return [trial.cost if math.isfinite(trial.cost) else bound(trial) for trial in trials]


def figures_told(
    trials: Sequence[Trial], count: int, target: float
) -> list[tuple[float, ...] | None]:
    """What a sampler is told of each trial where no single cost decides, less is better.

    A training that missed its target has no place among those that reached it, whatever it scored
    and however little it took to fail: it is told worse than all of them in everything, by their
    spread at least, and by more the further it was from the target.

    Args:
        trials: all so far.
        count: of their figures.
        target: the validation accuracy to reach.

    Returns:
        None for one that reached the target and has no figures: nothing is known of it.
    """
    known = [trial.figures for trial in trials if trial.figures is not None]
    axes = list(zip(*known, strict=True)) or [(0.0,)] * count

    def miss(trial: Trial) -> tuple[float, ...]:
        beyond = 1 + SHORTFALL_WEIGHT * max(0.0, target - trial.val_accuracy)
        return tuple(max(axis) + beyond * _spread(axis) for axis in axes)

    return [trial.figures if trial.outcome == Outcome.REACHED else miss(trial) for trial in trials]


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) or abs(values[0]) or 1.0
