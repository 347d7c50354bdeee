"""A search that trains several configurations at a time, in processes here or elsewhere."""

import contextlib
import dataclasses
import math
import platform
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from pipeline.metering import Metering
from pipeline.search.confirming import missing_repeats
from pipeline.search.engines import Ended, Engine
from pipeline.search.job import Job, UnderWay, envelope_of
from pipeline.search.loop import Search
from pipeline.search.plan import Plan
from pipeline.search.pruning import Cap
from pipeline.search.spent import Spent, total
from pipeline.search.trial import Trial, best_cost
from pipeline.tags import CONFIRMATION, MACHINE, TRIAL
from pipeline.terminal import progress_console
from pipeline.tracking.elsewhere import ENDED, Exchange
from pipeline.tracking.search_log import Child, SearchLog, child_of
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    from energy import Carbon, Window
    from pipeline.tracking import RecordedRun, RunLog
    from steps.train import GiveUp

RESTARTS = 3
"""Of a training whose worker was lost. One that takes its worker down each time is a failure."""

LONGEST_WAIT_S = 1.0
"""For a worker to end: then the machines are counted again."""

POLLS_PER_SECOND = 50
"""That all workers together may ask of a tracking server: see docs/scale.md."""


class LostError(Exception):
    """A training was begun too often."""


