"""One configuration through all five steps, recorded in one run."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipeline import options, terminal
from pipeline.metering import (
    Metering,
    idle_power,
    machine_meter,
    metering_options,
    power_limited,
)
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from energy import EnergyMeter, IdlePower
    from pipeline.tracking import RecordedRun, RunLog
    from steps.partition import Partition
    from steps.preprocess import Dataset
    from steps.train import GiveUp

WITHOUT_MODEL = (Outcome.DIVERGED, Outcome.CAPPED)
"""Trainings that end like this leave nothing worth scoring."""


@click.command()
@options.configuration_options
@options.experiment_option
@metering_options
def run(
    experiment: str,
    country: str,
    carbon_intensity: str,
    pue: str,
    calibration: str,
    **hyperparameters: str,
) -> None:
    """Train one configuration to its target accuracy, all five steps in one run."""
    configuration = configurations.parse(hyperparameters)
    metering = Metering.parse(country, carbon_intensity, pue, calibration)
    terminal.print_run(run_configuration(configuration, experiment, metering))


def run_configuration(
    configuration: Configuration, experiment: str, metering: Metering
) -> "RecordedRun":
    """All five steps. What the user gave is checked before a run is opened.

    Args:
        configuration: what to train.
        experiment: name of the MLflow experiment, made if there is none.
        metering: how to measure it.

    Raises:
        InputError: the dataset cannot be used, or does not fit the other options.
    """
    from pipeline import tracking
    from pipeline.shared_steps import partitioned, preprocessed

    with power_limited(configuration.power_limit_w):
        experiment_id = tracking.open_experiment(experiment)
        idle = idle_power()
        dataset = preprocessed(configuration)
        terminal.quiet_libraries()
        from steps.train import require_fit

        require_fit(configuration, dataset)
        parts = partitioned(configuration, dataset)
        meter = machine_meter(metering)
        with tracking.RunLog.start(experiment_id, configuration) as log:
            progress = terminal.TrainingProgress(configuration)
            all_steps(log, configuration, dataset, parts, meter, metering, idle, progress)
    return log.recorded()


def all_steps(
    log: "RunLog",
    configuration: Configuration,
    dataset: "Dataset",
    parts: "Partition",
    meter: "EnergyMeter",
    metering: Metering,
    idle: "IdlePower | None",
    progress: terminal.TrainingProgress | None = None,
    give_up: "GiveUp | None" = None,
) -> None:
    """What comes after the data, in an open run.

    A training that was given up or diverged leaves nothing to score.
    """
    log.preprocessed(dataset)
    log.partitioned(parts)
    model = train_step(log, configuration, dataset, parts, meter, metering, idle, progress, give_up)
    if model is not None:
        evaluate_step(log, model, dataset, parts)
        quantize_step(log, configuration, model, dataset, parts)
    log.describe()


def train_step(
    log: "RunLog",
    configuration: Configuration,
    dataset: "Dataset",
    parts: "Partition",
    meter: "EnergyMeter",
    metering: Metering,
    idle: "IdlePower | None",
    progress: terminal.TrainingProgress | None = None,
    give_up: "GiveUp | None" = None,
) -> "keras.Model | None":
    """Train and record. Gives the model, unless training diverged or was given up."""
    from energy import hardware
    from steps.train import Epoch, train

    log.training_begins(meter.carbon, hardware.describe(), configuration.model_file)
    epochs: list[Epoch] = []
    with progress.shown() if progress is not None else contextlib.nullcontext():

        def record(settled: Sequence[Epoch]) -> None:
            epochs.extend(settled)
            log.record(settled)
            if progress is not None:
                progress.update(settled)
            terminal.interruption.raise_if_lost()

        try:
            training = train(dataset, parts, configuration, meter, record, give_up)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"run {log.run_id} keeps what was measured") from None
        finally:
            # Not before the window is closed, since sending is no part of training; and after
            # Ctrl-C too, since what was measured belongs into the run.
            log.deliver()
    log.trained(training, epochs, configuration.target_accuracy, dataset)
    log.derived(training, idle, metering.line(), metering.calibration)
    return None if training.outcome in WITHOUT_MODEL else training.model


def evaluate_step(
    log: "RunLog", model: "keras.Model", dataset: "Dataset", parts: "Partition"
) -> None:
    """Score the model on the test part and record that."""
    from steps.evaluate import evaluate

    log.evaluated(evaluate(model, dataset, parts), dataset.class_names)


def quantize_step(
    log: "RunLog",
    configuration: Configuration,
    model: "keras.Model",
    dataset: "Dataset",
    parts: "Partition",
) -> None:
    """Convert, score and time the quantized model and record that; nothing for ``none``."""
    if configuration.quantization == "none":
        return
    with terminal.muted_native_output():
        from steps.quantize import quantize

        log.quantized(quantize(model, dataset, parts, configuration.quantization))
