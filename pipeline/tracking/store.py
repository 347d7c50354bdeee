"""Experiments and runs as MLflow has them."""

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Run
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from steps.errors import InputError, one_line, printable

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Without it, MLflow's page takes the experiment for one about language models."""

TRIES_TO_OPEN = 5
SECONDS_TO_LAY_TABLES = 60.0
"""By another process, on a busy machine; it takes one or two. `filelock.Timeout` is an OSError."""
LAID_BY_ANOTHER = ("already exists", "duplicate column", "no such table", "database is locked")


@dataclass(frozen=True)
class RecordedRun:
    """A run as MLflow has it."""

    run_id: str
    name: str
    status: str
    started_at_ms: int
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def open_experiment(name: str) -> str:
    """Id of the experiment of that name, made if there is none.

    Raises:
        InputError: it was deleted, or MLflow does not allow the name.
    """
    client = ready_client()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            # Another process may have been a moment faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise InputError("--experiment", name, one_line(error)) from None
    _refuse_deleted(found)
    return str(found.experiment_id)


def _refuse_deleted(experiment: Experiment) -> None:
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        back = f"`mlflow experiments restore -x {experiment.experiment_id}` brings it back"
        raise InputError("--experiment", experiment.name, f"was deleted; {back}")


def tracking_uri() -> str:
    """Of the store that this process talks to."""
    return str(mlflow.get_tracking_uri())


def existing_experiment(name: str) -> str:
    """Id of the experiment of that name.

    Raises:
        InputError: there is none, or it was deleted.
    """
    client = ready_client()
    found = client.get_experiment_by_name(name)
    if found is None:
        names = sorted(each.name for each in client.search_experiments())
        raise InputError("--experiment", name, f"there is none; choose of {', '.join(names)}")
    _refuse_deleted(found)
    return str(found.experiment_id)


def recorded(run: Run) -> RecordedRun:
    """What Greenest reads of a run of MLflow's, whose texts cannot steer a terminal."""
    return RecordedRun(
        run_id=run.info.run_id,
        name=printable(run.info.run_name or run.info.run_id),
        status=run.info.status,
        started_at_ms=run.info.start_time,
        parameters={name: _shown(text) for name, text in run.data.params.items()},
        metrics=run.data.metrics,
        tags={name: _shown(text) for name, text in run.data.tags.items()},
    )


def _shown(text: str) -> str:
    return text if text.isprintable() else printable(text)


def ready_client() -> MlflowClient:
    """A client of a store whose tables are there.

    MLflow lays them when a fresh database is first used; two processes that do so at once are in
    each other's way, and can leave tables behind that nobody can use.
    """
    for tries_left in reversed(range(TRIES_TO_OPEN)):
        try:
            with _one_at_a_time():
                client = MlflowClient()
                client.search_experiments(max_results=1)
            break
        except (MlflowException, OperationalError) as error:
            if not tries_left or not any(told in str(error) for told in LAID_BY_ANOTHER):
                raise
            time.sleep(1)
    return client


def _one_at_a_time() -> AbstractContextManager[object]:
    """Keeps other processes from opening the same SQLite file for the first time."""
    uri = tracking_uri()
    file = make_url(uri).database if uri.startswith("sqlite:") else None
    if not file or file == ":memory:" or not os.access(Path(file).parent, os.W_OK):
        return nullcontext()
    # For whoever may write there: the file itself may belong to another user.
    return FileLock(f"{file}.lock", timeout=SECONDS_TO_LAY_TABLES, mode=0o666)
