"""Each of the five steps on its own, on the run that the step before wrote to."""

from typing import TYPE_CHECKING

import click

from pipeline import options, terminal
from pipeline.metering import Metering, machine_meter, metering_options, power_limited
from pipeline.run import evaluate_step, quantize_step, train_step
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from pipeline.tracking import RunLog
    from steps.partition import Partition
    from steps.preprocess import Table


@click.command()
@click.option("--run-id", default="", help="Run to work on; default: open a new one.")
@options.configuration_options
@options.experiment_option
def preprocess(run_id: str, experiment: str, **hyperparameters: str) -> None:
    """Read, check and describe the dataset: the first step of a run."""
    from pipeline import tracking
    from steps.preprocess import preprocess as preprocess_dataset

    if run_id:
        log = tracking.RunLog.of(run_id)
        configuration = log.configuration()
        options.refuse_other_than(configuration, hyperparameters)
        table = preprocess_dataset(configuration.dataset, configuration.label)
    else:
        configuration = configurations.parse(hyperparameters)
        experiment_id = tracking.open_experiment(experiment)
        table = preprocess_dataset(configuration.dataset, configuration.label)
        log = tracking.RunLog.start(experiment_id, configuration)
    with log:
        log.preprocessed(table)
        log.describe()
    terminal.print_step("preprocess", log.run_id)


@click.command()
@options.run_id_option
def partition(run_id: str) -> None:
    """Draw the training, validation and test rows, and learn the scaler."""
    from steps.partition import partition as partition_table

    log, configuration, table = _preprocessed(run_id)
    parts = partition_table(
        table, configuration.partitioning, configuration.preprocessing, configuration.seed
    )
    with log:
        log.partitioned(parts)
    terminal.print_step("partition", run_id)


@click.command()
@options.run_id_option
@metering_options
def train(run_id: str, country: str, carbon_intensity: str, pue: str, calibration: str) -> None:
    """Train to the target accuracy while measuring the energy."""
    metering = Metering.parse(country, carbon_intensity, pue, calibration)
    log, configuration, table = _preprocessed(run_id)
    parts = log.partition()
    meter = machine_meter(metering)
    with power_limited(configuration.power_limit_w), log:
        train_step(log, configuration, table, parts, meter, metering)
        log.describe()
    terminal.print_run(log.recorded())


@click.command()
@options.run_id_option
def evaluate(run_id: str) -> None:
    """Score the trained model on the test rows."""
    log, _, table, parts, model = _trained(run_id)
    with log:
        evaluate_step(log, model, table, parts)
        log.describe()
    terminal.print_run(log.recorded())


@click.command()
@options.run_id_option
def quantize(run_id: str) -> None:
    """Make the smaller model and score it beside the trained one."""
    log, configuration, table, parts, model = _trained(run_id)
    with log:
        quantize_step(log, configuration, model, table, parts)
        log.describe()
    terminal.print_run(log.recorded())


def _preprocessed(run_id: str) -> "tuple[RunLog, Configuration, Table]":
    """The run, its configuration, and its dataset, which has to be what it was."""
    from pipeline import tracking
    from steps.preprocess import preprocess as preprocess_dataset

    log = tracking.RunLog.of(run_id)
    configuration = log.configuration()
    table = preprocess_dataset(configuration.dataset, configuration.label)
    log.require_same_data(table)
    return log, configuration, table


def _trained(
    run_id: str,
) -> "tuple[RunLog, Configuration, Table, Partition, keras.Sequential]":
    log, configuration, table = _preprocessed(run_id)
    if log.recorded().tags.get("outcome") == Outcome.DIVERGED:
        raise InputError("--run-id", run_id, "its training diverged; there is nothing to score")
    parts = log.partition()
    terminal.quiet_libraries()
    return log, configuration, table, parts, log.model()
