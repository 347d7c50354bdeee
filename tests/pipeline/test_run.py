"""A run as a user leaves it in MLflow, made in this process on a real store."""

import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.metering import Metering, machine_meter
from pipeline.run import run_configuration
from steps.configuration import Configuration
from steps.errors import InputError

METERING = Metering(country="FRA")
SMALL = {"dataset": "iris", "hidden": "16", "lr": 0.05, "batch_size": 16, "target_accuracy": 0.9}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run with everything in it, and its client."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        configuration = Configuration(**{**SMALL, "hidden": "19"}, quantization="int8")
        run = run_configuration(configuration, "green", METERING)
        yield mlflow.MlflowClient(), run, configuration
        mlflow.set_tracking_uri(None)


def test_run_has_every_hyperparameter_as_typed(finished):
    _, run, configuration = finished
    assert run.parameters == configuration.parameters()
    assert run.tags["config_id"] == configuration.config_id
    assert run.name == "adam-lr0.05-bs16-s0"
    assert run.status == "FINISHED"


def test_run_that_reached_its_target_has_what_it_cost(finished):
    _, run, _ = finished
    assert run.tags["outcome"] == "REACHED"
    assert run.metrics["energy_to_accuracy_j"] == run.metrics["energy_spent_j"] > 0
    assert run.metrics["time_to_accuracy_s"] == run.metrics["time_spent_s"] > 0
    parts = [run.metrics.get(f"{part}_energy_j", 0.0) for part in ("gpu", "cpu", "ram")]
    assert sum(parts) == pytest.approx(run.metrics["energy_spent_j"])


def test_emissions_are_energy_times_the_intensity_of_the_country(finished):
    _, run, _ = finished
    assert run.tags["carbon.place"] == "FRA"
    intensity = float(run.tags["carbon.intensity_g_per_kwh"])
    expected = run.metrics["energy_spent_j"] / 3.6e6 * intensity / 1000
    assert run.metrics["emissions_kg"] == pytest.approx(expected, rel=1e-4)
    to_target = run.metrics["emissions_to_accuracy_kg"]
    assert to_target / run.metrics["emissions_kg"] == pytest.approx(
        run.metrics["energy_to_accuracy_j"] / run.metrics["energy_spent_j"]
    )


def test_what_was_not_measured_has_no_metric_and_says_so(finished):
    _, run, _ = finished
    for part in ("gpu", "cpu", "ram"):
        told = run.tags[f"energy.{part}"]
        assert told.split(" ")[0] in ("measured", "estimated", "absent")
        assert (f"{part}_energy_j" in run.metrics) == (not told.startswith("absent"))


def test_curves_have_one_value_per_epoch_and_their_energies_add_up(finished):
    client, run, _ = finished
    epochs = int(run.metrics["epochs"])
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        history = client.get_metric_history(run.run_id, name)
        assert [metric.step for metric in history] == list(range(1, epochs + 1))
    for per_epoch, compilation, total in (
        ("epoch_energy_j", "compile_energy_j", "energy_spent_j"),
        ("epoch_time_s", "compile_time_s", "time_spent_s"),
    ):
        values = [metric.value for metric in client.get_metric_history(run.run_id, per_epoch)]
        assert len(values) == epochs
        assert sum(values) <= run.metrics[total]
        assert run.tags["training.graph"] == "compiled by this run"
        told = sum(values) + run.metrics[compilation]
        assert told == pytest.approx(run.metrics[total], rel=0.35)


def test_last_epochs_of_the_curve_are_above_the_target_in_a_row(finished):
    client, run, configuration = finished
    accuracies = [m.value for m in client.get_metric_history(run.run_id, "val_accuracy")]
    above = [accuracy > configuration.target_accuracy for accuracy in accuracies]
    assert all(above[-configuration.patience :])
    streaks = [all(above[i : i + configuration.patience]) for i in range(len(above) - 2)]
    assert streaks.index(True) == len(above) - configuration.patience


def test_logged_model_gives_named_probabilities_for_raw_rows_of_any_number_type(finished):
    _, run, _ = finished
    from sklearn.datasets import load_iris

    iris = load_iris()
    model = mlflow.pyfunc.load_model(f"runs:/{run.run_id}/model")
    rows = pd.DataFrame(iris.data, columns=iris.feature_names)
    told = model.predict(rows)
    assert list(told.columns) == list(iris.target_names)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    parts = np.load(io.BytesIO(_artifact(finished, "partition/indices.npz")), allow_pickle=False)
    accuracy = (told.to_numpy().argmax(axis=1) == iris.target)[parts["test"]].mean()
    assert accuracy == pytest.approx(run.metrics["test_accuracy"])
    whole_numbers = rows.round().astype(int)
    assert model.predict(whole_numbers).shape == (150, 3)


