"""A trial: one configuration of a search that was trained, and what the search knows of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.search.parameters import Point
from pipeline.search.pruning import lower_bound
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
    """

    number: int
    point: Point
    config_id: str
    outcome: str
    spent: float | None
    val_accuracy: float = 0.0

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
