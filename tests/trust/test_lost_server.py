"""A tracking server that goes away in mid-run costs no measurement, and no command its manners."""

import shutil
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
from extent import LONG, TALLY
from faulty_server import MISHAPS, FaultyServer
from mlflow.entities import ViewType
from sklearn.datasets import load_iris

from pipeline import tracking
from pipeline.cache import JOURNALS
from pipeline.journal import Journal
from pipeline.tracking import RunLog, patience
from steps.configuration import Configuration

RUN = ("run", "--dataset", "iris", "--hidden", "6", "--max-epochs", "3", "--country", "FRA")

BY_CHANCE = {"cpu_utilization", "energy.flags", "learning_rate", "training.caution"}
"""What a short run has or has not, or of which epochs, as the machine is busy or not."""


@pytest.fixture(scope="session")
def backend(tracking_servers):
    port = tracking_servers()
    client_of(port).search_experiments()
    return port


@pytest.fixture(scope="session")
def empty_backend(tracking_servers):
    """Where a run of `backend` is not known."""
    return tracking_servers()


@pytest.fixture
def server(backend, tmp_path, monkeypatch):
    """The server of this test's commands; MLflow itself gives up quickly, and so do we."""
    faulty = FaultyServer(backend)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", faulty.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
    monkeypatch.setattr(patience, "SECONDS_BETWEEN_TRIES", 0.1)
    mlflow.set_tracking_uri(faulty.uri)
    yield faulty
    faulty.stop()
    TALLY["faults injected"] += faulty.mishaps_met
    mlflow.set_tracking_uri(None)


def client_of(backend):
    return mlflow.MlflowClient(f"http://127.0.0.1:{backend}")


def runs(backend, experiment, view=ViewType.ACTIVE_ONLY):
    client = client_of(backend)
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id], run_view_type=view)


def artifacts(client, run_id, path=None):
    found = []
    for each in client.list_artifacts(run_id, path):
        found += artifacts(client, run_id, each.path) if each.is_dir else [each.path]
    return sorted(found)


def record(backend, run_id):
    """All that must be the same whatever happened on the way to the server."""
    client = client_of(backend)
    run = client.get_run(run_id)
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    return {
        "status": run.info.status,
        "parameters": run.data.params,
        "tags": sorted(run.data.tags.keys() - BY_CHANCE),
        "inputs": [each.dataset.digest for each in run.inputs.dataset_inputs],
        "artifacts": artifacts(client, run_id),
        "models": [(each.name, str(each.status)) for each in models],
        "points": {
            name: sorted({point.step for point in client.get_metric_history(run_id, name)})
            for name in run.data.metrics.keys() - BY_CHANCE
        },
        "curve": [point.step for point in client.get_metric_history(run_id, "val_loss")],
    }


@pytest.fixture(scope="session")
def undisturbed(backend, tmp_path_factory):
    """The record of a run that nothing happened to; made by the first test that asks."""
    return {}


def reference(undisturbed, backend, greenest):
    if not undisturbed:
        code, _, err = greenest(*RUN, "--experiment", "undisturbed")
        assert code == 0, err
        (run,) = runs(backend, "undisturbed")
        undisturbed.update(record(backend, run.info.run_id))
    return undisturbed


def test_a_server_that_is_back_soon_is_waited_for(
    server, backend, greenest, after_epoch, undisturbed, monkeypatch
):
    expected = reference(undisturbed, backend, greenest)
    monkeypatch.setattr(patience, "PATIENCE_S", 60.0)

    def vanish():
        server.begin("stopped")
        threading.Timer(2.0, server.recover).start()

    after_epoch(2, vanish)
    TALLY["faults injected"] += 1
    code, _, err = greenest(*RUN, "--experiment", "soon")
    assert code == 0, err
    assert "MLflow does not answer" in err and "waiting for 60 s at most" in err
    assert err.splitlines()[-1] == "MLflow answers again"
    (run,) = runs(backend, "soon")
    assert record(backend, run.info.run_id) == expected
    assert Journal.all() == []


@pytest.mark.parametrize("mishap", MISHAPS)
def test_what_a_server_misses_is_told_in_a_line_kept_and_delivered_once(
    server, backend, greenest, after_epoch, undisturbed, mishap, tmp_path, monkeypatch
):
    expected = reference(undisturbed, backend, greenest)

    def begin():
        server.begin(mishap)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")

    after_epoch(2, begin)
    TALLY["faults injected"] += 1
    code, out, err = greenest(*RUN, "--experiment", mishap)
    (run,) = runs(backend, mishap)
    run_id = run.info.run_id
    assert code == 1
    assert err.splitlines()[-1] == (
        f"Error: MLflow did not take everything; {JOURNALS} keeps run {run_id} until the next "
        "command, or `sync`, delivers it"
    )
    assert "Traceback" not in err and "Retrying" not in err
    assert "BUDGET_EXHAUSTED" in out
    assert run.info.status == "RUNNING"

    code, out, err = greenest("sync")
    assert code == 1
    assert f"run {run_id} waits: {server.uri}" in out
    assert "Traceback" not in err

    server.recover()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    kept = shutil.copytree(JOURNALS, tmp_path / "kept")
    for attempt in range(2):
        assert greenest("sync")[:2] == (0, f"run {run_id} is complete now\n")
        assert record(backend, run_id) == expected
        assert greenest("sync")[1] == "nothing waits: MLflow has everything\n"
        if not attempt:
            # As if the process had been killed before it could note what it had delivered.
            shutil.rmtree(JOURNALS)
            shutil.copytree(kept, JOURNALS)
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert len(model.predict(load_iris(as_frame=True).data.astype(np.float32))) == 150


