import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from energy import EnergyMeter, Measurement, Part
from energy.clock import MonotonicClock
from energy.sources.replay import ReplaySource, Trace
from steps.configuration import PREPROCESSINGS, Configuration, parse
from steps.outcome import Outcome
from steps.partition import learn_scaler, partition
from steps.preprocess import Table, preprocess
from steps.train import Epoch, Training, TrainToAccuracy, epochs, train
from steps.train.model import CLASSIFIER, build_classifier, build_optimizer, with_scaler

SMALL = Configuration(
    dataset="iris",
    partitioning="60-20-20",
    hidden="8",
    activation="relu",
    lr=0.05,
    batch_size=32,
    max_epochs=4,
    target_accuracy=0.99,
)
IRIS = preprocess("iris")
PARTS = partition(IRIS, SMALL.partitioning, SMALL.preprocessing, SMALL.seed)


def watts_meter(**watts: float) -> EnergyMeter:
    """A meter of devices that draw so many watts all the time."""
    clock = MonotonicClock()
    trace = Trace([0.0, 1e6], {device: [power, power] for device, power in watts.items()})
    return EnergyMeter([ReplaySource(trace, clock)], clock=clock)


def train_small(
    table: Table = IRIS, meter: EnergyMeter | None = None, **changes: object
) -> tuple[Training, list[Epoch]]:
    """The training, and the epochs that it handed on."""
    handed_on: list[Epoch] = []

    def record(settled: Sequence[Epoch]) -> None:
        assert settled
        handed_on.extend(settled)

    configuration = dataclasses.replace(SMALL, **changes)
    training = train(table, PARTS, configuration, meter or EnergyMeter([]), record)
    return training, handed_on


def weights_of(training: Training) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in training.model.get_weights()])


@pytest.fixture(scope="module")
def trained() -> tuple[Training, list[Epoch]]:
    return train_small()


@contextmanager
def readings(pace: str) -> Iterator[None]:
    """As they come, at most twice a second, or one after each epoch."""
    with pytest.MonkeyPatch.context() as patch:
        if pace == "each epoch":
            patch.setattr(epochs, "SECONDS_BETWEEN_READINGS", 0.0)
        yield


@pytest.fixture(scope="module", params=["each epoch", "now and then"])
def measured(request) -> tuple[Training, list[Epoch]]:
    with readings(request.param):
        meter = watts_meter(gpu0=70.0, gpu1=30.0, cpu=15.0, ram=5.0)
        return train_small(meter=meter, max_epochs=7, patience=100)


def test_the_same_seed_gives_equal_weights_and_another_seed_others(trained):
    weights = weights_of(trained[0])
    np.testing.assert_array_equal(weights_of(train_small()[0]), weights)
    assert not np.array_equal(weights_of(train_small(seed=1)[0]), weights)


def test_test_rows_have_no_say_in_training(trained):
    features, labels = IRIS.features.copy(), IRIS.labels.copy()
    features[PARTS.test] = 1e6
    labels[PARTS.test] = 0
    training, handed_on = train_small(dataclasses.replace(IRIS, features=features, labels=labels))
    np.testing.assert_array_equal(weights_of(training), weights_of(trained[0]))
    assert [curve(epoch) for epoch in handed_on] == [curve(epoch) for epoch in trained[1]]


def curve(epoch: Epoch) -> tuple[float, ...]:
    return epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy


def test_validation_rows_are_watched_and_not_learned_from(trained):
    features = IRIS.features.copy()
    features[PARTS.validation] = 1e3
    training, handed_on = train_small(dataclasses.replace(IRIS, features=features))
    np.testing.assert_array_equal(weights_of(training), weights_of(trained[0]))
    assert handed_on[-1].val_loss != trained[1][-1].val_loss


def test_the_saved_and_loaded_model_takes_raw_rows_and_tells_what_it_told_in_training(
    trained, tmp_path
):
    model = trained[0].model
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)

    raw_rows = IRIS.features.astype(np.float32)
    in_training = model.get_layer(CLASSIFIER)(PARTS.scaler.transform(IRIS.features))

    np.testing.assert_array_equal(loaded(raw_rows), in_training)
    validation = np.asarray(loaded(raw_rows[PARTS.validation])).argmax(axis=1)
    accuracy = np.mean(validation == IRIS.labels[PARTS.validation])
    assert accuracy == pytest.approx(trained[1][-1].val_accuracy)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_the_scaling_in_the_model_is_that_of_the_training_rows(preprocessing):
    random = np.random.default_rng(0)
    rows = random.normal([0, 1e3, -5, 0], [1e-3, 1e2, 7, 1], (50, 4))
    rows[:, 3] = 2.5
    scaler = learn_scaler(preprocessing, rows)
    classifier = build_classifier(SMALL, 4, 3)
    np.testing.assert_array_equal(
        with_scaler(classifier, scaler)(rows.astype(np.float32)), classifier(scaler.transform(rows))
    )