def test_model_has_signature_input_example_and_explicit_requirements(finished):
    _, run, _ = finished
    info = mlflow.models.get_model_info(f"runs:/{run.run_id}/model")
    assert info.signature.inputs.input_names()[0] == "sepal length (cm)"
    assert info.saved_input_example_info is not None
    requirements = mlflow.pyfunc.get_model_dependencies(f"runs:/{run.run_id}/model")
    assert "keras==" in Path(requirements).read_text()


def test_dataset_is_an_input_of_the_run(finished):
    client, run, _ = finished
    (dataset,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert dataset.dataset.name == "iris"
    assert dataset.dataset.digest == run.tags["dataset_digest"]


def test_description_tells_outcome_and_provenance(finished):
    _, run, _ = finished
    note = run.tags["mlflow.note.content"]
    assert "**Reached** the target" in note
    assert run.tags["energy.cpu"] in note
    assert "| **int8** |" in note


def test_quantized_model_is_an_artifact_with_its_own_scores(finished):
    _, run, _ = finished
    from ai_edge_litert.interpreter import Interpreter

    content = _artifact(finished, "quantize/int8.tflite")
    assert 0 < run.metrics["quantized_model_size_bytes"] < len(content)
    Interpreter(model_content=content).allocate_tensors()
    assert abs(run.metrics["quantized_test_accuracy"] - run.metrics["test_accuracy"]) <= 0.1


def _artifact(finished, path):
    client, run, _ = finished
    return Path(client.download_artifacts(run.run_id, path)).read_bytes()


def test_run_that_misses_its_target_has_no_energy_to_accuracy(store):
    run = run_configuration(Configuration(dataset="iris", lr=1e-6, max_epochs=2), "green", METERING)
    assert run.tags["outcome"] == "BUDGET_EXHAUSTED"
    assert run.metrics["epochs"] == 2
    assert run.metrics["energy_spent_j"] > 0
    assert not {"energy_to_accuracy_j", "time_to_accuracy_s"} & set(run.metrics)
    assert "**Missed** the target" in run.tags["mlflow.note.content"]


def test_run_that_diverges_says_so_and_is_not_scored(store):
    run = run_configuration(
        Configuration(dataset="iris", optimizer="sgd", lr=1e30, activation="relu", max_epochs=9),
        "green",
        METERING,
    )
    assert run.tags["outcome"] == "DIVERGED"
    assert run.metrics["epochs"] < 9
    assert not {"test_accuracy", "energy_to_accuracy_j"} & set(run.metrics)
    assert "**Diverged**" in run.tags["mlflow.note.content"]


def test_data_that_cannot_be_used_leave_no_run(store, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,class\n1,2,x\n3,,y\n")
    with pytest.raises(InputError, match="column b, row 3"):
        run_configuration(Configuration(dataset=f"csv:{path}"), "green", METERING)
    experiment = store.get_experiment_by_name("green")
    assert store.search_runs([experiment.experiment_id]) == []


def test_error_inside_a_run_ends_it_as_failed_with_the_reason(store, monkeypatch):
    from steps import evaluate

    def broken(*_):
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr(evaluate, "evaluate", broken)
    with pytest.raises(RuntimeError):
        run_configuration(Configuration(**SMALL), "green", METERING)
    (run,) = store.search_runs([store.get_experiment_by_name("green").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == "the disk is full"
    # Training had come to its end: that result is kept.
    assert run.data.tags["outcome"] == "REACHED"
    assert "energy_to_accuracy_j" in run.data.metrics


def test_interrupted_run_is_killed_and_keeps_what_was_measured(store, monkeypatch):
    from steps import train
    from steps.train.epochs import EpochRecorder

    count = EpochRecorder.on_epoch_end

    def interrupt(self, epoch, logs=None):
        count(self, epoch, logs)
        if epoch == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.EpochRecorder, "on_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_configuration(Configuration(**SMALL, patience=400), "green", METERING)
    (run,) = store.search_runs([store.get_experiment_by_name("green").experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.tags["outcome"] == "FAILED"
    assert run.data.metrics["epochs"] == 5
    assert run.data.metrics["energy_spent_j"] > 0
    assert "energy_to_accuracy_j" not in run.data.metrics
    assert len(store.get_metric_history(run.info.run_id, "val_accuracy")) == 5


def test_all_runs_of_a_process_share_one_meter():
    assert machine_meter(METERING) is machine_meter(Metering(country="FRA"))


def test_dataset_summary_lists_rows_per_class(finished):
    summary = json.loads(_artifact(finished, "preprocess/dataset.json"))
    assert summary["rows_per_class"] == {"setosa": 50, "versicolor": 50, "virginica": 50}