@pytest.mark.skipif(not LONG, reason="takes a minute, and failed once on a busy machine")
def test_a_delivery_that_breaks_off_anywhere_is_taken_up(
    server, backend, greenest, after_epoch, undisturbed
):
    expected = reference(undisturbed, backend, greenest)
    after_epoch(2, lambda: server.begin("stopped"))
    greenest(*RUN, "--experiment", "piecemeal")
    (run,) = runs(backend, "piecemeal")
    attempts = 0
    while Journal.all() and attempts < 40:
        server.recover()
        server.begin("error", let_pass=4 + 3 * attempts)
        TALLY["faults injected"] += 1
        greenest("sync")
        attempts += 1
    server.recover()
    assert attempts > 2
    assert record(backend, run.info.run_id) == expected


def test_the_next_command_delivers_too_and_its_own_output_is_not_disturbed(
    server, backend, greenest, after_epoch, undisturbed
):
    expected = reference(undisturbed, backend, greenest)
    after_epoch(1, lambda: server.begin("stopped"))
    TALLY["faults injected"] += 1
    greenest(*RUN, "--experiment", "next")
    server.recover()
    (run,) = runs(backend, "next")
    code, out, err = greenest("cache", "--list")
    assert code == 0
    assert err == f"run {run.info.run_id} is complete now\n"
    assert "View run" not in out
    assert record(backend, run.info.run_id) == expected


def test_sync_delivers_wherever_a_run_belongs(
    server, backend, greenest, after_epoch, monkeypatch, tmp_path
):
    after_epoch(2, lambda: server.begin("stopped"))
    greenest(*RUN, "--experiment", "elsewhere")
    server.recover()
    local = f"sqlite:///{tmp_path / 'local.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local)
    mlflow.set_tracking_uri(local)
    assert greenest("sync")[0] == 0
    (run,) = runs(backend, "elsewhere")
    assert run.info.status == "FINISHED"
    assert mlflow.get_tracking_uri() == local
    assert not Path("local.db").exists()


def test_a_run_that_the_server_has_lost_is_delivered_as_a_new_one(
    server, backend, empty_backend, greenest, after_epoch, undisturbed
):
    expected = reference(undisturbed, backend, greenest)

    def forget():
        server.backend_port = empty_backend

    after_epoch(2, forget)
    TALLY["faults injected"] += 1
    code, _, err = greenest(*RUN, "--experiment", "lost")
    assert code == 1
    assert "MLflow did not take everything" in err.splitlines()[-1]
    code, out, err = greenest("sync")
    assert code == 0
    assert "since MLflow had lost it" in out, out + err
    (run,) = runs(empty_backend, "lost")
    assert out.endswith(f" as run {run.info.run_id}, since MLflow had lost it\n")
    assert record(empty_backend, run.info.run_id) == expected


@pytest.fixture
def mute_births(server, monkeypatch):
    """Of each run that is made the first answer gets lost, and MLflow asks again."""
    create = mlflow.MlflowClient.create_run

    def create_run(self, *words, **more):
        server.begin("mute")
        TALLY["faults injected"] += 1
        return create(self, *words, **more)

    monkeypatch.setattr(mlflow.MlflowClient, "create_run", create_run)


def assert_one_run_and_an_empty_twin(backend, experiment, status):
    assert [run.info.status for run in runs(backend, experiment)] == [status]
    (twin,) = runs(backend, experiment, ViewType.DELETED_ONLY)
    assert twin.data.metrics == {}


def test_a_run_is_born_once_even_if_the_answer_gets_lost(backend, greenest, mute_births):
    assert greenest(*RUN, "--experiment", "twins")[0] == 0
    assert_one_run_and_an_empty_twin(backend, "twins", "FINISHED")


@pytest.fixture
def lose_a_run_of(server, empty_backend):
    """Leaves a run of that experiment for delivery, to a server that does not know it."""

    def lose(experiment):
        run_id = RunLog.start(tracking.open_experiment(experiment), Configuration()).run_id
        Journal(run_id).leave()
        server.backend_port = empty_backend

    return lose


def test_a_lost_run_is_born_again_once_even_if_the_answer_gets_lost(
    empty_backend, greenest, mute_births, lose_a_run_of
):
    lose_a_run_of("twins again")
    assert greenest("sync")[0] == 0
    assert_one_run_and_an_empty_twin(empty_backend, "twins again", "KILLED")


def test_of_twins_that_a_broken_off_sync_left_the_next_one_keeps_one(
    server, empty_backend, greenest, mute_births, lose_a_run_of, monkeypatch
):
    lose_a_run_of("twins left")
    create = mlflow.MlflowClient.create_run

    def create_run(self, *words, **more):
        run = create(self, *words, **more)
        server.begin("error")
        return run

    monkeypatch.setattr(mlflow.MlflowClient, "create_run", create_run)
    assert greenest("sync")[0] == 1
    assert len(runs(empty_backend, "twins left")) == 2
    server.recover()
    assert greenest("sync")[0] == 0
    assert_one_run_and_an_empty_twin(empty_backend, "twins left", "KILLED")


def test_a_server_that_is_away_from_the_start_is_told_in_a_line(server, greenest):
    server.stop()
    code, out, err = greenest(*RUN)
    assert (code, out) == (1, "")
    assert err.startswith("Error: MLflow: ") and err.count("\n") == 1
    assert not any(JOURNALS.glob("*"))
