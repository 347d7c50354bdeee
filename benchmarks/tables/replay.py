"""A search on a table instead of on the machine.

Who asks, who gives up and what is learned are the project's own `Sampling` and `Pruning`; what a
training would have given and cost comes from the table. The loop around them follows
`pipeline.search.loop.Search`: one seed for all trials, graphs charged to every training that uses
them, and the cheapest known compilation charged in advance to those that find theirs ready made.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.search.parameters import Point
from pipeline.search.pruning import SLACK, Pruning, Standing, pruning
from pipeline.search.sampling import Sampling
from pipeline.search.space import Space
from pipeline.search.trial import Trial
from steps import configuration as configurations
from steps.outcome import Outcome

TABLES = Path(__file__).parent
SPACE = TABLES / "space.yaml"


@dataclass(frozen=True)
class Table:
    """Trainings of every configuration of a space with several seeds.

    Attributes:
        space: whose grid it is.
        fixed: texts of the hyperparameters that all of them share, by name.
        points: of the configurations, the first axis of what follows.
        graphs: shape (configurations): equal for those that share a compiled graph.
        outcomes: shape (configurations, seeds): text.
        accuracies: validation accuracy of each epoch, by configuration and seed.
        epoch_j: joules of an epoch, shape (configurations).
        compile_j: joules of compiling, shape (configurations).
    """

    space: Space
    fixed: Mapping[str, str]
    points: Sequence[Point]
    graphs: npt.NDArray[np.int64]
    outcomes: npt.NDArray[np.str_]
    accuracies: Sequence[Sequence[Sequence[float]]]
    epoch_j: npt.NDArray[np.float64]
    compile_j: npt.NDArray[np.float64]

    @classmethod
    def load(cls, file: Path, *, compiling: bool = True, max_epochs: int | None = None) -> Self:
        """A table that `tables.make` wrote.

        Energies are medians over all trainings that should cost the same; what one of them took
        more than another is noise of the machine. An epoch's is that of all that differ in nothing
        but learning rate and seed, which are numbers to the graph. Compiling is that of all with
        the same optimizer.

        Args:
            file: ``.npz``.
            compiling: whether that costs anything; without it only epochs do.
            max_epochs: ends trainings that took more; None leaves them as they were.
        """
        with np.load(file, allow_pickle=False) as kept:
            graphs = kept["graphs"]
            points = [json.loads(point) for point in kept["points"]]
            optimizers = [f"{point['optimizer']} {point.get('momentum')}" for point in points]
            works = [
                f"{name} {p['batch_size']}" for name, p in zip(optimizers, points, strict=True)
            ]
            accuracies = [
                [curve[~np.isnan(curve)][:max_epochs].tolist() for curve in seeds]
                for seeds in kept["val_accuracy"]
            ]
            epochs = (~np.isnan(kept["val_accuracy"])).sum(axis=2)
            ended = epochs > max_epochs if max_epochs is not None else np.zeros_like(epochs, bool)
            compile_j = _pooled(kept["compile_j"], np.unique(optimizers, return_inverse=True)[1])
            return cls(
                space=Space.load(SPACE),
                fixed=json.loads(str(kept["fixed"])),
                points=points,
                graphs=graphs,
                outcomes=np.where(ended, str(Outcome.BUDGET_EXHAUSTED), kept["outcomes"]),
                accuracies=accuracies,
                epoch_j=_pooled(kept["epoch_j"], np.unique(works, return_inverse=True)[1]),
                compile_j=compile_j if compiling else np.zeros(len(graphs)),
            )

    @property
    def seeds(self) -> int:
        """How many there are of each configuration."""
        return int(self.outcomes.shape[1])

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Of the configurations, by config_id."""
        ids = (self.space.configuration(point, self.fixed).config_id for point in self.points)
        return {config_id: place for place, config_id in enumerate(ids)}

    @cached_property
    def spent_j(self) -> npt.NDArray[np.float64]:
        """Of trainings without pruning, compiling included; shape (configurations, seeds)."""
        epochs = np.array([[len(curve) for curve in seeds] for seeds in self.accuracies])
        return np.asarray(self.compile_j[:, None] + self.epoch_j[:, None] * epochs)

    @cached_property
    def cost_j(self) -> npt.NDArray[np.float64]:
        """As `spent_j`, infinite where the target was missed."""
        return np.asarray(np.where(self.outcomes == Outcome.REACHED, self.spent_j, math.inf))

    @cached_property
    def above_best(self) -> npt.NDArray[np.float64]:
        """Cost over that of the greenest, both the mean over all seeds; shape (configurations)."""
        mean = self.cost_j.mean(axis=1)
        return np.asarray(mean / mean.min(), dtype=np.float64)


