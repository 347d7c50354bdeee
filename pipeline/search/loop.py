"""The search itself: ask, train, learn, until something runs out; then the leaders again."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipeline import terminal
from pipeline.search.plan import Plan
from pipeline.search.pruning import Pruning, Standing, Unpruned, pruning
from pipeline.search.sampling import Sampling
from pipeline.search.trial import Trial, best_cost
from pipeline.tracking.search_log import (
    CONFIRMATION,
    GIVEN_UP_BY,
    TRIAL,
    Child,
    SearchLog,
    child_of,
)
from steps.configuration import Configuration
from steps.outcome import Outcome

if TYPE_CHECKING:
    from energy import Carbon, Window
    from pipeline.search.parameters import Point
    from pipeline.tracking import RunLog
    from steps.train import GiveUp, Progress

FAILURES_TO_STOP = 5
"""If the first so many trainings all break, the rest will too."""

Train = Callable[["RunLog", Configuration, "GiveUp | None"], None]
"""Trains a configuration in an open run; what it raises is the run's failure."""


@dataclass(frozen=True)
class Spent:
    """By the search as a whole, since its very beginning; None where nothing was measured."""

    energy_j: float | None
    emissions_kg: float | None
    time_s: float


class Search:
    """One search, or what is left of one."""

    def __init__(
        self,
        plan: Plan,
        log: SearchLog,
        window: "Window",
        train: Train,
        carbon: "Carbon",
        watch: Callable[[Child, "Search"], None] = lambda child, search: None,
    ) -> None:
        """Take up what the record holds.

        Args:
            plan: what to do.
            log: the parent run; its children are the record.
            window: open around all that the search does.
            train: trains one configuration.
            carbon: intensity of what this machine uses.
            watch: is told of each training that has ended.
        """
        self.plan = plan
        self._log = log
        self._window = window
        self._train = train
        self._carbon = carbon
        self._watch = watch
        self._sampling = Sampling(plan.space, dict(plan.fixed), plan.sampler, plan.seed, plan.slack)
        self._pruning: Pruning = pruning(plan.pruning, plan.slack)
        self._cheapest_compilation = 0.0
        self.children: list[Child] = []
        self.trials: list[Trial] = []
        self._before = _spent_before(log)
        self._began = time.monotonic()
        for child in log.children():
            self._include(child)

    def run(self) -> str:
        """Search until something runs out, train the leaders again; why it ended."""
        while not (over := self.over()):
            point = self._sampling.ask(self.trials)
            if point is None:
                over = "the space has no other configuration"
                break
            configuration = self.plan.space.configuration(point, self.plan.fixed)
            seeded = dataclasses.replace(configuration, seed=self.plan.seed)
            self._one(seeded, TRIAL, point, self._pruning)
            self._refuse_to_go_on_where_all_fails()
        self._confirm()
        return over

    def over(self) -> str:
        """Which limit is reached; empty to go on."""
        limits, spent = self.plan.limits, self.spent()
        if limits.trials is not None and len(self.trials) >= limits.trials:
            return f"--trials {limits.trials}"
        return self._budget_is_spent(spent)

    def spent(self) -> Spent:
        """By the search so far, its earlier sittings included."""
        now = self._window.read()
        return Spent(
            _sum(self._before.energy_j, now.energy_j),
            _sum(self._before.emissions_kg, now.emissions_kg),
            self._before.time_s + time.monotonic() - self._began,
        )

    def figures(self) -> dict[str, float | None]:
        """As the parent run keeps them."""
        spent, best = self.spent(), best_cost(self.trials)
        return {
            "search_energy_j": spent.energy_j,
            "search_emissions_kg": spent.emissions_kg,
            "search_time_s": spent.time_s,
            "best_so_far": best if math.isfinite(best) else None,
        }

    def leaders(self) -> list[Trial]:
        """The trials to train again, the best first; all of them where that was asked for."""
        if self.plan.confirm_top is None:
            return self.trials
        reached = sorted(
            (trial for trial in self.trials if trial.outcome == Outcome.REACHED),
            key=lambda trial: trial.cost,
        )
        return reached[: self.plan.confirm_top]

    def _budget_is_spent(self, spent: Spent) -> str:
        limits = self.plan.limits
        for option, limit, so_far in (
            ("--budget-kj", limits.energy_j, spent.energy_j),
            ("--budget-g", limits.emissions_kg, spent.emissions_kg),
            ("--timeout", limits.time_s, spent.time_s),
        ):
            if limit is not None and so_far is not None and so_far >= limit:
                return option
        return ""

    def _confirm(self) -> None:
        """Train the leaders with other seeds, unpruned: a single run may have been lucky."""
        done = {
            (child.run.tags["config_id"], child.run.parameters["seed"]) for child in self.children
        }
        for repeat in range(1, self.plan.repeats):
            for leader in self.leaders():
                if self._budget_is_spent(self.spent()):
                    return
                seed = self.plan.seed + repeat
                if (leader.config_id, str(seed)) in done:
                    continue
                configuration = self.plan.space.configuration(leader.point, self.plan.fixed)
                again = dataclasses.replace(configuration, seed=seed)
                self._one(again, CONFIRMATION, leader.point, Unpruned())

    def _one(self, configuration: Configuration, role: str, point: "Point", rule: Pruning) -> None:
        log = self._log.open_child(configuration, len(self.children), role, point)
        best = 0.0
        reasons: list[str] = []

        def give_up(progress: "Progress") -> bool:
            nonlocal best
            best = max(best, progress.val_accuracy)
            spent_and_before = self.plan.objective.spent(progress, self._carbon)
            if spent_and_before is None:
                return False
            spent, before = spent_and_before
            # Graphs that an earlier run compiled are charged to this one too; until it has ended
            # that is at least what the cheapest compilation took.
            uncharged = max(0.0, self._cheapest_compilation - before)
            missing = configuration.patience - progress.streak
            standing = Standing(
                spent + uncharged, before + uncharged, progress.epoch, best, missing
            )
            reason = rule.gives_up(standing)
            reasons.extend([reason] if reason else [])
            return bool(reason)

        try:
            with log:
                self._train(log, configuration, give_up)
                if reasons:
                    log.tag({GIVEN_UP_BY: reasons[0]})
        except Exception as error:
            # The run keeps the reason, and another configuration may well work; but not without
            # the store.
            if terminal.is_of_the_store(error):
                with contextlib.suppress(Exception):
                    self._log.broke_off(log.run_id)
                raise
        child = child_of(log.recorded())
        self._include(child)
        self._log.figures(self.figures(), step=len(self.children))
        self._watch(child, self)

    def _include(self, child: Child) -> None:
        """What a training that has ended teaches."""
        if child.role == TRIAL:
            self.trials.append(self._trial(child))
        self.children.append(child)

    def _trial(self, child: Child) -> Trial:
        metrics, tags = child.run.metrics, child.run.tags
        outcome = tags.get("outcome", Outcome.FAILED)
        trial = Trial(
            number=child.number,
            point=child.point,
            config_id=tags["config_id"],
            outcome=outcome,
            spent=self.plan.objective.of(child.run),
            val_accuracy=0.0,
        )
        compiling = self.plan.objective.compiling(child.run)
        if compiling:
            known = self._cheapest_compilation or compiling
            self._cheapest_compilation = min(known, compiling)
        if "val_accuracy" in metrics:
            accuracies = self._log.accuracies(child.run.run_id)
            trial = dataclasses.replace(trial, val_accuracy=max(accuracies))
            if math.isfinite(trial.cost):
                self._pruning.learn(trial.cost, accuracies)
        return trial

    def _refuse_to_go_on_where_all_fails(self) -> None:
        if len(self.trials) != FAILURES_TO_STOP:
            return
        if all(trial.outcome == Outcome.FAILED for trial in self.trials):
            reason = self.children[-1].run.tags.get("failure", "no reason recorded")
            told = f"the first {FAILURES_TO_STOP} trainings all failed, the last one: {reason}"
            raise click.ClickException(told)


def _spent_before(log: SearchLog) -> Spent:
    """In earlier sittings, by what they said and by the training that each of them broke off."""
    told = log.recorded().metrics
    lost = [run.metrics for run in log.unbilled()]
    return Spent(
        _sum(told.get("search_energy_j"), *(each.get("energy_spent_j") for each in lost)),
        _sum(told.get("search_emissions_kg"), *(each.get("emissions_kg") for each in lost)),
        told.get("search_time_s", 0.0) + sum(each.get("time_spent_s", 0.0) for each in lost),
    )


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
