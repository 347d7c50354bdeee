"""A real store of a module's own, and experiments of runs in it."""

import shutil
import uuid

import mlflow
import pytest
from bulk_store import write_runs

from pipeline.tracking import RecordedRun


@pytest.fixture(scope="module")
def database(tmp_path_factory, empty_database) -> str:
    """Of a module's own."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path_factory.mktemp('runs'))}"


@pytest.fixture
def reads_from(database):
    """Reads go to that database."""
    mlflow.set_tracking_uri(database)
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def experiment(database):
    """Makes an experiment of runs; returns its name."""
    client = mlflow.MlflowClient(database)

    def make(*runs: RecordedRun, deleted: tuple[str, ...] = ()) -> str:
        name = uuid.uuid4().hex
        write_runs(database, client.create_experiment(name), runs, deleted)
        return name

    return make
