"""Each of the five steps on its own, on the run that the step before wrote to."""

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
from pipeline.run import evaluate_step, quantize_step, raise_if_refused, train_step
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome
from steps.quantization_modes import is_trained

if TYPE_CHECKING:
    import keras

    from pipeline.tracking import EarlierSteps, RunLog
    from steps.partition import Partition
    from steps.preprocess import Dataset


@click.command()
@click.option("--run-id", default="", help="Run to work on; default: open a new one.")
@options.configuration_options
@options.experiment_option
def preprocess(run_id: str, experiment: str, **hyperparameters: str) -> None:
    """Read, check and describe the dataset: the first step."""
    from pipeline import tracking
    from pipeline.shared_steps import preprocessed

    if run_id:
        configuration = tracking.EarlierSteps(run_id).configuration()
        options.refuse_other_than(configuration, hyperparameters)
        dataset = preprocessed(configuration)
        log = tracking.RunLog(run_id)
    else:
        configuration = configurations.parse(hyperparameters)
        experiment_id = tracking.open_experiment(experiment)
        dataset = preprocessed(configuration)
        log = tracking.RunLog.start(experiment_id, configuration)
    with log:
        log.preprocessed(dataset)
        log.describe()
    terminal.print_step("preprocess", log.run_id)


@click.command()
@options.run_id_option
def partition(run_id: str) -> None:
    """Draw the rows of each part, and learn the scaler."""
    from pipeline.shared_steps import partitioned

    _, configuration, dataset = _preprocessed(run_id)
    parts = partitioned(configuration, dataset)
    with _log(run_id) as log:
        log.partitioned(parts)
    terminal.print_step("partition", run_id)


@click.command()
@options.run_id_option
@metering_options
def train(run_id: str, country: str, carbon_intensity: str, pue: str, calibration: str) -> None:
    """Train to the target accuracy while measuring the energy."""
    metering = Metering.parse(country, carbon_intensity, pue, calibration)
    earlier, configuration, dataset = _preprocessed(run_id)
    parts = earlier.partition(len(dataset.labels))
    idle = idle_power()
    meter = machine_meter(metering)
    with power_limited(configuration.power_limit_w), _log(run_id) as log:
        progress = terminal.TrainingProgress(configuration)
        train_step(log, configuration, dataset, parts, meter, metering, idle, progress)
        log.describe()
    terminal.print_run(log.recorded())


@click.command()
@options.run_id_option
def evaluate(run_id: str) -> None:
    """Score the trained model on the test rows."""
    _, dataset, parts, model = _trained(run_id)
    with _log(run_id) as log:
        evaluate_step(log, model, dataset, parts)
        log.describe()
    terminal.print_run(log.recorded())


@click.command()
@options.run_id_option
@click.option("--quantization", default="", help="Other modes than the run was opened with.")
@options.inference_window_option
@metering_options
def quantize(
    run_id: str,
    quantization: str,
    inference_window: str,
    country: str,
    carbon_intensity: str,
    pue: str,
    calibration: str,
) -> None:
    """Make, score and measure smaller models."""
    window_s = options.seconds(inference_window)
    metering = Metering.parse(country, carbon_intensity, pue, calibration)
    configuration, dataset, parts, model = _trained(run_id)
    if quantization:
        configuration = _with(quantization, configuration)
    idle = idle_power()
    meter = machine_meter(metering)
    with _log(run_id) as log:
        quantize_step(log, configuration, model, dataset, parts, meter, metering, idle, window_s)
        log.describe()
    terminal.print_run(log.recorded())
    raise_if_refused(log.recorded(), configuration)


def _with(quantization: str, configuration: Configuration) -> Configuration:
    """The same with other modes, of which maybe none can be fine-tuned."""
    typed = {**configuration.parameters(), "quantization": quantization}
    if not is_trained(configurations.parse_one("quantization", quantization)):
        typed["qat_epochs"] = ""
    return configurations.parse(typed)


def _log(run_id: str) -> "RunLog":
    from pipeline import tracking

    return tracking.RunLog(run_id)


def _preprocessed(run_id: str) -> "tuple[EarlierSteps, Configuration, Dataset]":
    """The run so far, its configuration, and its dataset, which has to be what it was."""
    from pipeline import tracking
    from pipeline.shared_steps import preprocessed

    earlier = tracking.EarlierSteps(run_id)
    configuration = earlier.configuration()
    dataset = preprocessed(configuration)
    earlier.require_same_data(dataset)
    return earlier, configuration, dataset


def _trained(run_id: str) -> "tuple[Configuration, Dataset, Partition, keras.Model]":
    earlier, configuration, dataset = _preprocessed(run_id)
    if earlier.recorded().tags.get("outcome") == Outcome.DIVERGED:
        raise InputError("--run-id", run_id, "its training diverged; there is nothing to score")
    parts = earlier.partition(len(dataset.labels))
    terminal.quiet_libraries()
    return configuration, dataset, parts, earlier.model()
