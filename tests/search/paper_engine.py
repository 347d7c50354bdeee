"""An engine that trains on paper: each job leaves the run that a worker would have left."""

from pathlib import Path
from types import SimpleNamespace

import mlflow

from pipeline import tracking
from pipeline.metering import Metering
from pipeline.search.engines import Ended
from pipeline.search.goal import goal
from pipeline.search.job import Job
from pipeline.search.parallel import ParallelSearch
from pipeline.search.plan import Limits, Plan
from pipeline.search.space import Space
from pipeline.tags import MACHINE
from pipeline.tracking.search_log import SearchLog
from steps import configuration as configurations

SPACE = """purpose: of a test
parameters:
  lr: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]
"""


def cost_j(job: Job) -> float:
    """The greater the learning rate, the cheaper."""
    return 0.1 / float(job.parameters["lr"])


class PaperEngine:
    """Ends trainings in the order in which they began.

    Args:
        workers: at a time.
        losses: numbers of trainings whose worker is lost, as often as they are named.
        machine: that the trainings are said to run on; empty to say nothing.
        lucky: learning rates that reach the target in the first trial and in no repeat, or, with a
            seed beside them, not with that one.
    """

    def __init__(
        self,
        workers: int = 2,
        losses: tuple[int, ...] = (),
        machine: str = "",
        lucky: tuple[str | tuple[str, str], ...] = (),
    ) -> None:
        self.workers = workers
        self.begun: list[Job] = []
        self.most_at_once = 0
        self.closed = False
        self._losses = list(losses)
        self._machine = machine
        self._lucky = lucky
        self._running: list[Job] = []

    def free(self) -> int:
        return self.workers - len(self._running)

    def start(self, job: Job) -> None:
        self.begun.append(Job.from_json(job.to_json()))
        self._running.append(self.begun[-1])
        self.most_at_once = max(self.most_at_once, len(self._running))

    def ended(self, timeout_s: float) -> list[Ended]:
        job = self._running.pop(0)
        if job.number in self._losses:
            self._losses.remove(job.number)
            self.open_run(job)
            return [Ended(job.number, "ended by signal 9")]
        self.train(job)
        return [Ended(job.number, "")]

    def close(self) -> None:
        self.closed = True

    def open_run(self, job: Job):
        search = SearchLog(job.search_id, job.experiment_id)
        configuration = configurations.parse(job.parameters)
        return search.open_child(configuration, job.number, job.role, job.point)

    def train(self, job: Job) -> None:
        with self.open_run(job) as log:
            client, spent = mlflow.MlflowClient(), cost_j(job)
            lr, seed = job.parameters["lr"], job.parameters["seed"]
            missed = job.role == "confirmation" and bool({lr, (lr, seed)} & {*self._lucky})
            for name in ("energy_spent_j", *(["energy_to_accuracy_j"] if not missed else [])):
                client.log_metric(log.run_id, name, spent)
            for epoch, accuracy in enumerate((0.5, 0.8, 0.99), start=1):
                client.log_metric(log.run_id, "val_accuracy", accuracy, step=epoch)
            outcome = "BUDGET_EXHAUSTED" if missed else "REACHED"
            log.tag({"outcome": outcome} | ({MACHINE: self._machine} if self._machine else {}))


class Bench:
    """A search by an engine, in the store of a test; asked twice it is resumed."""

    def __init__(self, folder: Path, space: str = SPACE, **choices) -> None:
        path = folder / "space.yaml"
        path.write_text(space)
        given = {
            "space": Space.load(path),
            "fixed": {"dataset": "iris"},
            "sampler": "grid",
            "pruning": "cap",
            "slack": 1.2,
            "goal": goal("energy"),
            "limits": Limits(None, None, None, None),
            "repeats": 1,
            "confirm_top": 0,
            "prove": 0,
            "seed": 0,
        }
        self.plan = Plan(**{**given, **choices})
        self.experiment_id = tracking.open_experiment("of a test")
        self.search_id = SearchLog.start(
            self.experiment_id, "search", self.plan.key, self.plan.parameters, path
        ).run_id
        self.own = SimpleNamespace(energy_j=1.0, emissions_kg=None)

    def search(self, log: SearchLog, engine) -> ParallelSearch:
        window, carbon = SimpleNamespace(read=lambda: self.own), SimpleNamespace()
        return ParallelSearch(self.plan, log, window, engine, Metering(), carbon)

    def run(self, engine) -> str:
        with (log := SearchLog(self.search_id, self.experiment_id)):
            self.last = self.search(log, engine)
            return self.last.run()

    def runs(self, status: str):
        found = mlflow.MlflowClient().search_runs(
            [self.experiment_id],
            f"tags.`mlflow.parentRunId` = '{self.search_id}' and status = '{status}'",
        )
        return sorted(found, key=lambda run: int(run.data.tags["search.number"]))

    def numbers(self, status: str) -> list[int]:
        return [int(run.data.tags["search.number"]) for run in self.runs(status)]
