"""Train: a Keras model to its target accuracy, inside one energy window."""

from dataclasses import dataclass

import keras

from energy import EnergyMeter, Measurement
from steps.configuration import Configuration
from steps.outcome import Outcome
from steps.partition import Partition
from steps.preprocess import Table
from steps.train.epochs import Epoch, EpochRecorder, Record
from steps.train.model import build_classifier, with_scaler
from steps.train.rule import TrainToAccuracy

__all__ = ["Epoch", "TrainToAccuracy", "Training", "train"]


@dataclass(frozen=True)
class Training:
    """A trained model and what it took.

    Attributes:
        model: takes raw rows, gives class probabilities; not compiled.
        outcome: how it ended.
        epochs: how many were trained.
        measurement: of the window from just before the first epoch to just after the last.
    """

    model: keras.Sequential
    outcome: Outcome
    epochs: int
    measurement: Measurement


def train(
    table: Table,
    partition: Partition,
    configuration: Configuration,
    meter: EnergyMeter,
    record: Record = lambda epochs: None,
) -> Training:
    """Train until `TrainToAccuracy` is content or the budget of epochs is spent.

    Args:
        table: raw rows.
        partition: which rows train and validate, and how they are scaled.
        configuration: all hyperparameters.
        meter: measures the window ``training``.
        record: is handed the epochs as they are measured, at most twice a second, inside the
            window: keep it cheap.
    """
    train_x, validation_x = (
        partition.scaler.transform(table.features[part])
        for part in (partition.train, partition.validation)
    )
    train_y, validation_y = table.labels[partition.train], table.labels[partition.validation]
    classifier = build_classifier(configuration, train_x.shape[1], len(table.class_names))
    rule = TrainToAccuracy(configuration.target_accuracy, configuration.patience)

    window = meter.begin("training")
    recorder = EpochRecorder(window, record)
    try:
        history = classifier.fit(
            train_x,
            train_y,
            validation_data=(validation_x, validation_y),
            batch_size=configuration.batch_size,
            epochs=configuration.max_epochs,
            callbacks=[rule, recorder],
            verbose=0,
        )
    finally:
        window.close()
        recorder.finish()
    return Training(
        model=with_scaler(classifier, partition.scaler),
        outcome=rule.outcome,
        epochs=len(history.epoch),
        measurement=window.measurement,
    )
