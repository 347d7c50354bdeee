"""From a search to an answering server: search, compare, registry, serve, predict, train again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
from sklearn.datasets import load_digits

SPACE = """\
purpose: "Of the test."
parameters:
  lr: [0.02, 0.01]
  batch_size: 64
"""
TRAINED = ("--hidden", "16", "--target-accuracy", "0.85", "--patience", "1", "--max-epochs", "30")
SECONDS_TO_START = 120
BIN = Path(sys.executable).parent


@pytest.fixture
def environment():
    """Of processes that find the same store as this one."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def serve(tmp_path, environment):
    """Starts `mlflow models serve` on loopback; all of them end with the test."""
    processes = []

    def start(model: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = (tmp_path / "serve.log").open("w")
        processes.append(
            subprocess.Popen(
                [
                    *("mlflow", "models", "serve", "-m", model, "--env-manager", "local"),
                    *("-h", "127.0.0.1", "-p", str(port)),
                ],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )
        server = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                with urllib.request.urlopen(f"{server}/ping"):
                    return server
            except OSError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def ask(server, rows):
    request = urllib.request.Request(
        f"{server}/invocations",
        json.dumps({"dataframe_split": rows.to_dict("split")}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["predictions"]


def weights_of(run_id):
    return mlflow.tensorflow.load_model(f"runs:/{run_id}/model").get_weights()


def the_comparison_of(store, experiment):
    (run,) = store.search_runs(
        [store.get_experiment_by_name(experiment).experiment_id], "tags.`greenest.kind` != ''"
    )
    return run


def the_run_of(store, experiment):
    (run,) = store.search_runs([store.get_experiment_by_name(experiment).experiment_id])
    return run


def test_a_search_ends_in_a_server_that_answers_and_a_file_that_gives_its_weights_again(
    store, greenest, serve, tmp_path, project, environment
):
    (tmp_path / "small.yaml").write_text(SPACE)
    code, _, err = greenest(
        *("search", "--space", "small.yaml", "--trials", "2", "--repeats", "2"),
        *("--confirm-top", "1", "--pruning", "none", "--country", "FRA", *TRAINED),
    )
    assert code == 0, err

    code, out, err = greenest("compare", "--experiment", "green")
    assert code == 0, err
    assert "models:/green@greenest" in out
    comparison = the_comparison_of(store, "green")
    assert {file.path for file in store.list_artifacts(comparison.info.run_id)} == {
        *("figures", "greenest.yaml", "ranking.csv", "ranking.json", "report.html")
    }
    won = store.get_run(comparison.data.tags["greenest.run"])
    weights = weights_of(won.info.run_id)

    server = serve("models:/green@greenest")
    digits = load_digits(as_frame=True)
    told = ask(server, digits.data)
    answers = np.array([int(max(row, key=row.get)) for row in told])
    assert np.mean(answers == digits.target) > 0.8
    model = mlflow.tensorflow.load_model(f"runs:/{won.info.run_id}/model")
    expected = np.asarray(model(digits.data.to_numpy(np.float32)))
    named = [[row[str(name)] for name in digits.target_names] for row in told]
    np.testing.assert_allclose(named, expected, atol=1e-6)

    # In this process, which has trained others since, and by MLflow in one of its own.
    code, _, err = greenest(
        *("run", "--config", "greenest.yaml", "--country", "FRA", "--experiment", "again")
    )
    assert code == 0, err
    for name in ("pipeline", "steps", "energy"):
        shutil.copytree(project / name, tmp_path / name)
    for name in ("MLproject", "conda.yaml", "requirements.txt"):
        shutil.copy(project / name, tmp_path)
    done = subprocess.run(
        [
            *("mlflow", "run", ".", "--env-manager", "local", "-P", "config=greenest.yaml"),
            *("-P", "country=FRA", "-P", "experiment=by-mlflow"),
        ],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for experiment in ("again", "by-mlflow"):
        run = the_run_of(store, experiment)
        assert run.data.params == won.data.params
        assert run.data.tags["config_id"] == won.data.tags["config_id"]
        again = weights_of(run.info.run_id)
        pairs = zip(again, weights, strict=True)
        assert all(np.array_equal(*pair) for pair in pairs), experiment
