"""Train: a Keras model to its target accuracy, inside one energy window."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_class_weight

from energy import EnergyMeter, Measurement
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome
from steps.partition import Partition
from steps.preprocess import Dataset
from steps.scaling import ScaledRows
from steps.train.augment import augmentation, mixes_labels
from steps.train.cost import Cost, Stopwatch, compilation_of
from steps.train.epochs import Epoch, EpochRecorder, Record
from steps.train.find_lr import LearningRateCurve, find_lr
from steps.train.fit import FitReport, fit_in_graph
from steps.train.giving_up import GiveUp, GivingUp, Progress
from steps.train.model import build_classifier, require_fit, with_scaler
from steps.train.optimizer import build_optimizer
from steps.train.precision import precision, slow_here
from steps.train.reuse import GraphCache
from steps.train.rule import TrainToAccuracy, TrainToTheEnd, early_stopping

__all__ = [
    "Epoch",
    "GiveUp",
    "Progress",
    "TrainToAccuracy",
    "Training",
    "find_learning_rate",
    "require_fit",
    "train",
]

BUILDING_LR = 0.001
"""Of an optimizer whose rate is about to be found: any number will do."""


@dataclass(frozen=True)
class Training:
    """A trained model and what it took.

    Attributes:
        model: takes raw rows, gives class probabilities; not compiled.
        outcome: how it ended.
        stopped_early: whether early stopping ended it.
        epochs: how many were trained; the last of a capped training may have ended within.
        measurement: of the window from just before the first epoch to just after the last, tracing
            and compiling and the search for a learning rate included.
        compilation: of the graphs that trained it, in whichever run of this process they were made.
        compilation_is_shared: whether another run made and paid for them.
        finding_lr: what the search for a learning rate cost; None if there was none.
        learning_rate: highest rate of the schedule.
        report: how the epochs were computed.
        caution: something that the user should know of the training, or empty.
    """

    model: keras.Model
    outcome: Outcome
    stopped_early: bool
    epochs: int
    measurement: Measurement
    compilation: Cost
    compilation_is_shared: bool
    finding_lr: Cost | None
    learning_rate: float
    report: FitReport
    caution: str


@dataclass(frozen=True)
class Rows:
    """Rows and labels of the parts that training may see; the rows are scaled as they are used."""

    train_x: ScaledRows
    train_y: npt.NDArray[np.int64]
    validation_x: ScaledRows
    validation_y: npt.NDArray[np.int64]
    classes: int

    @classmethod
    def of(cls, dataset: Dataset, partition: Partition) -> "Rows":
        """Those of the training and validation parts."""
        return cls(
            partition.scaled("train", dataset),
            dataset.labels[partition.train],
            partition.scaled("validation", dataset),
            dataset.labels[partition.validation],
            len(dataset.class_names),
        )

    def class_weights(self, configuration: Configuration) -> dict[int, float] | None:
        """By class index; None where all rows count alike."""
        if configuration.class_weights == "none":
            return None
        classes = np.arange(self.classes)
        weights = compute_class_weight(configuration.class_weights, classes=classes, y=self.train_y)
        return dict(enumerate(weights.tolist()))

    def batch_size(self, configuration: Configuration) -> int:
        """Rows per gradient step: at most all of them."""
        rows = len(self.train_y)
        asked = configuration.batch_size
        return rows if isinstance(asked, str) else min(asked, rows)


def train(
    dataset: Dataset,
    partition: Partition,
    configuration: Configuration,
    meter: EnergyMeter,
    record: Record = lambda epochs: None,
    give_up: GiveUp | None = None,
    final_epochs: int | None = None,
) -> Training:
    """Train until `TrainToAccuracy` is content or the budget of epochs is spent.

    A final training makes the model to be used: on all rows but those of the test part, for the
    epochs that an earlier training needed, since no rows are left to decide by (Goodfellow,
    Bengio and Courville 2016, "Deep Learning", algorithm 7.2).

    Args:
        dataset: raw rows.
        partition: which rows train and validate, and how they are scaled.
        configuration: all hyperparameters.
        meter: measures the window ``training``.
        record: is handed the epochs as they are measured, at most twice a second, inside the
            window: keep it cheap.
        give_up: is asked after each epoch, and twice a second within long ones, whether to end
            here, as `Outcome.CAPPED`.
        final_epochs: how many a final training has, whose `partition` is that of
            `steps.partition.for_final_training`; ``early_stopping`` says nothing there.

    Raises:
        InputError: ``--lr auto`` found no learning rate, or validation rows are missing.
        ValueError: XLA was asked for and cannot compile the model.
    """
    if final_epochs is None and not len(partition.validation):
        problem = "no validation rows are left: only `run --config FILE --final` trains like this"
        raise InputError("--partitioning", configuration.partitioning, problem)
    rows = Rows.of(dataset, partition)
    warm_up()
    with precision(configuration.precision):
        return _train(dataset, rows, partition, configuration, meter, record, give_up, final_epochs)


def _train(
    dataset: Dataset,
    rows: Rows,
    partition: Partition,
    configuration: Configuration,
    meter: EnergyMeter,
    record: Record,
    give_up: GiveUp | None,
    final_epochs: int | None,
) -> Training:
    classifier = build_classifier(configuration, dataset)
    is_final = final_epochs is not None
    to_accuracy = TrainToAccuracy(configuration.target_accuracy, configuration.patience)
    rule: TrainToAccuracy | TrainToTheEnd = TrainToTheEnd() if is_final else to_accuracy
    early = [] if is_final else early_stopping(configuration)
    window = meter.begin("training")
    recorder = EpochRecorder(window, record)
    giving_up = [GivingUp(to_accuracy, recorder, give_up)] if give_up is not None else []
    compiling = Stopwatch(window)
    try:
        finding_lr, rate = None, configuration.lr
        if isinstance(rate, str):
            finding = Stopwatch(window)
            with finding():
                rate = _find_lr(classifier, rows, configuration).chosen
            finding_lr = finding.cost
        _compile(classifier, rows, configuration, rate)
        train_y, validation_y = _targets(rows, configuration)
        report = fit_in_graph(
            classifier,
            (rows.train_x, train_y),
            validation_data=None if is_final else (rows.validation_x, validation_y),
            batch_size=rows.batch_size(configuration),
            epochs=final_epochs or configuration.max_epochs,
            epochs_expected=final_epochs,
            callbacks=[rule, *early, *giving_up, recorder],
            shuffle_seed=configuration.seed,
            class_weight=rows.class_weights(configuration),
            augment=augmentation(configuration.augmentation, rows.classes),
            jit_compile=configuration.jit_compile,
            compiling=compiling,
            ends_within=giving_up[0].within_epoch if giving_up else None,
        )
    finally:
        window.close()
        recorder.finish()
    compilation, is_shared = compilation_of(report, compiling.cost)
    cautions = [slow_here(configuration.precision, configuration.jit_compile)]
    if report.ended_within:
        cautions.append(f"epoch {len(report.epoch_times_s)} was given up before its end")
    return Training(
        model=with_scaler(classifier, partition.scaler, dataset),
        outcome=Outcome.CAPPED if any(each.gave_up for each in giving_up) else rule.outcome,
        stopped_early=any(callback.stopped_epoch > 0 for callback in early),
        epochs=len(report.epoch_times_s),
        measurement=window.measurement,
        compilation=compilation,
        compilation_is_shared=is_shared,
        finding_lr=finding_lr,
        learning_rate=rate,
        report=report,
        caution="; ".join(filter(None, cautions)),
    )


def find_learning_rate(
    dataset: Dataset,
    partition: Partition,
    configuration: Configuration,
    meter: EnergyMeter,
    **sweep: Any,
) -> tuple[LearningRateCurve, Measurement]:
    """The learning-rate range test for the model, optimizer and batch size of `configuration`.

    Args:
        dataset: raw rows.
        partition: which rows train, and how they are scaled.
        configuration: its ``lr`` is not looked at.
        meter: measures the window ``find_lr``.
        sweep: `steps.train.find_lr.find_lr`'s ``start_lr``, ``end_lr``, ``steps`` and ``sma``.

    Raises:
        InputError: no rate makes the loss fall.
    """
    rows = Rows.of(dataset, partition)
    warm_up()
    with precision(configuration.precision):
        classifier = build_classifier(configuration, dataset)
        with meter.window("find_lr") as window:
            curve = _find_lr(classifier, rows, configuration, **sweep)
    return curve, window.measurement


@cache
def warm_up() -> None:
    """What a process pays once (libraries, devices, the first graph), on a throw-away model."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    data = (np.zeros((4, 2), np.float32), np.zeros(4, np.int64))
    fit_in_graph(
        model, data, validation_data=data, batch_size=2, jit_compile="off", cache=GraphCache(0)
    )


def _compile(
    classifier: keras.Model, rows: Rows, configuration: Configuration, learning_rate: float
) -> None:
    steps = math.ceil(len(rows.train_y) / rows.batch_size(configuration))
    soft = mixes_labels(configuration.augmentation)
    classifier.compile(
        optimizer=build_optimizer(configuration, learning_rate, steps),
        loss="categorical_crossentropy" if soft else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )


def _targets(
    rows: Rows, configuration: Configuration
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """Class indices; or one-hot rows where augmentation mixes classes."""
    if not mixes_labels(configuration.augmentation):
        return rows.train_y, rows.validation_y
    one_hot = np.eye(rows.classes, dtype=np.float32)
    return one_hot[rows.train_y], one_hot[rows.validation_y]


def _find_lr(
    classifier: keras.Model, rows: Rows, configuration: Configuration, **sweep: Any
) -> LearningRateCurve:
    _compile(classifier, rows, configuration, BUILDING_LR)
    train_y, _ = _targets(rows, configuration)
    try:
        return find_lr(
            classifier,
            rows.train_x,
            train_y,
            batch_size=rows.batch_size(configuration),
            seed=configuration.seed,
            **sweep,
        )
    except ValueError as error:
        raise InputError("--lr", "auto", str(error)) from None
