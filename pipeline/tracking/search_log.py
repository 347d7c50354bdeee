"""A search in MLflow: a parent run, and a child per training."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag, ViewType
from mlflow.tracking.context.registry import resolve_tags

from pipeline.cache import JOURNALS
from pipeline.tags import MACHINE, PARENT, ROLE
from pipeline.tracking.open_run import OpenRun, new_run
from pipeline.tracking.project_run import PROJECT_TAGS
from pipeline.tracking.run_log import RunLog
from pipeline.tracking.store import RecordedRun, recorded
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.search.parameters import Point

KEY, NUMBER, POINT = "search.key", "search.number", "search.point"
GIVEN_UP_BY = "search.given_up_by"
"""The rule of the pruning that ended a training."""
BROKEN_OFF = "search.broken_off"
"""A training that does not count, whatever of it is delivered to MLflow later."""
RUNGS = "search.rungs"
"""The rungs of halving that a training came to, and its validation accuracy there."""
IDLE_POWER = "idle_power_w"
"""Metric of the parent: what the machine takes that does nothing."""


@dataclass(frozen=True)
class Child:
    """A training of a search that has ended, as MLflow has it.

    Attributes:
        run: the whole of it.
        number: counted from 0, in the order in which they began.
        role: `TRIAL` or `CONFIRMATION`.
        point: of the space.
    """

    run: RecordedRun
    number: int
    role: str
    point: "Point"


@dataclass(frozen=True)
class BrokenOff:
    """A training that a sitting of the search did not live to count.

    Attributes:
        run: the whole of it.
        ended_at_ms: since 1970; where its process was killed, when the next sitting found it.
        share: of what it took that is in no bill yet, 0 to 1.
    """

    run: RecordedRun
    ended_at_ms: int
    share: float

    def spent(self, metric: str) -> float | None:
        """Of that, what is in no bill yet."""
        known = self.run.metrics.get(metric)
        return None if known is None else self.share * known


class SearchLog(OpenRun):
    """The parent run, open for writing."""

    def __init__(self, run_id: str, experiment_id: str) -> None:
        """Args: the parent, and where it lies."""
        super().__init__(run_id)
        self._experiment_id = experiment_id

    @classmethod
    def start(
        cls, experiment_id: str, name: str, key: str, parameters: Mapping[str, str], space: Path
    ) -> Self:
        """Open a new parent run."""
        tags = {**resolve_tags(), **PROJECT_TAGS, KEY: key}
        run = new_run(experiment_id, name, tags)
        log = cls(run.info.run_id, experiment_id)
        given = [Param(*item) for item in parameters.items()]
        log._client.log_batch(log.run_id, params=given)
        log._client.log_artifact(log.run_id, str(space))
        return log

    @classmethod
    def resume(cls, experiment_id: str, key: str) -> Self | None:
        """The latest parent run of that key; None if there is none.

        Raises:
            InputError: a process of this folder is at work on it.
        """
        found = MlflowClient().search_runs(
            [experiment_id], f"tags.`{KEY}` = '{key}'", ViewType.ACTIVE_ONLY, 1
        )
        if not found:
            return None
        run_id = found[0].info.run_id
        # Journals of processes that are gone were cleared away when this command began.
        if Path(JOURNALS, f"{run_id}.jsonl").exists():
            raise InputError("--resume", "yes", f"search {run_id} is still at work")
        return cls(run_id, experiment_id)

    def _begin(self) -> None:
        """What broke off before is at work no longer."""
        super()._begin()
        for run in self._runs("status = 'RUNNING'"):
            self.broke_off(run.run_id)

    def broke_off(self, run_id: str) -> None:
        """Take a training for interrupted: that says nothing of its configuration."""
        told = "its process ended, or the store failed it"
        tags = {"failure": told, "outcome": Outcome.FAILED, BROKEN_OFF: "yes"}
        self._client.log_batch(run_id, tags=[RunTag(*item) for item in tags.items()])
        self._client.set_terminated(run_id, "KILLED")

    def open_child(
        self, configuration: Configuration, number: int, role: str, point: "Point"
    ) -> RunLog:
        """A run for one training."""
        tags = {PARENT: self.run_id, NUMBER: str(number), ROLE: role, POINT: json.dumps(point)}
        return RunLog.start(
            self._experiment_id, configuration, further_tags=tags, is_one_of_many=True
        )

    def children(self) -> list[Child]:
        """The trainings that have ended, by number; what was interrupted is none of them."""
        ended = self._runs("status != 'KILLED' and status != 'RUNNING'")
        return sorted(map(child_of, ended), key=lambda child: child.number)

    def unbilled(self) -> list[BrokenOff]:
        """Trainings that broke off after the search had last said what it spent."""
        history = self._client.get_metric_history(self.run_id, "search_time_s")
        billed_at_ms = max((metric.timestamp for metric in history), default=0)
        return [
            BrokenOff(recorded(run), run.info.end_time, self._share_after(billed_at_ms, run))
            for run in self._found("status = 'KILLED'")
            if run.info.end_time > billed_at_ms
        ]

    def _share_after(self, billed_at_ms: int, run: Run) -> float:
        """Of a training's time, by its epochs. The search sees what is done on its own machine."""
        elsewhere = run.data.tags.get(MACHINE, platform.node()) != platform.node()
        if elsewhere or run.info.start_time >= billed_at_ms:
            return 1.0
        epochs = self._client.get_metric_history(run.info.run_id, "epoch_time_s")
        after = sum(epoch.value for epoch in epochs if epoch.timestamp > billed_at_ms)
        return after / sum(epoch.value for epoch in epochs) if after else 0.0

    def _runs(self, status: str) -> list[RecordedRun]:
        return [recorded(run) for run in self._found(status)]

    def _found(self, status: str) -> list[Run]:
        runs: list[Run] = []
        page_token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`{PARENT}` = '{self.run_id}' and {status}",
                ViewType.ACTIVE_ONLY,
                1000,
                page_token=page_token,
            )
            runs += page
            page_token = page.token
            if not page_token:
                return runs

    def accuracies(self, run_id: str) -> list[float]:
        """Validation accuracy after each epoch of a training."""
        history = self._client.get_metric_history(run_id, "val_accuracy")
        return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]

    def describe(self, text: str) -> None:
        """The description that a person reads on the parent's page, in Markdown."""
        self.tag({"mlflow.note.content": text})


def child_of(run: RecordedRun) -> Child:
    """A run of a search as one of its children."""
    tags = run.tags
    return Child(run, int(tags[NUMBER]), tags[ROLE], json.loads(tags[POINT]))
