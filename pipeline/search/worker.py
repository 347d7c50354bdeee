"""``python -m pipeline.search.worker``: one training of a search, in a process of its own.

The job comes as one line of JSON on the standard input, which stays open: when it ends, whoever
gave the job is gone, and so goes the worker. What comes of the training is in MLflow and nowhere
else.
"""

import math
import os
import platform
import signal
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pipeline import terminal
from pipeline.metering import Metering, idle_power, machine_meter, power_limited
from pipeline.search.goal import goal
from pipeline.search.job import ENERGY_SHARED, SHARED_FLAG, Job
from pipeline.search.objective import Objective
from pipeline.search.pruning import Cap, Pruning, Standing, pruning
from pipeline.tags import MACHINE
from steps import configuration as configurations
from steps.errors import one_line

if TYPE_CHECKING:
    from energy import Carbon
    from pipeline.tracking import RunLog
    from pipeline.tracking.elsewhere import Exchange
    from steps.train import Progress

SECONDS_TO_END = 10.0
"""For the run of a worker whose search is gone."""


class SharedBest:
    """The best cost of the whole search, looked up aside so that no epoch waits for a server."""

    def __init__(self, exchange: "Exchange", job: Job) -> None:
        """Args: where to look, and how often."""
        self.cost = math.inf if job.best is None else job.best
        self._exchange = exchange
        self._poll_s = job.poll_s
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Look until the block ends."""
        if self._poll_s:
            threading.Thread(target=self._poll, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        self._over.set()

    def _poll(self) -> None:
        while not self._over.wait(self._poll_s):
            told = self._exchange.best_so_far()
            if told is not None:
                self.cost = min(self.cost, told)


class Judge:
    """Asked after each epoch, and within long ones, whether the training can still win.

    A fresh process compiles its graphs itself, so that nothing needs to be charged to it.
    """

    def __init__(
        self, rule: Pruning, cost: Objective, carbon: "Carbon", patience: int, shared: SharedBest
    ) -> None:
        """Args: the rule, what is minimized, and the best cost as the whole search knows it."""
        self.reason = ""
        self._rule = rule
        self._cost = cost
        self._carbon = carbon
        self._patience = patience
        self._shared = shared
        self._accuracy = 0.0

    def __call__(self, progress: "Progress") -> bool:
        """Whether the training ends here."""
        self._accuracy = max(self._accuracy, progress.val_accuracy or 0.0)
        spent = self._cost.spent(progress, self._carbon)
        if spent is None:
            return False
        if isinstance(self._rule, Cap):
            self._rule.best = min(self._rule.best, self._shared.cost)
        missing = self._patience - progress.streak
        is_within = progress.val_accuracy is None
        standing = Standing(*spent, progress.epoch, self._accuracy, missing, is_within)
        self.reason = self._rule.gives_up(standing)
        return bool(self.reason)


def work(job: Job) -> None:
    """Train in a run of its own, as a search in one process does.

    A training that breaks is a result, and its run says so.

    Raises:
        Exception: the store cannot be written to; the run may not have been ended.
    """
    os.environ["MLFLOW_TRACKING_URI"] = job.tracking_uri
    from pipeline.tracking.elsewhere import Exchange
    from pipeline.tracking.project_run import PROJECT_TAGS
    from pipeline.tracking.search_log import SearchLog

    PROJECT_TAGS.update(job.project_tags)
    configuration = configurations.parse(dict(job.parameters))
    search = SearchLog(job.search_id, job.experiment_id)
    log = search.open_child(configuration, job.number, job.role, dict(job.point))
    try:
        with log, SharedBest(Exchange(job.search_id), job) as shared:
            log.tag({MACHINE: platform.node()})
            _train(log, job, configuration, shared)
            if log.recorded().status != "RUNNING":
                # The search could not see this machine, and has begun the training again.
                raise KeyboardInterrupt
    except Exception as error:
        if terminal.is_of_the_store(error):
            raise


def _train(
    log: "RunLog", job: Job, configuration: configurations.Configuration, shared: SharedBest
) -> None:
    from pipeline.run import all_steps
    from pipeline.shared_steps import partitioned, preprocessed
    from pipeline.tracking.search_log import GIVEN_UP_BY

    metering = Metering(**job.metering)
    meter = machine_meter(metering)
    rule = pruning(job.pruning, job.slack)
    if job.best is not None and job.envelope:
        rule.learn(job.best, job.envelope)
    cost = goal(job.objective).cost
    judge = None
    if cost is not None:
        judge = Judge(rule, cost, meter.carbon, configuration.patience, shared)
    with power_limited(configuration.power_limit_w):
        dataset = preprocessed(configuration)
        parts = partitioned(configuration, dataset)
        all_steps(log, configuration, dataset, parts, meter, metering, idle_power(), give_up=judge)
    if judge is not None and judge.reason:
        log.tag({GIVEN_UP_BY: judge.reason})
    if job.energy_shared:
        flags = filter(None, (log.recorded().tags.get("energy.flags"), SHARED_FLAG))
        log.tag({ENERGY_SHARED: job.energy_shared, "energy.flags": ", ".join(flags)})
        log.describe()


def main() -> None:
    """Do one job: exit code 0 where its run says how it ended, whatever that is."""
    terminal.interruption.listen()
    job = Job.from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_the_search, daemon=True).start()
    try:
        work(job)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        print(f"Error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def _end_with_the_search() -> None:
    # It may be on a machine where nobody else would.
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(1)


if __name__ == "__main__":
    main()
