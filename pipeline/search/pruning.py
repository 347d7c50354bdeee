"""When to give a training up: rules that cost the search nothing but what could not win.

The goal is the least cost to a target, so a training is over for the search as soon as it has
spent more than the best finished one. What is known before that moment:

- *Cap*: more than `slack` times the best cost so far is no winner, noise allowed for. It holds
  within an epoch, too: one of a slow precision may cost many times the best training.
- *Compilation*: a training is not even begun where XLA, which nothing can interrupt, is known to
  take more than the cap (`pipeline.search.compilations`).
- *Streak*: the epochs in a row above the target that are still missing take at least as long as
  this epoch did; where the cap comes before their end, it may as well be now.
- *Envelope*: at each share of its way to the target, every training that got there had some
  accuracy. One that is further below the lowest of those, at the same share of the cap, has never
  been seen to catch up.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943) has its rungs in cost here, not in
epochs: small batches make slow epochs, and a rung in epochs would favour those.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

SLACK = 1.2
ENVELOPE_MARGIN = 0.05
"""Validation accuracy. Replays of a digits MLP: 0 lost the winner in 6 of 10, 0.05 in none."""

RUNGS = (0.25, 0.5)
"""Shares of the best cost at which halving looks."""


@dataclass(frozen=True)
class Standing:
    """A training at the end of an epoch, or within it.

    Attributes:
        spent: so far, in the unit of the objective, compilation of its graphs included.
        before: of that, before the first epoch.
        epochs: done.
        val_accuracy: the best so far.
        streak_missing: epochs in a row above the target that are still missing.
        is_within_epoch: what the present one gives is not known yet; the cap alone can tell.
    """

    spent: float
    before: float
    epochs: int
    val_accuracy: float
    streak_missing: int
    is_within_epoch: bool = False


class Pruning(Protocol):
    """Decides after each epoch and within it; learns from each training that reached the target."""

    def gives_up(self, standing: Standing) -> str:
        """The rule that ends the training here; empty to go on."""
        ...

    def learn(self, cost: float, accuracies: Sequence[float]) -> None:
        """A training reached the target.

        Args:
            cost: of it all.
            accuracies: validation accuracy after each epoch.
        """
        ...


class Unpruned:
    """Every training goes on to its end."""

    def gives_up(self, standing: Standing) -> str:
        """Never."""
        return ""

    def learn(self, cost: float, accuracies: Sequence[float]) -> None:
        """Nothing to learn."""


@dataclass
class Cap:
    """Cap, streak and envelope."""

    slack: float = SLACK
    best: float = math.inf
    envelope: "Envelope" = field(default_factory=lambda: Envelope())

    @property
    def limit(self) -> float:
        """What a training may spend; infinite until one has reached the target."""
        return self.slack * self.best

    def gives_up(self, standing: Standing) -> str:
        """See the module."""
        if standing.spent > self.limit:
            return "cap"
        if standing.is_within_epoch:
            return ""
        training = standing.spent - standing.before
        per_epoch = training / standing.epochs
        if standing.spent + standing.streak_missing * per_epoch > self.limit:
            return "streak"
        # Compiling may have taken all of the limit: then this is the end of the way.
        left = self.limit - standing.before
        lowest = self.envelope.at(training / left if left else 1.0)
        return "envelope" if standing.val_accuracy < lowest - ENVELOPE_MARGIN else ""

    def learn(self, cost: float, accuracies: Sequence[float]) -> None:
        """The best may be a better one now, and the envelope a lower one."""
        self.best = min(self.best, cost)
        self.envelope.include(accuracies)


@dataclass
class Envelope:
    """The lowest accuracy that a training had at a share of its way and still got there."""

    _curves: list[list[float]] = field(default_factory=list)

    def include(self, accuracies: Sequence[float]) -> None:
        """One more training that got there."""
        best: list[float] = []
        for accuracy in accuracies:
            best.append(max(accuracy, best[-1] if best else 0.0))
        self._curves.append(best)

    def at(self, share: float) -> float:
        """At a share of the way, 0 to 1; minus infinity where no training is known."""
        places = ((curve, math.floor(share * len(curve)) - 1) for curve in self._curves)
        lowest = (curve[place] if place >= 0 else 0.0 for curve, place in places if curve)
        return min(lowest, default=-math.inf)


@dataclass
class Halving:
    """At each rung the worse half of all trainings that came so far ends; the cap holds as well.

    Attributes:
        cap: that holds as well.
        rungs: validation accuracy of the present training at those that it came to.
    """

    cap: Cap = field(default_factory=Cap)
    rungs: dict[float, float] = field(default_factory=dict)
    _seen: dict[float, list[float]] = field(default_factory=dict)
    _epochs: int = 0

    def gives_up(self, standing: Standing) -> str:
        """See the module."""
        if standing.is_within_epoch:
            return self.cap.gives_up(standing)
        if standing.epochs <= self._epochs:
            # Another training; not each is asked after its first epoch.
            self.rungs = {}
        self._epochs = standing.epochs
        if told := self.cap.gives_up(standing):
            return told
        # Compiling is over before the first epoch and says nothing of how good a training is.
        training = standing.spent - standing.before
        left = self.cap.best - standing.before
        share = training / left if left > 0 else 1.0
        for rung in RUNGS:
            if rung <= share and rung not in self.rungs:
                self.rungs[rung] = standing.val_accuracy
                self.remember({rung: standing.val_accuracy})
                seen = self._seen[rung]
                if standing.val_accuracy < sorted(seen)[(len(seen) - 1) // 2]:
                    return "halving"
        return ""

    def remember(self, rungs: Mapping[float, float]) -> None:
        """A training came to these rungs, with these validation accuracies."""
        for rung, accuracy in rungs.items():
            self._seen.setdefault(rung, []).append(accuracy)

    def learn(self, cost: float, accuracies: Sequence[float]) -> None:
        """The rungs move with the best cost."""
        self.cap.learn(cost, accuracies)


PRUNINGS = ("cap", "halving", "none")


def pruning(name: str, slack: float = SLACK) -> Pruning:
    """The pruning of that name, one of `PRUNINGS`."""
    if name == "none":
        return Unpruned()
    return Cap(slack) if name == "cap" else Halving(Cap(slack))


def lower_bound(spent: float, best: float, slack: float, shortfall: float) -> float:
    """What a training that was given up would have cost at least, for a sampler to learn from.

    It would have spent at least as much as was spent, and more than the cap allows. How far it
    still was from the target orders those that were given up: without that, a sampler that only
    compares could not tell a near miss from a hopeless one.

    Args:
        spent: when it was given up.
        best: cost of the best training then; infinite if there was none.
        slack: over `best`.
        shortfall: of the validation accuracy below the target, 0 to 1.
    """
    at_least = max(spent, slack * best) if math.isfinite(best) else spent
    return at_least * (1 + SHORTFALL_WEIGHT * max(0.0, shortfall))


SHORTFALL_WEIGHT = 10.0
"""Replays of a digits MLP: without it TPE missed the best fifth in 4 of 10, with it in none."""
