"""A final training: on all rows but the test part's, to a fixed end, and never ranked."""

import math
from dataclasses import replace

import mlflow
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy import EnergyMeter
from pipeline import tracking
from pipeline.choice import comparable
from pipeline.note import note
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome
from steps.partition import for_final_training, partition
from steps.preprocess import preprocess
from steps.scaling import learn_scaler
from steps.train import train

EPOCHS = 4
CONFIGURATION = Configuration(
    dataset="iris", hidden="8", lr=0.05, batch_size=16, target_accuracy=0.0, patience=1
)
"""Reaches its target in its first epoch."""


@pytest.fixture(scope="module")
def dataset():
    return preprocess(CONFIGURATION)


@pytest.fixture(scope="module")
def parts(dataset):
    return partition(dataset, "60-20-20", "standardization", seed=0)


@pytest.fixture(scope="module")
def meter():
    with EnergyMeter.for_this_machine(carbon_intensity_g_per_kwh=0.0) as meter:
        yield meter


@settings(max_examples=20)
@given(
    shares=st.sampled_from(["80-10-10", "60-20-20", "34-33-33"]),
    seed=st.integers(0, 1000),
    preprocessing=st.sampled_from(["none", "standardization", "robust_scaling", "minmax"]),
)
def test_validation_rows_join_the_training_rows_and_the_test_rows_stay(
    dataset, shares, seed, preprocessing
):
    parts = partition(dataset, shares, preprocessing, seed)
    final = for_final_training(parts, dataset, preprocessing)
    np.testing.assert_array_equal(final.test, parts.test)
    assert len(final.validation) == 0
    both = np.sort(np.concatenate([parts.train, parts.validation]))
    np.testing.assert_array_equal(final.train, both)
    known = learn_scaler(preprocessing, dataset.features[both])
    np.testing.assert_array_equal(final.scaler.center, known.center)
    np.testing.assert_array_equal(final.scaler.scale, known.scale)
    assert final.duplicates["test"] >= parts.duplicates["test"]


def test_it_trains_to_its_end_whatever_the_target_and_early_stopping_say(dataset, parts, meter):
    impatient = replace(CONFIGURATION, early_stopping="10,1")
    assert train(dataset, parts, impatient, meter).epochs == 1
    final = for_final_training(parts, dataset, "standardization")
    training = train(dataset, final, impatient, meter, final_epochs=EPOCHS)
    assert (training.epochs, training.outcome) == (EPOCHS, Outcome.FINAL)
    assert training.stopped_early is False
    assert not [name for name in training.report.history if name.startswith("val_")]


def test_its_weights_are_those_of_a_training_on_the_same_rows_that_is_validated(
    dataset, parts, meter
):
    final = for_final_training(parts, dataset, "standardization")
    training = train(dataset, final, CONFIGURATION, meter, final_epochs=EPOCHS)
    # Nothing is above this target, so that the other has no reason to end before its budget.
    endless = replace(CONFIGURATION, target_accuracy=0.999, patience=99, max_epochs=EPOCHS)
    watched = replace(final, validation=parts.test)
    validated = train(dataset, watched, endless, meter)
    assert validated.epochs == EPOCHS
    pairs = zip(training.model.get_weights(), validated.model.get_weights(), strict=True)
    assert all(np.array_equal(own, other) for own, other in pairs)


