"""A run that its store has lost is born again in the experiment that it was of."""

import shutil
import sqlite3

import mlflow
import pytest

from pipeline import tracking
from pipeline.journal import Journal
from pipeline.tracking import RunLog
from steps.configuration import Configuration


@pytest.fixture
def experiment_of_another_store(store, tmp_path, empty_database):
    """Id of an experiment that this process has written to, in another store than `store`."""
    here = mlflow.get_tracking_uri()
    other = tmp_path / "other.db"
    shutil.copy(empty_database, other)
    mlflow.set_tracking_uri(f"sqlite:///{other}")
    experiment_id = tracking.open_experiment("theirs")
    Journal(started_in(experiment_id)).delete()
    mlflow.set_tracking_uri(here)
    return experiment_id


def started_in(experiment_id: str) -> str:
    return RunLog.start(experiment_id, Configuration()).run_id


def lose_a_run_of(experiment_id, database):
    """The run waits for its delivery, and its store is empty again."""
    Journal(started_in(experiment_id)).leave()
    with sqlite3.connect(database) as rows:
        rows.execute("DELETE FROM runs")
        rows.execute("DELETE FROM experiment_tags")
        rows.execute("DELETE FROM experiments WHERE name <> 'Default'")
    rows.close()


def names_of_experiments_with_runs(store):
    return [
        each.name for each in store.search_experiments() if store.search_runs([each.experiment_id])
    ]


def test_another_store_s_experiment_of_the_same_id_does_not_get_it(
    store, experiment_of_another_store, tmp_path
):
    experiment_id = tracking.open_experiment("green")
    assert experiment_id == experiment_of_another_store
    lose_a_run_of(experiment_id, tmp_path / "mlflow.db")
    (delivery,) = tracking.deliver_all()
    assert delivery.told.endswith("since MLflow had lost it")
    assert names_of_experiments_with_runs(store) == ["green"]


def test_the_old_name_of_an_experiment_does_not_get_it(store, tmp_path):
    experiment_id = tracking.open_experiment("green")
    Journal(started_in(experiment_id)).delete()
    store.rename_experiment(experiment_id, "greener")
    lose_a_run_of(experiment_id, tmp_path / "mlflow.db")
    (delivery,) = tracking.deliver_all()
    assert delivery.told.endswith("since MLflow had lost it")
    assert names_of_experiments_with_runs(store) == ["greener"]
