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
from steps.configuration import PREPROCESSINGS, Configuration
from steps.outcome import Outcome
from steps.partition import partition
from steps.preprocess import Dataset, preprocess
from steps.scaling import learn_scaler
from steps.train import Epoch, Progress, Rows, Training, TrainToAccuracy, epochs, train
from steps.train.model import CLASSIFIER, build_classifier, with_scaler

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
IRIS = preprocess(SMALL)
PARTS = partition(IRIS, SMALL.partitioning, SMALL.preprocessing, SMALL.seed)


def watts_meter(**watts: float) -> EnergyMeter:
    """A meter of devices that draw so many watts all the time."""
    clock = MonotonicClock()
    trace = Trace([0.0, 1e6], {device: [power, power] for device, power in watts.items()})
    return EnergyMeter([ReplaySource(trace, clock)], clock=clock)


def train_small(
    dataset: Dataset = IRIS, meter: EnergyMeter | None = None, **changes: object
) -> tuple[Training, list[Epoch]]:
    """The training, and the epochs that it handed on."""
    handed_on: list[Epoch] = []

    def record(settled: Sequence[Epoch]) -> None:
        assert settled
        handed_on.extend(settled)

    configuration = dataclasses.replace(SMALL, **changes)
    training = train(dataset, PARTS, configuration, meter or EnergyMeter([]), record)
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
    classifier = build_classifier(SMALL, IRIS)
    np.testing.assert_array_equal(
        with_scaler(classifier, scaler, IRIS)(rows.astype(np.float32)),
        classifier(scaler.transform(rows)),
    )


def test_each_epoch_is_handed_on_once_and_in_order(measured):
    training, handed_on = measured
    assert [epoch.number for epoch in handed_on] == list(range(1, 8))
    assert training.epochs == 7
    assert [epoch.ended_at for epoch in handed_on] == sorted(epoch.ended_at for epoch in handed_on)
    rates = [epoch.learning_rate for epoch in handed_on if epoch.learning_rate is not None]
    assert rates == pytest.approx([SMALL.lr] * len(rates)) and rates


def test_the_epochs_lie_in_the_window(measured):
    training, handed_on = measured
    times_s = [epoch.time_s for epoch in handed_on]
    assert min(times_s) > 0
    assert sum(times_s) <= training.measurement.duration_s


def test_the_energies_of_the_epochs_add_to_that_of_the_window_less_what_came_before_them(measured):
    training, handed_on = measured
    energies_j = [epoch.energy_j for epoch in handed_on]
    times_s = [epoch.time_s for epoch in handed_on]
    assert min(energies_j) > 0
    assert training.measurement.energy_j == pytest.approx(
        120 * training.measurement.duration_s, rel=0.01
    )
    # All that was used while they ran is theirs, and nothing of what came before.
    before_j = 120 * training.report.compile_time_s
    assert 0.95 * 120 * sum(times_s) <= sum(energies_j)
    assert sum(energies_j) <= training.measurement.energy_j - 0.95 * before_j
    assert handed_on[-1].reading == training.measurement


def test_a_graph_that_was_there_costs_a_run_nothing_and_is_told_all_the_same():
    meter = watts_meter(cpu=100.0)
    first, _ = train_small(meter=meter, hidden="9")
    again, _ = train_small(meter=meter, hidden="9", lr=0.07, seed=3)
    assert (first.compilation_is_shared, again.compilation_is_shared) == (False, True)
    assert again.compilation == first.compilation
    assert first.compilation.energy_j == pytest.approx(100 * first.compilation.time_s, rel=0.05)
    assert again.report.compile_time_s == 0
    assert again.measurement.duration_s < first.measurement.duration_s


def test_the_learning_rate_that_auto_found_is_used_and_its_cost_told_apart():
    training, _ = train_small(meter=watts_meter(cpu=100.0), lr="auto")
    assert training.finding_lr is not None
    assert training.finding_lr.energy_j == pytest.approx(100 * training.finding_lr.time_s, rel=0.05)
    assert training.finding_lr.energy_j < training.measurement.energy_j
    assert 1e-7 < training.learning_rate < 10


def test_early_stopping_gives_up_before_the_budget_is_spent():
    training, _ = train_small(lr=1e-6, max_epochs=100, early_stopping="0.1,2")
    assert training.stopped_early
    assert training.outcome is Outcome.BUDGET_EXHAUSTED
    assert training.epochs == 3


def test_a_full_batch_is_one_step_per_epoch():
    training, _ = train_small(batch_size="full")
    assert training.report.batch_losses.shape == (SMALL.max_epochs, 1)


@pytest.mark.parametrize("name", ["float16", "float64", "mixed_float16", "mixed_bfloat16"])
def test_precision_is_that_of_the_weights_and_is_put_back_afterwards(name):
    before = keras.config.dtype_policy().name, keras.config.floatx()
    training, _ = train_small(precision=name, optimizer="sgd", lr=0.01)
    weight = training.model.get_layer(CLASSIFIER).get_layer("hidden_1").kernel
    assert weight.dtype == ("float32" if name.startswith("mixed") else name)
    assert (keras.config.dtype_policy().name, keras.config.floatx()) == before


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_augmentation_changes_what_is_learned_and_never_what_validates(name, trained):
    training, handed_on = train_small(augmentation=name)
    assert not np.array_equal(weights_of(training), weights_of(trained[0]))
    told = np.asarray(training.model(IRIS.features[PARTS.validation].astype(np.float32)))
    accuracy = np.mean(told.argmax(axis=1) == IRIS.labels[PARTS.validation])
    assert accuracy == pytest.approx(handed_on[-1].val_accuracy)


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


