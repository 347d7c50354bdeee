"""The winner in the Model Registry: under one name, once, and it answers."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest

from pipeline import tracking
from pipeline.tracking.registry import register, registry_name
from steps.configuration import Configuration
from steps.preprocess import Dataset
from steps.scaling import learn_scaler

FEATURES = np.random.default_rng(0).normal(size=(12, 3))
DATASET = Dataset(
    source="npz:rows.npz",
    features=FEATURES,
    labels=np.arange(12) % 2,
    class_names=("no", "yes"),
)


def run_with_model(experiment="green", models=1):
    """Id of a new run that keeps so many models, and Keras' answers of the last of them."""
    from steps.train.model import build_classifier, with_scaler

    scaler = learn_scaler("standardization", FEATURES)
    with tracking.RunLog.start(tracking.open_experiment(experiment), Configuration()) as log:
        for _ in range(models):
            classifier = build_classifier(Configuration(hidden="4"), DATASET)
            model = with_scaler(classifier, scaler, DATASET)
            # Built from one seed, they would all be the same.
            model.set_weights([w + np.random.default_rng().normal() for w in model.get_weights()])
            log.keep_model(model, DATASET)
    return log.run_id, np.asarray(model(FEATURES.astype(np.float32)))


def answers_of(uri):
    return mlflow.pyfunc.load_model(uri).predict(FEATURES.astype(np.float32))


def versions_of(client, name="green"):
    return sorted(int(each.version) for each in client.search_model_versions(f"name = '{name}'"))


def test_the_alias_gives_the_model_of_the_run(store, capfd):
    run_id, expected = run_with_model()
    capfd.readouterr()
    registered = register("green", run_id, "Why it won.")
    assert capfd.readouterr() == ("", "")
    assert (registered.name, registered.version, registered.is_new) == ("green", 1, True)
    assert registered.uri == "models:/green@greenest"
    np.testing.assert_allclose(answers_of(registered.uri), expected, atol=1e-6)
    version = store.get_model_version_by_alias("green", "greenest")
    assert (version.run_id, version.description) == (run_id, "Why it won.")


def test_a_winner_that_is_there_already_becomes_no_new_version(store):
    run_id, _ = run_with_model()
    first = register("green", run_id, "")
    again = register("green", run_id, "")
    assert (again.version, again.is_new) == (first.version, False)
    assert versions_of(store) == [1]


def test_a_winner_that_wins_again_gets_the_alias_back(store):
    (one, expected), (other, _) = run_with_model(), run_with_model()
    told = [register("green", run_id, "") for run_id in (one, other, one)]
    assert [(each.version, each.is_new) for each in told] == [(1, True), (2, True), (1, False)]
    assert versions_of(store) == [1, 2]
    np.testing.assert_allclose(answers_of("models:/green@greenest"), expected, atol=1e-6)


def test_a_run_that_was_trained_again_is_served_as_it_is_now(store):
    run_id, _ = run_with_model()
    register("green", run_id, "")
    with tracking.RunLog(run_id) as log:
        from steps.train.model import build_classifier, with_scaler

        classifier = build_classifier(Configuration(hidden="4", seed=9), DATASET)
        model = with_scaler(classifier, learn_scaler("none", FEATURES), DATASET)
        log.keep_model(model, DATASET)
    registered = register("green", run_id, "")
    assert (registered.version, registered.is_new) == (2, True)
    expected = np.asarray(model(FEATURES.astype(np.float32)))
    np.testing.assert_allclose(answers_of(registered.uri), expected, atol=1e-6)


def test_a_run_without_a_model_is_told_and_leaves_no_empty_name(store):
    with tracking.RunLog.start(tracking.open_experiment("green"), Configuration()) as log:
        pass
    with pytest.raises(ValueError, match=f"run {log.run_id} keeps no model"):
        register("green", log.run_id, "")
    assert store.search_registered_models() == []


@pytest.mark.parametrize(
    ("experiment", "name"),
    [("green", "green"), ("me/it's: a@b?", "me-it's- a@b-"), ("a b%20c#d", "a b%20c#d")],
)
def test_experiments_whose_names_the_registry_forbids_can_be_served_all_the_same(
    store, experiment, name
):
    assert registry_name(experiment) == name
    run_id, expected = run_with_model(experiment)
    registered = register(experiment, run_id, "")
    assert registered.uri == f"models:/{name}@greenest"
    np.testing.assert_allclose(answers_of(registered.uri), expected, atol=1e-6)


def test_two_experiments_that_come_to_one_name_do_not_take_turns(store):
    slash, dash = run_with_model("a/b")[0], run_with_model("a-b")[0]
    register("a/b", slash, "")
    with pytest.raises(ValueError, match="registered model a-b is that of experiment a/b already"):
        register("a-b", dash, "")
    assert store.get_model_version_by_alias("a-b", "greenest").run_id == slash


def test_a_registered_model_of_the_users_own_keeps_its_aliases(store):
    run_id, _ = run_with_model()
    store.create_registered_model("green", {"mine": "yes"})
    theirs = store.create_model_version("green", str(Path("elsewhere").absolute()))
    store.set_registered_model_alias("green", "champion", theirs.version)
    assert register("green", run_id, "").version == 2
    registered = store.get_registered_model("green")
    aliases = {alias: int(version) for alias, version in registered.aliases.items()}
    assert aliases == {"champion": 1, "greenest": 2}
    assert registered.tags == {"mine": "yes"}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A tracking server in a process of its own, which this process talks to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).parent / "mlflow"), "server"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"),
            *("--artifacts-destination", str(tmp_path / "artifacts")),
        ],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient()
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def test_a_tracking_server_takes_the_model_and_the_comparison_too(store, server):
    run_id, expected = run_with_model()
    registered = [register("green", run_id, "") for _ in range(2)]
    assert [each.is_new for each in registered] == [True, False]
    np.testing.assert_allclose(answers_of("models:/green@greenest"), expected, atol=1e-6)
    comparison = tracking.record_comparison("green", "c", "Yes.", {}, {"a/b.txt": b"1"}, run_id)
    assert mlflow.artifacts.load_text(f"runs:/{comparison}/a/b.txt") == "1"
    assert server.get_run(run_id).data.tags["greenest"] == f"yes, by comparison {comparison}"
