"""One configuration through all five steps, recorded in one run."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from pipeline import options, terminal
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from energy import EnergyMeter
    from pipeline.tracking import RecordedRun, RunLog
    from steps.partition import Partition
    from steps.preprocess import Table


@click.command()
@options.configuration_options
@options.experiment_option
@options.country_option
def run(experiment: str, country: str | None, **hyperparameters: str) -> None:
    """Train one configuration to its target accuracy, all five steps in one run."""
    configuration = configurations.parse(hyperparameters)
    terminal.print_run(run_configuration(configuration, experiment, country))


def run_configuration(
    configuration: Configuration, experiment: str, country: str | None
) -> "RecordedRun":
    """All five steps. What the user gave is checked before a run is opened.

    Args:
        configuration: what to train.
        experiment: name of the MLflow experiment, made if there is none.
        country: ISO 3166 alpha-3 code that decides the carbon intensity; None to look it up.

    Raises:
        InputError: the dataset cannot be used, or does not fit the other options.
    """
    from pipeline import tracking
    from steps.partition import partition
    from steps.preprocess import preprocess

    experiment_id = tracking.open_experiment(experiment)
    tracking.close_abandoned_runs(experiment_id)
    table = preprocess(configuration.dataset, configuration.label)
    parts = partition(
        table, configuration.partitioning, configuration.preprocessing, configuration.seed
    )
    meter = machine_meter(country)
    with tracking.RunLog.start(experiment_id, configuration) as log:
        log.preprocessed(table)
        log.partitioned(parts)
        model = train_step(log, configuration, table, parts, meter)
        if model is not None:
            evaluate_step(log, model, table, parts)
            quantize_step(log, configuration, model, table, parts)
        log.describe()
    return log.recorded()


@cache
def machine_meter(country: str | None) -> "EnergyMeter":
    """The meter of this process. It takes seconds to make, so all runs share it."""
    terminal.quiet_libraries()
    import tensorflow as tf

    from energy import EnergyMeter

    return EnergyMeter.for_this_machine(country, sync=tf.test.experimental.sync_devices)


def train_step(
    log: "RunLog",
    configuration: Configuration,
    table: "Table",
    parts: "Partition",
    meter: "EnergyMeter",
) -> "keras.Sequential | None":
    """Train and record. Gives no model where training diverged: there is nothing to score."""
    from energy import hardware
    from steps.train import Epoch, train

    log.training_begins(meter.carbon, hardware.describe())
    epochs: list[Epoch] = []
    with terminal.TrainingProgress(configuration).shown() as progress:

        def record(settled: Sequence[Epoch]) -> None:
            epochs.extend(settled)
            progress.update(settled)

        try:
            training = train(table, parts, configuration, meter, record)
        except BaseException:
            log.interrupted(epochs)
            raise
        finally:
            # After Ctrl-C too: what was measured belongs into the run. And not before the window
            # is closed: sending it to MLflow is no part of training.
            log.epochs(epochs)
    log.trained(training, table)
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
