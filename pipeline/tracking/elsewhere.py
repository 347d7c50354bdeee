"""What a search and its workers, in other processes or on other machines, tell each other.

All of it is in MLflow: the tracking server is the only thing that they have in common.
"""

from collections.abc import Mapping
from functools import cached_property

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from pipeline.tags import PARENT
from pipeline.tracking.project_run import PROJECT_TAGS
from pipeline.tracking.search_log import NUMBER
from pipeline.tracking.store import RecordedRun, recorded

ENDED = ("FINISHED", "FAILED")
"""Status of a training that counts; one that was KILLED does not."""


class Exchange:
    """One search, seen from either side."""

    def __init__(self, search_id: str) -> None:
        """Args: the parent run."""
        self._search_id = search_id
        self._client = MlflowClient()

    @property
    def tracking_uri(self) -> str:
        """Of the store that both sides must reach."""
        return str(mlflow.get_tracking_uri())

    @property
    def project_tags(self) -> Mapping[str, str]:
        """What ``mlflow run`` knows of the project."""
        return PROJECT_TAGS

    @cached_property
    def experiment_id(self) -> str:
        """Of the search."""
        return str(self._client.get_run(self._search_id).info.experiment_id)

    def attempts(self, number: int) -> list[RecordedRun]:
        """The runs of a training, the latest first: several if workers were lost."""
        condition = f"tags.`{PARENT}` = '{self._search_id}' and tags.`{NUMBER}` = '{number}'"
        found = self._client.search_runs([self.experiment_id], condition, ViewType.ACTIVE_ONLY)
        return [recorded(run) for run in found]

    def best_so_far(self) -> float | None:
        """Cost of the best training, in the unit of the objective.

        None if there is none yet, or the server does not tell now.
        """
        try:
            run = self._client.get_run(self._search_id)
        except MlflowException:
            return None
        best = run.data.metrics.get("best_so_far")
        return None if best is None else float(best)