class ParallelSearch(Search):
    """As `Search`, with an engine to train.

    A training that is asked for while others are under way is chosen as if those had come out as
    the worst known: the constant liar of Ginsbourger, Le Riche & Carraro 2010 (Kriging is
    well-suited to parallelize optimization), as in Optuna's ``TPESampler(constant_liar=True)``.

    What the search spends is what its own window measures, which sees all of this machine, and
    the training windows of the runs on other machines; not what those take to start and to wait.
    """

    def __init__(
        self,
        plan: Plan,
        log: SearchLog,
        window: "Window",
        engine: Engine,
        metering: Metering,
        carbon: "Carbon",
        watch: Callable[[Child, Search], None] = lambda child, search: None,
    ) -> None:
        """Take up what the record holds; `engine` trains, the rest is as for `Search`.

        Raises:
            InputError: the rungs of halving are known to one process only.
        """
        if plan.pruning == "halving":
            problem = "compares trainings one after the other; several at a time need cap or none"
            raise InputError("--pruning", plan.pruning, problem)
        super().__init__(plan, log, window, _trained_elsewhere, carbon, watch)
        self._engine = engine
        self._exchange = Exchange(log.run_id)
        self._metering = metering
        self._under_way: dict[int, UnderWay] = {}
        self._to_restart: list[int] = []
        self._joules_elsewhere: list[float | None] = []
        self._kg_elsewhere: list[float | None] = []

    def run(self) -> str:
        """Search until something runs out, train the leaders again; why it ended."""
        try:
            over = self._train_all(self._next_trial)
            self._confirm()
        except BaseException:
            self._engine.close()
            with contextlib.suppress(Exception):
                for number in self._under_way:
                    self._lost_attempts(number)
            raise
        self._engine.close()
        return over

    def over(self) -> str:
        """Which limit is reached, what is under way counted as done; empty to go on."""
        limit = self.plan.limits.trials
        begun = [each for each in self._under_way.values() if each.role == TRIAL]
        if limit is not None and len(self.trials) + len(begun) >= limit:
            return f"--trials {limit}"
        return super().over()

    def spent(self) -> Spent:
        """By the search so far: see the class."""
        here = super().spent()
        return Spent(
            total([here.energy_j, *self._joules_elsewhere]),
            total([here.emissions_kg, *self._kg_elsewhere]),
            here.time_s,
        )

    def _train_all(self, following: Callable[[], UnderWay | str]) -> str:
        """Keep the engine busy until nothing follows, and until all is done; why nothing did."""
        over = ""
        while True:
            while self._engine.free() and (self._to_restart or not over):
                if self._to_restart:
                    self._start(self._to_restart.pop())
                    continue
                training = following()
                if isinstance(training, str):
                    over = training
                else:
                    number = self._free_number()
                    self._under_way[number] = training
                    self._start(number)
            if over and not self._under_way:
                return over
            for ended in self._engine.ended(LONGEST_WAIT_S):
                self._settle(ended)

    def _next_trial(self) -> UnderWay | str:
        if over := self.over():
            return over
        presumed = [
            Trial(number, each.point, each.configuration.config_id, Outcome.FAILED, None)
            for number, each in self._under_way.items()
            if each.role == TRIAL
        ]
        point = self._sampling.ask([*self.trials, *presumed])
        if point is None:
            return "the space has no other configuration"
        return UnderWay(self._configuration(point, self.plan.seed), TRIAL, point)

    def _confirm(self) -> None:
        # Of those under way one may miss, and make room for the next.
        while self._next_repeat() and not self._budget_is_spent(self.spent()):
            self._train_all(
                lambda: self._budget_is_spent(self.spent()) or self._next_repeat() or "none left"
            )

    def _next_repeat(self) -> UnderWay | None:
        under_way = (
            (each.configuration.config_id, each.configuration.seed)
            for each in self._under_way.values()
        )
        missing = missing_repeats(self.plan, self.trials, self.children, under_way)
        following = next(missing, None)
        if following is None:
            return None
        leader, seed = following
        return UnderWay(self._configuration(leader.point, seed), CONFIRMATION, leader.point)

    def _free_number(self) -> int:
        """The least: after an interruption there are gaps."""
        taken = {child.number for child in self.children} | set(self._under_way)
        return next(number for number in count() if number not in taken)

    def _start(self, number: int) -> None:
        training = self._under_way[number]
        best = best_cost(self.trials)
        prunes = training.role == TRIAL and isinstance(self._pruning, Cap)
        job = Job(
            tracking_uri=self._exchange.tracking_uri,
            project_tags=dict(self._exchange.project_tags),
            experiment_id=self._exchange.experiment_id,
            search_id=self._log.run_id,
            number=number,
            role=training.role,
            point=training.point,
            parameters=training.configuration.parameters(),
            metering=dataclasses.asdict(self._metering),
            pruning=self.plan.pruning if prunes else "none",
            slack=self.plan.slack,
            objective=self.plan.goal.name,
            best=best if math.isfinite(best) else None,
            envelope=envelope_of(self._pruning) if prunes else [],
            poll_s=max(1.0, self._engine.workers / POLLS_PER_SECOND) if prunes else 0.0,
        )
        self._engine.start(job)

    def _settle(self, ended: Ended) -> None:
        """A worker is gone: its run says whether the training counts."""
        attempts = self._exchange.attempts(ended.number)
        counting = [run for run in attempts if run.status in ENDED]
        if counting:
            self._ended(counting[0], ended.number)
            return
        self._lost_attempts(ended.number)
        training = self._under_way[ended.number]
        training.losses += 1
        lost = f"#{ended.number}: its worker {ended.failure or 'left no run'}"
        if self._budget_is_spent(self.spent()):
            del self._under_way[ended.number]
            return
        if training.losses <= RESTARTS:
            progress_console.print(f"{lost}; it is started again", markup=False)
            self._to_restart.append(ended.number)
            return
        log = self._log.open_child(
            training.configuration, ended.number, training.role, training.point
        )
        with contextlib.suppress(LostError), log:
            raise LostError(f"{lost}, the last of {training.losses}")
        self._ended(log.recorded(), ended.number)

    def _lost_attempts(self, number: int) -> None:
        for run in self._exchange.attempts(number):
            if run.status == "RUNNING":
                self._bill(run)
                self._log.broke_off(run.run_id)

    def _ended(self, run: "RecordedRun", number: int) -> None:
        del self._under_way[number]
        self._bill(run)
        child = child_of(run)
        self._include(child)
        self._log.figures(self.figures(), step=len(self.children))
        self._watch(child, self)
        self._refuse_to_go_on_in_vain()

    def _bill(self, run: "RecordedRun") -> None:
        if run.tags.get(MACHINE, platform.node()) != platform.node():
            self._joules_elsewhere.append(run.metrics.get("energy_spent_j"))
            self._kg_elsewhere.append(run.metrics.get("emissions_kg"))


def _trained_elsewhere(
    log: "RunLog", configuration: Configuration, give_up: "GiveUp | None"
) -> None:
    raise NotImplementedError
