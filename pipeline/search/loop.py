"""The search itself: ask, train, learn, until something runs out; then the leaders again."""

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from pipeline import terminal
from pipeline.search.compilations import Compilations
from pipeline.search.confirming import missing_repeats
from pipeline.search.plan import Plan
from pipeline.search.pruning import Halving, Pruning, Standing, Unpruned, pruning
from pipeline.search.spent import Spent, spent_before
from pipeline.search.trial import Trial
from pipeline.tags import CONFIRMATION, TRIAL
from pipeline.tracking.search_log import (
    GIVEN_UP_BY,
    RUNGS,
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

NOT_BEGUN = {
    "outcome": str(Outcome.CAPPED),
    GIVEN_UP_BY: "compilation",
    "training.caution": "not begun: XLA alone would have exceeded the cap, as it took far more "
    "for the same layers before",
}
"""Tags of a training that could not win, whatever its epochs took."""

Train = Callable[["RunLog", Configuration, "GiveUp | None"], None]
"""Trains a configuration in an open run; what it raises is the run's failure."""


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
        self._sampling = plan.sampling()
        self._pruning: Pruning = pruning(plan.pruning, plan.slack)
        self._compilations = Compilations()
        self.children: list[Child] = []
        self.trials: list[Trial] = []
        self._before = spent_before(log)
        self._began = time.monotonic()
        for child in log.children():
            self._include(child)
            self._remember_rungs(child)

    def run(self) -> str:
        """Search until something runs out, train the leaders again; why it ended."""
        while not (over := self.over()):
            point = self._sampling.ask(self.trials)
            if point is None:
                over = "the space has no other configuration"
                break
            self._one(self._configuration(point, self.plan.seed), TRIAL, point, self._pruning)
            self._refuse_to_go_on_in_vain()
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
        time_s = time.monotonic() - self._began
        return self._before.and_then(Spent(now.energy_j, now.emissions_kg, time_s))

    def figures(self) -> dict[str, float | None]:
        """As the parent run keeps them."""
        spent = self.spent()
        return {
            "search_energy_j": spent.energy_j,
            "search_emissions_kg": spent.emissions_kg,
            "search_time_s": spent.time_s,
            **self.plan.goal.so_far(self.trials),
        }

    def missing_repeats(self) -> Iterator[tuple[Trial, int]]:
        """Whom to train again, and with which seeds: see `confirming.missing_repeats`."""
        return missing_repeats(self.plan, self.trials, self.children)

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
        """Train the leaders again, and the first of them further, unpruned: see `confirming`."""
        while not self._budget_is_spent(self.spent()):
            following = next(self.missing_repeats(), None)
            if following is None:
                return
            leader, seed = following
            configuration = self._configuration(leader.point, seed)
            self._one(configuration, CONFIRMATION, leader.point, Unpruned())

    def _configuration(self, point: "Point", seed: int) -> Configuration:
        configuration = self.plan.space.configuration(point, self.plan.fixed)
        return dataclasses.replace(configuration, seed=seed)

    def _one(self, configuration: Configuration, role: str, point: "Point", rule: Pruning) -> None:
        log = self._log.open_child(configuration, len(self.children), role, point)
        try:
            with log:
                at_least = self._compilations.by_xla_at_least(configuration.parameters())
                before = Standing(at_least, at_least, 1, 0.0, configuration.patience, True)
                if rule.gives_up(before):
                    log.tag(NOT_BEGUN)
                else:
                    self._train_while_it_can_win(log, configuration, rule)
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

    def _train_while_it_can_win(
        self, log: "RunLog", configuration: Configuration, rule: Pruning
    ) -> None:
        cost = self.plan.goal.cost
        best = 0.0
        told: dict[str, str] = {}

        def give_up(progress: "Progress") -> bool:
            nonlocal best
            best = max(best, progress.val_accuracy or 0.0)
            spent_and_before = cost.spent(progress, self._carbon) if cost is not None else None
            if spent_and_before is None:
                return False
            spent, before = spent_and_before
            # Graphs that an earlier run compiled are charged to this one too; until it has ended
            # that is at least what the cheapest compilation took.
            uncharged = max(0.0, self._compilations.cheapest - before)
            spent, before = spent + uncharged, before + uncharged
            missing = configuration.patience - progress.streak
            is_within = progress.val_accuracy is None
            standing = Standing(spent, before, progress.epoch, best, missing, is_within)
            if reason := rule.gives_up(standing):
                told[GIVEN_UP_BY] = reason
            if isinstance(rule, Halving) and rule.rungs:
                told[RUNGS] = json.dumps(rule.rungs)
            return bool(reason)

        try:
            self._train(log, configuration, give_up)
        finally:
            # Of a training that breaks, too: later ones are compared with its rungs.
            if told:
                log.tag(told)

    def _include(self, child: Child) -> None:
        """What a training that has ended teaches."""
        if child.role == TRIAL:
            self.trials.append(self._trial(child))
        self.children.append(child)

    def _trial(self, child: Child) -> Trial:
        metrics, tags = child.run.metrics, child.run.tags
        spending = self.plan.goal.spending
        trained = self._configuration(child.point, self.plan.seed)
        trial = Trial(
            number=child.number,
            point=child.point,
            config_id=tags["config_id"],
            outcome=tags.get("outcome", Outcome.FAILED),
            spent=spending.of(child.run),
            val_accuracy=0.0,
            figures=self.plan.goal.figures(child.run),
            training_id=tags["config_id"] if self.plan.goal.cost is None else trained.training_id,
        )
        compiling = spending.compiling(child.run)
        if compiling:
            self._compilations.learn(child.run.parameters, compiling)
        if "val_accuracy" in metrics:
            accuracies = self._log.accuracies(child.run.run_id)
            trial = dataclasses.replace(trial, val_accuracy=max(accuracies))
            if math.isfinite(trial.cost):
                self._pruning.learn(trial.cost, accuracies)
        return trial

    def _remember_rungs(self, child: Child) -> None:
        """What an earlier sitting has seen at the rungs of halving."""
        if isinstance(self._pruning, Halving) and RUNGS in child.run.tags:
            rungs = json.loads(child.run.tags[RUNGS])
            self._pruning.remember({float(rung): seen for rung, seen in rungs.items()})

    def _refuse_to_go_on_in_vain(self) -> None:
        """Where all trainings break, or what is looked for is recorded of none."""
        failed = [trial for trial in self.trials if trial.outcome == Outcome.FAILED]
        if len(failed) == len(self.trials) == FAILURES_TO_STOP:
            reason = self.children[-1].run.tags.get("failure", "no reason recorded")
            told = f"the first {FAILURES_TO_STOP} trainings all failed, the last one: {reason}"
            raise click.ClickException(told)
        reached = [trial for trial in self.trials if trial.outcome == Outcome.REACHED]
        if reached and all(trial.figures is None for trial in reached):
            run = next(each.run for each in self.children if each.number == reached[0].number)
            absent = ", ".join(name for name in self.plan.goal.metrics if name not in run.metrics)
            told = f"--objective {self.plan.goal.name}: {run.name} reached the target without"
            raise click.ClickException(f"{told} {absent}, so nothing can be compared")