def test_a_schedule_keeps_the_horizon_that_it_was_chosen_with(dataset, parts, meter):
    epochs = []
    cosine = replace(CONFIGURATION, lr_schedule="cosine", max_epochs=20)
    final = for_final_training(parts, dataset, "standardization")
    train(dataset, final, cosine, meter, epochs.extend, final_epochs=10)
    # Half of the way down a cosine is half of the rate; with a horizon of 10 it would be 0.
    assert epochs[-1].learning_rate == pytest.approx(0.5 * 0.05, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_it_as_diverged(dataset, parts, meter):
    final = for_final_training(parts, dataset, "standardization")
    hopeless = replace(CONFIGURATION, optimizer="sgd", lr=1e38, activation="relu")
    training = train(dataset, final, hopeless, meter, final_epochs=EPOCHS)
    assert training.outcome is Outcome.DIVERGED
    assert training.epochs < EPOCHS


def test_rows_without_a_validation_part_are_trained_in_no_other_way(dataset, parts, meter):
    final = for_final_training(parts, dataset, "standardization")
    with pytest.raises(InputError, match="no validation rows are left"):
        train(dataset, final, CONFIGURATION, meter)


@pytest.fixture
def config(tmp_path):
    def write(**changed):
        values = {
            **{"dataset": "iris", "hidden": 8, "lr": 0.05, "batch_size": 16},
            **{"target_accuracy": 0.5, "max_epochs": 20, "final_epochs": EPOCHS},
            **changed,
        }
        lines = [f"{name}: {value}" for name, value in values.items() if value is not None]
        path = tmp_path / "mine.yaml"
        path.write_text("\n".join(lines))
        return ("run", "--config", str(path), "--country", "FRA")

    return write


def run_of(store):
    experiment = store.get_experiment_by_name("green")
    (run,) = store.search_runs([experiment.experiment_id])
    return run


def test_its_run_says_what_it_was_reports_the_test_and_keeps_the_model(store, greenest, config):
    code, out, err = greenest(*config(), "--final")
    assert code == 0, err
    assert "FINAL (no target, no validation rows)" in out
    run = run_of(store)
    assert (run.data.tags["outcome"], run.data.tags["final"]) == ("FINAL", "yes")
    assert run.data.tags["dataset.parts"].startswith("135 train, 0 validation, 15 test")
    assert run.info.run_name.endswith("-final")
    assert run.data.metrics["epochs"] == EPOCHS
    assert run.data.metrics["test_accuracy"] > 0.5
    assert run.data.metrics["energy_spent_j"] > 0
    names = set(run.data.metrics)
    assert not names & {"val_loss", "val_accuracy", "energy_to_accuracy_j", "time_to_accuracy_s"}
    assert "**Final training** of 4 epochs" in run.data.tags["mlflow.note.content"]
    model = mlflow.tensorflow.load_model(f"runs:/{run.info.run_id}/model")
    assert model.count_params() > 0


@pytest.mark.parametrize("lr", ["0.05", "1e38"])
def test_no_comparison_takes_it_for_a_repeat_and_says_why(store, greenest, config, lr):
    words = config(lr=lr, optimizer="sgd", activation="relu")
    assert greenest(*words, "--final", "yes")[0] == 0
    outcome = run_of(store).data.tags["outcome"]
    assert outcome == ("DIVERGED" if lr == "1e38" else "FINAL")
    runs, excluded = comparable(tracking.runs_of("green"))
    assert runs == []
    (left_out,) = excluded
    assert "validation rows too" in left_out.why


def test_the_note_of_a_final_training_names_no_target(store, greenest, config):
    assert greenest(*config(), "--final")[0] == 0
    (run,) = tracking.runs_of("green")
    assert "target, validation accuracy" not in note(run)
    assert math.isfinite(run.metrics["test_loss"])


def test_the_curves_of_a_final_training_are_those_of_the_training_rows(dataset, parts, meter):
    from pipeline.figures import training_card

    epochs = []
    final = for_final_training(parts, dataset, "standardization")
    train(dataset, final, CONFIGURATION, meter, epochs.extend, final_epochs=EPOCHS)
    figure = training_card(epochs, None, target=0.9)
    assert {trace.name for trace in figure.data} == {"training"}
    assert not figure.layout.shapes


@pytest.mark.parametrize(
    ("words", "changed", "told"),
    [
        (("--final", "maybe"), {}, "--final maybe: choose yes or no"),
        (("--final",), {"final_epochs": None}, "has no final_epochs"),
        (("--final", "--max-epochs", "3"), {}, "--max-epochs 3: is less than the final_epochs"),
    ],
)
def test_what_a_final_training_cannot_do_without_is_told(greenest, config, words, changed, told):
    code, _, err = greenest(*config(**changed), *words)
    assert (code, err.count("\n")) == (2, 1)
    assert told in err


def test_a_final_training_needs_a_file(greenest):
    code, _, err = greenest("run", "--final")
    assert (code, "--final yes: needs --config FILE" in err) == (2, True)
