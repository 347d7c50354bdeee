"""One configuration through all five steps, recorded in one run."""

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
    from steps.preprocess import Table


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
    from steps.partition import partition
    from steps.preprocess import preprocess

    experiment_id = tracking.open_experiment(experiment)
    idle = idle_power()
    table = preprocess(configuration.dataset, configuration.label)
    parts = partition(
        table, configuration.partitioning, configuration.preprocessing, configuration.seed
    )
    meter = machine_meter(metering)
    with (
        power_limited(configuration.power_limit_w),
        tracking.RunLog.start(experiment_id, configuration) as log,
    ):
        log.preprocessed(table)
        log.partitioned(parts)
        model = train_step(log, configuration, table, parts, meter, metering, idle)
        if model is not None:
            evaluate_step(log, model, table, parts)
            quantize_step(log, configuration, model, table, parts)
        log.describe()
    return log.recorded()


def train_step(
    log: "RunLog",
    configuration: Configuration,
    table: "Table",
    parts: "Partition",
    meter: "EnergyMeter",
    metering: Metering,
    idle: "IdlePower | None",
) -> "keras.Sequential | None":
    """Train and record. Gives no model where training diverged: there is nothing to score."""
    from energy import hardware
    from steps.train import Epoch, train

    log.training_begins(meter.carbon, hardware.describe())
    epochs: list[Epoch] = []
    with terminal.TrainingProgress(configuration).shown() as progress:

        def record(settled: Sequence[Epoch]) -> None:
            epochs.extend(settled)
            log.record(settled)
            progress.update(settled)
            terminal.interruption.raise_if_lost()

        try:
            training = train(table, parts, configuration, meter, record)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"run {log.run_id} keeps what was measured") from None
        finally:
            # Not before the window is closed, since sending is no part of training; and after
            # Ctrl-C too, since what was measured belongs into the run.
            log.deliver()
    log.trained(training, epochs, configuration.target_accuracy, table)
    log.derived(training, idle, metering.line(), metering.calibration)
    return None if training.outcome is Outcome.DIVERGED else training.model


def evaluate_step(
    log: "RunLog", model: "keras.Sequential", table: "Table", parts: "Partition"
) -> None:
    """Score the model on the test part and record that."""
    from steps.evaluate import evaluate

    log.evaluated(evaluate(model, table, parts), table.class_names)


def quantize_step(
    log: "RunLog",
    configuration: Configuration,
    model: "keras.Sequential",
    table: "Table",
    parts: "Partition",
) -> None:
    """Convert, score and time the quantized model and record that; nothing for ``none``."""
    if configuration.quantization == "none":
        return
    with terminal.muted_native_output():
        from steps.quantize import quantize

        log.quantized(quantize(model, table, parts, configuration.quantization))