def interrupt_in_epoch(count: int) -> Callable[..., None]:
    def on_epoch_begin(rule: TrainToAccuracy, epoch: int, logs: object = None) -> None:
        if epoch + 1 == count:
            raise KeyboardInterrupt

    return on_epoch_begin


@pytest.mark.parametrize("pace", ["each epoch", "now and then"])
def test_an_interruption_settles_the_whole_epochs_and_closes_the_window(pace, monkeypatch):
    monkeypatch.setattr(TrainToAccuracy, "on_epoch_begin", interrupt_in_epoch(3))
    meter = watts_meter(cpu=100.0)
    handed_on: list[Epoch] = []
    with readings(pace), pytest.raises(KeyboardInterrupt):
        train(IRIS, PARTS, SMALL, meter, handed_on.extend)
    assert [epoch.number for epoch in handed_on] == [1, 2]
    energies_j = [epoch.energy_j for epoch in handed_on]
    assert 0 < sum(energies_j) < handed_on[-1].reading.energy_j
    assert not meter.is_measuring


def test_a_reading_that_fails_in_between_neither_loses_nor_doubles_energy():
    def reading(energy_j: float | None) -> Measurement:
        known = () if energy_j is None else (Part(energy_j, 0.0, "measured (by hand)"),)
        return Measurement("training", 1.0, *known)

    handed_on: list[Epoch] = []
    told = iter([0.0, 5.0, None, 12.0])
    window = SimpleNamespace(lap=lambda: reading(0.0), read=lambda: reading(next(told)))
    recorder = epochs.EpochRecorder(window, handed_on.extend)
    optimizer = keras.optimizers.SGD(0.1)
    recorder.set_model(SimpleNamespace(stop_training=False, optimizer=optimizer))
    recorder.set_params({"epochs": 10})
    logs = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    with readings("each epoch"):
        recorder.on_train_begin()
        for number in range(3):
            recorder.on_epoch_end(number, logs)
    assert [epoch.energy_j for epoch in handed_on] == [5.0, None, 7.0]


def test_the_classifier_has_the_layers_that_were_asked_for():
    classifier = build_classifier(Configuration(hidden="7,5", activation="tanh"), IRIS)
    dense = [layer for layer in classifier.layers if hasattr(layer, "kernel")]
    assert [layer.kernel.shape for layer in dense] == [(4, 7), (7, 5), (5, 3)]
    assert [layer.activation.__name__ for layer in dense] == ["tanh", "tanh", "softmax"]


def test_a_training_that_is_given_up_ends_there_as_capped_with_what_it_had_spent():
    asked: list[Progress] = []

    def after_two_epochs(progress: Progress) -> bool:
        asked.append(progress)
        return len(asked) == 2

    handed_on: list[Epoch] = []
    configuration = dataclasses.replace(SMALL, max_epochs=50)
    meter = watts_meter(cpu=20.0)
    training = train(IRIS, PARTS, configuration, meter, handed_on.extend, after_two_epochs)
    assert training.outcome is Outcome.CAPPED
    assert training.epochs == len(handed_on) == 2
    assert [progress.epoch for progress in asked] == [1, 2]
    assert [progress.val_accuracy for progress in asked] == [e.val_accuracy for e in handed_on]
    assert 0 < asked[0].spent_j < asked[1].spent_j <= training.measurement.energy_j
    assert asked[1].spent_j == pytest.approx(20.0 * asked[1].spent_s, rel=0.05)


def test_a_training_that_reaches_its_target_cannot_be_given_up_any_more():
    configuration = dataclasses.replace(SMALL, target_accuracy=0.0, patience=1)
    training = train(IRIS, PARTS, configuration, EnergyMeter([]), give_up=lambda progress: True)
    assert training.outcome is Outcome.REACHED


def test_nothing_measured_is_told_as_none_to_what_decides_on_giving_up():
    spent: list[float | None] = []

    def note(progress: Progress) -> bool:
        spent.append(progress.spent_j)
        return False

    train(IRIS, PARTS, dataclasses.replace(SMALL, max_epochs=2), EnergyMeter([]), give_up=note)
    assert spent == [None, None]


def test_balanced_class_weights_are_scikit_learns_of_the_training_rows():
    rare = dataclasses.replace(IRIS, labels=np.repeat([0, 1, 2], [100, 40, 10]), digest="")
    parts = partition(rare, "60-20-20", "standardization", 0)
    weights = Rows.of(rare, parts).class_weights(
        dataclasses.replace(SMALL, class_weights="balanced")
    )
    assert weights == pytest.approx({0: 0.5, 1: 1.25, 2: 5.0})
    assert Rows.of(rare, parts).class_weights(SMALL) is None


def test_class_weights_change_what_is_learned():
    weighted, _ = train_small(class_weights="balanced", max_epochs=2)
    plain, _ = train_small(max_epochs=2)
    np.testing.assert_array_equal(weights_of(weighted), weights_of(plain))  # iris is balanced
    rare = dataclasses.replace(IRIS, labels=np.repeat([0, 1, 2], [100, 40, 10]), digest="")
    weighted, _ = train_small(rare, class_weights="balanced", max_epochs=2)
    plain, _ = train_small(rare, max_epochs=2)
    assert not np.array_equal(weights_of(weighted), weights_of(plain))
