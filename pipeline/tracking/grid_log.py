"""A grid of fixed-point formats in MLflow: a parent run, and a child for each point."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from pipeline.journal import Journal
from pipeline.tags import PARENT
from pipeline.tracking.open_run import OpenRun, new_run, points_at
from pipeline.tracking.project_run import PROJECT_TAGS

GRID_OF = "grid.run_id"
"""Tag of parent and children: the run whose model they are about.

Neither has a ``config_id`` or an ``outcome``: no training is to be compared with them.
"""

WALKS = "grid/walks.json"
"""Artifact of the parent: what each sampler met, evaluation by evaluation."""

Walked = tuple[str, int, Sequence[float]]
"""Sampler, seed, and the objective at each point that was new to it, in turn."""

SIMULATED = {"simulated": "fixed point emulated in float64: not a measure of time or energy"}


class GridLog(OpenRun):
    """The parent run, open for writing."""

    def __init__(self, run_id: str, experiment_id: str, grid_of: str) -> None:
        """Args: the parent, where it lies, and the run whose model it is about."""
        super().__init__(run_id)
        self._experiment_id = experiment_id
        self._grid_of = grid_of

    @classmethod
    def start(cls, grid_of: str, name: str, settings: Mapping[str, str], space: Path) -> Self:
        """Open a new parent run, in the experiment of the run whose model it is about.

        Args:
            grid_of: id of that run.
            name: of the new one.
            settings: what the grid was asked for. They become tags: parameters are a training's.
            space: the file of formats, kept as an artifact.
        """
        experiment_id = MlflowClient().get_run(grid_of).info.experiment_id
        told = {f"grid.{key}": value for key, value in settings.items()}
        tags = {**resolve_tags(), **PROJECT_TAGS, **told, **SIMULATED, GRID_OF: grid_of}
        run = new_run(experiment_id, name, tags)
        log = cls(run.info.run_id, experiment_id, grid_of)
        log._client.log_artifact(log.run_id, str(space))
        return log

    def point(self, name: str, parameters: Mapping[str, int], metrics: Mapping[str, float]) -> None:
        """A child run with all that is known of a point, its formats as parameters.

        Until it has everything it counts as KILLED, so that wherever this process may end, no run
        is left at work, and none that is not whole looks finished.
        """
        tags = {**PROJECT_TAGS, **SIMULATED, PARENT: self.run_id, GRID_OF: self._grid_of}
        run_id = new_run(self._experiment_id, name, tags).info.run_id
        self._client.set_terminated(run_id, "KILLED")
        Journal(run_id).delete()
        self._client.log_batch(
            run_id,
            metrics=[Metric(*point) for point in points_at(0, metrics)],
            params=[Param(key, str(value)) for key, value in parameters.items()],
        )
        self._client.set_terminated(run_id, "FINISHED")

    def walks(self, objective: str, walked: Sequence[Walked]) -> None:
        """How the samplers went, for whoever compares them."""
        self.artifact(WALKS, json.dumps({"objective": objective, "walks": walked}).encode())

    def describe(self, text: str) -> None:
        """The description that a person reads on the parent's page, in Markdown."""
        self.tag({"mlflow.note.content": text})


def walks_of(run_id: str) -> tuple[str, list[Walked]]:
    """The objective of a grid, and how its samplers went.

    Args:
        run_id: of the parent.

    Returns:
        No walks where none were kept: a front has none, nor has a grid of an older version.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = MlflowClient().download_artifacts(run_id, WALKS, folder)
            told = json.loads(Path(path).read_bytes())
            walked: list[Walked] = [
                (str(sampler), int(seed), [float(score) for score in scores])
                for sampler, seed, scores in told["walks"]
            ]
            return str(told["objective"]), walked
        except (MlflowException, OSError, ValueError, TypeError, KeyError):
            return "", []