def _pooled(
    by_seed: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    medians = [np.nanmedian(by_seed[groups == group]) for group in range(groups.max() + 1)]
    return np.array(medians)[groups]


@dataclass(frozen=True)
class Replay:
    """A search as it went, trial by trial.

    Attributes:
        trials: as the search remembers them.
        spent_j: by all trainings up to each trial; a graph is compiled and paid for once.
        above_best: of each trial's configuration, as in `Table.above_best`.
    """

    trials: Sequence[Trial]
    spent_j: Sequence[float]
    above_best: Sequence[float]

    def until(self, factor: float, leaders: int) -> float | None:
        """Joules until one of the leaders was truly within a factor of the greenest, if ever.

        Args:
            factor: of the true cost of the greenest.
            leaders: so many of the cheapest so far, each by its single training.
        """
        for count, spent_j in enumerate(self.spent_j, start=1):
            if any(self.above_best[place] <= factor for place in self.leaders(leaders, count)):
                return spent_j
        return None

    def leaders(self, most: int, after: int) -> list[int]:
        """Places of the cheapest of the first so many trials that reached the target."""
        costs = [trial.cost for trial in self.trials[:after]]
        reached = [place for place, cost in enumerate(costs) if math.isfinite(cost)]
        return sorted(reached, key=costs.__getitem__)[:most]


def replay(
    table: Table,
    sampler: str,
    pruning_name: str,
    number: int,
    trials: int,
    enough: float = 0.0,
    enough_after: int = 0,
) -> Replay:
    """Search the table.

    Args:
        table: instead of the machine.
        sampler: one of `pipeline.search.sampling.SAMPLERS`.
        pruning_name: one of `pipeline.search.pruning.PRUNINGS`.
        number: seed of the sampler; its remainder is the seed of all trainings.
        trials: at most so many.
        enough: end when the cheapest so far was truly within this factor of the greenest, ...
        enough_after: ... but not before so many trials.

    Raises:
        InputError: the sampler needs a package that is not installed.
    """
    sampling = Sampling(table.space, dict(table.fixed), sampler, number, SLACK)
    rule = pruning(pruning_name)
    shelf = _Shelf(table, number % table.seeds)
    so_far, found = Replay([], [], []), False
    while len(so_far.trials) < trials and not (found and len(so_far.trials) >= enough_after):
        point = sampling.ask(so_far.trials)
        if point is None:
            break
        trial, accuracies, paid_j = shelf.train(len(so_far.trials), point, rule)
        if math.isfinite(trial.cost):
            rule.learn(trial.cost, accuracies)
        so_far = Replay(
            [*so_far.trials, trial],
            [*so_far.spent_j, paid_j + (so_far.spent_j[-1] if so_far.spent_j else 0.0)],
            [*so_far.above_best, float(table.above_best[table.places[trial.config_id]])],
        )
        best = so_far.leaders(1, len(so_far.trials))
        found = found or any(so_far.above_best[place] <= enough for place in best)
    return so_far


class _Shelf:
    """Hands out trainings of one seed as if they had just been made, in one process."""

    def __init__(self, table: Table, seed: int) -> None:
        """Args: where they come from, and which of the table's seeds."""
        self._table = table
        self._seed = seed
        self._patience = configurations.parse(dict(table.fixed)).patience
        self._target = configurations.parse(dict(table.fixed)).target_accuracy
        self._compiled: dict[int, float] = {}

    def train(
        self, number: int, point: Point, rule: Pruning
    ) -> tuple[Trial, Sequence[float], float]:
        """One trial, its accuracies by epoch, and the joules it paid for itself.

        What it is charged is in the trial: there a graph costs all that use it alike.
        """
        table = self._table
        config_id = table.space.configuration(point, table.fixed).config_id
        place = table.places[config_id]
        graph, compile_j = int(table.graphs[place]), float(table.compile_j[place])
        paid_j = 0.0 if graph in self._compiled else compile_j
        cheapest_j = min(self._compiled.values(), default=0.0)
        outcome, epochs = self._until_given_up(place, max(paid_j, cheapest_j), rule)
        self._compiled[graph] = compile_j
        accuracies = table.accuracies[place][self._seed][:epochs]
        training_j = epochs * float(table.epoch_j[place])
        best = max(accuracies)
        trial = Trial(number, point, config_id, outcome, compile_j + training_j, best)
        return trial, accuracies, paid_j + training_j

    def _until_given_up(self, place: int, before_j: float, rule: Pruning) -> tuple[str, int]:
        accuracies = self._table.accuracies[place][self._seed]
        outcome = str(self._table.outcomes[place, self._seed])
        streak, best = 0, 0.0
        for epoch, accuracy in enumerate(accuracies, start=1):
            if epoch == len(accuracies) and outcome != Outcome.BUDGET_EXHAUSTED:
                break
            streak = streak + 1 if accuracy > self._target else 0
            best = max(best, accuracy)
            spent_j = before_j + epoch * float(self._table.epoch_j[place])
            missing = self._patience - streak
            if rule.gives_up(Standing(spent_j, before_j, epoch, best, missing)):
                return Outcome.CAPPED, epoch
        return outcome, len(accuracies)


def confirmed(
    table: Table, search: Replay, number: int, after: int, top: int, repeats: int
) -> float:
    """How far above the greenest the winner truly is, once the leaders were trained again.

    Args:
        table: instead of the machine.
        search: that chose the leaders.
        number: of that replay.
        after: so many trials.
        top: how many leaders.
        repeats: trainings of each, with as many seeds, the first one included.

    Returns:
        As in `Table.above_best`; infinite where no leader reached the target in all repeats.
    """
    seeds = [(number + repeat) % table.seeds for repeat in range(repeats)]
    winner, least_j = math.inf, math.inf
    for place in search.leaders(top, after):
        cost_j = table.cost_j[table.places[search.trials[place].config_id], seeds].mean()
        if cost_j < least_j:
            winner, least_j = search.above_best[place], cost_j
    return winner