def test_each_epoch_is_handed_on_once_and_in_order(measured):
    training, handed_on = measured
    assert [epoch.number for epoch in handed_on] == list(range(1, 8))
    assert training.epochs == 7
    assert [epoch.ended_at for epoch in handed_on] == sorted(epoch.ended_at for epoch in handed_on)
    assert [epoch.learning_rate for epoch in handed_on] == pytest.approx([SMALL.lr] * 7)


def test_the_epochs_lie_in_the_window(measured):
    training, handed_on = measured
    times_s = [epoch.time_s for epoch in handed_on]
    assert min(times_s) > 0
    assert sum(times_s) <= training.measurement.duration_s


def test_the_energies_of_the_epochs_add_to_that_of_the_window(measured):
    training, handed_on = measured
    energies_j = [epoch.energy_j for epoch in handed_on]
    assert min(energies_j) > 0
    assert sum(energies_j) == pytest.approx(training.measurement.energy_j)
    assert handed_on[-1].reading == training.measurement


def test_energies_that_nobody_measured_are_none(trained):
    training, handed_on = trained
    assert training.measurement.energy_j is None
    assert {epoch.energy_j for epoch in handed_on} == {None}
    assert training.measurement.duration_s > 0


def test_a_training_that_reaches_its_target_stops_there():
    training, handed_on = train_small(max_epochs=200, target_accuracy=0.8, patience=3)
    accuracies = [epoch.val_accuracy for epoch in handed_on]
    assert training.outcome is Outcome.REACHED
    assert training.epochs == len(accuracies) < 200
    above = "".join("+" if accuracy > 0.8 else "-" for accuracy in accuracies)
    assert above.endswith("+++") and above.count("+++") == 1


def test_a_training_that_does_not_reach_its_target_spends_its_budget(trained):
    training = trained[0]
    assert (training.outcome, training.epochs) == (Outcome.BUDGET_EXHAUSTED, SMALL.max_epochs)


def test_a_training_whose_loss_is_not_finite_ends_as_diverged():
    training, handed_on = train_small(optimizer="sgd", lr=1e30, activation="linear")
    assert training.outcome is Outcome.DIVERGED
    assert training.epochs == len(handed_on) < SMALL.max_epochs


def interrupt_at_batch(count: int) -> Callable[..., None]:
    begun = []

    def on_train_batch_begin(rule: TrainToAccuracy, batch: int, logs: object = None) -> None:
        begun.append(batch)
        if len(begun) == count:
            raise KeyboardInterrupt

    return on_train_batch_begin


@pytest.mark.parametrize("pace", ["each epoch", "now and then"])
def test_an_interruption_settles_the_whole_epochs_and_closes_the_window(pace, monkeypatch):
    batches_per_epoch = -(-len(PARTS.train) // SMALL.batch_size)
    amid_the_third_epoch = 2 * batches_per_epoch + 2
    interrupt = interrupt_at_batch(amid_the_third_epoch)
    monkeypatch.setattr(TrainToAccuracy, "on_train_batch_begin", interrupt)
    meter = watts_meter(cpu=100.0)
    handed_on: list[Epoch] = []
    with readings(pace), pytest.raises(KeyboardInterrupt):
        train(IRIS, PARTS, SMALL, meter, handed_on.extend)
    assert [epoch.number for epoch in handed_on] == [1, 2]
    energies_j = [epoch.energy_j for epoch in handed_on]
    assert sum(energies_j) == pytest.approx(handed_on[-1].reading.energy_j)
    assert not meter.is_measuring


def test_a_reading_that_fails_in_between_neither_loses_nor_doubles_energy():
    def reading(energy_j: float | None) -> Measurement:
        known = () if energy_j is None else (Part(energy_j, 0.0, "measured (by hand)"),)
        return Measurement("training", 1.0, *known)

    handed_on: list[Epoch] = []
    recorder = epochs.EpochRecorder(lambda: reading(0.0), handed_on.extend)
    recorder.set_model(SimpleNamespace(stop_training=False, optimizer=build_optimizer(SMALL)))
    recorder.set_params({"epochs": 10})
    logs = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    for number, energy_j in enumerate((5.0, None, 12.0)):
        recorder.on_epoch_end(number, logs)
        recorder.settle(reading(energy_j))
    assert [epoch.energy_j for epoch in handed_on] == [5.0, None, 7.0]


@pytest.mark.parametrize(
    ("name", "momentum"), [("adam", 0), ("adamw", 0), ("rmsprop", 0.9), ("sgd", 0.5)]
)
def test_the_optimizer_is_keras_own_with_its_learning_rate_and_momentum(name, momentum):
    configuration = parse({"optimizer": name, "lr": "0.25", "momentum": str(momentum)})
    optimizer = build_optimizer(configuration)
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25
    assert getattr(optimizer, "momentum", 0) == momentum


def test_the_classifier_has_the_layers_that_were_asked_for():
    classifier = build_classifier(Configuration(hidden="7,5", activation="tanh"), 4, 3)
    shapes = [layer.kernel.shape for layer in classifier.layers]
    assert shapes == [(4, 7), (7, 5), (5, 3)]
    assert [layer.activation.__name__ for layer in classifier.layers] == ["tanh", "tanh", "softmax"]
