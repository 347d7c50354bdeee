"""The commands of the README in processes of their own, in a copy of the project."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sklearn.datasets import load_iris

FAST = {"dataset": "iris", "hidden": "16", "lr": "0.05", "batch_size": "16", "country": "FRA"}
ENDLESS = ("--dataset", "iris", "--lr", "1e-6", "--max-epochs", "100000", "--country", "FRA")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def copy(project, tmp_path_factory, empty_database):
    """The project in a folder of its own, so that runs do not land among the user's."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("pipeline", "steps", "energy"):
        shutil.copytree(project / name, folder / name)
    for name in ("MLproject", "conda.yaml", "requirements.txt"):
        shutil.copy(project / name, folder)
    shutil.copy(empty_database, folder)
    return folder


@pytest.fixture
def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}"}


@pytest.fixture
def typed(copy, environment):
    def type_(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=copy, env={**environment, **more}, capture_output=True, text=True
        )

    return type_


def mlflow_run(typed, *, entry_point="main", more=None, **parameters):
    words = [word for item in parameters.items() for word in ("-P", "=".join(item))]
    return typed(
        "mlflow", "run", ".", "-e", entry_point, "--env-manager", "local", *words, **(more or {})
    )


def active_runs(client):
    return [
        (experiment.name, run)
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
    ]


def wait_until(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


@pytest.fixture
def client(copy):
    return mlflow.MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")


def test_mlflow_run_leaves_one_finished_run_in_its_experiment_and_nothing_else(typed, client):
    done = mlflow_run(typed, experiment="alone", target_accuracy="0.9", **FAST)
    assert done.returncode == 0, done.stderr
    assert "REACHED" in done.stdout
    assert "cuda" not in done.stderr.lower() and "codecarbon" not in done.stderr.lower()
    assert wait_until(lambda: [name for name, _ in active_runs(client)] == ["alone"])
    ((_, run),) = active_runs(client)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    compared = typed(sys.executable, "-m", "pipeline.compare", "--experiment", "alone", "--json")
    assert json.loads(compared.stdout)["greenest"]["runs"] == [run.info.run_id]


def test_mlflow_run_with_a_bad_value_leaves_no_run(typed, client):
    before = len(active_runs(client))
    done = mlflow_run(typed, lr="abc")
    assert done.returncode != 0
    assert "Error: --lr abc: must be a number above 0, or auto\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert wait_until(lambda: len(active_runs(client)) == before)


def test_mlflow_models_predict_takes_a_csv_of_raw_rows(typed, client, copy):
    experiment = client.get_experiment_by_name("alone")
    (run,) = client.search_runs([experiment.experiment_id])
    iris = load_iris()
    frame = pd.DataFrame(iris.data, columns=iris.feature_names)
    frame.iloc[[0, 60, 149]].round().astype(int).to_csv(copy / "rows.csv", index=False)
    done = typed(
        *("mlflow", "models", "predict", "-m", f"runs:/{run.info.run_id}/model"),
        *("-t", "csv", "-i", "rows.csv", "--env-manager", "local"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])["predictions"]
    assert [max(row, key=row.get) for row in told] == list(iris.target_names)


def started(copy, environment, *words):
    """A run that has begun to train, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", *ENDLESS, *words],
        cwd=copy,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    experiment = words[words.index("--experiment") + 1]
    client = mlflow.MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")

    def running():
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id]) if found else []
        return [run for run in runs if "carbon.place" in run.data.tags]

    assert wait_until(running, 60), process.communicate()
    # Until an epoch is over: on a busy machine the first takes seconds.
    time.sleep(10)
    return process, running()[0].info.run_id


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_as_killed_and_keeps_its_curve(copy, environment, client, number):
    name = f"interrupted{number}"
    process, run_id = started(copy, environment, "--experiment", name)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in err
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["failure"] == "interrupted by the user"
    assert run.data.metrics["energy_spent_j"] > 0
    assert len(client.get_metric_history(run_id, "val_loss")) == run.data.metrics["epochs"]


def test_run_whose_process_was_killed_is_closed_by_the_next_start(copy, environment, typed, client):
    process, run_id = started(copy, environment, "--experiment", "killed")
    process.kill()
    process.communicate()
    assert client.get_run(run_id).info.status == "RUNNING"
    done = typed(
        *(sys.executable, "-m", "pipeline", "run", "--dataset", "iris", "--max-epochs", "1"),
        *("--country", "FRA", "--experiment", "killed"),
    )
    assert done.returncode == 0, done.stderr
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["outcome"] == "FAILED"
    assert run.data.metrics["energy_spent_j"] > 0
    assert run.data.tags["energy.ram"].startswith("estimated")
    # Read twice a second: the curve is there but for the last of these.
    assert run.data.metrics["time_spent_s"] > 0.4
    curve = client.get_metric_history(run_id, "val_loss")
    assert [point.step for point in curve] == list(range(1, int(run.data.metrics["epochs"]) + 1))
    assert list((copy / ".cache" / "journal").iterdir()) == []


@pytest.fixture
def server(tmp_path, environment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"),
            *("--artifacts-destination", str(tmp_path / "artifacts")),
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    assert wait_until(answers, 60)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def test_everything_works_the_same_with_a_tracking_server(server, typed, copy):
    more = {"MLFLOW_TRACKING_URI": server}
    local_before = (copy / "mlflow.db").stat().st_mtime
    for lr in ("0.05", "0.02"):
        done = mlflow_run(typed, more=more, **{**FAST, "lr": lr, "target_accuracy": "0.9"})
        assert done.returncode == 0, done.stderr
    client = mlflow.MlflowClient(server)
    assert wait_until(lambda: [name for name, _ in active_runs(client)] == ["green", "green"])
    compared = typed(sys.executable, "-m", "pipeline.compare", "--json", **more)
    ranking = json.loads(compared.stdout)["ranking"]
    assert {each["runs"][0] for each in ranking} == {
        run.info.run_id for _, run in active_runs(client)
    }
    run_id = ranking[0]["runs"][0]
    done = mlflow_run(typed, entry_point="evaluate", more=more, run_id=run_id)
    assert done.returncode == 0, done.stderr
    assert client.get_run(run_id).data.metrics["test_accuracy"] == ranking[0]["test_accuracy"]
    assert (copy / "mlflow.db").stat().st_mtime == local_before
