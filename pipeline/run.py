"""One configuration through all five steps, recorded in one run."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import greenest_file, options, terminal
from pipeline.greenest_file import ConfigurationFile
from pipeline.metering import (
    Metering,
    idle_power,
    machine_meter,
    metering_options,
    power_limited,
)
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from energy import EnergyMeter, IdlePower
    from pipeline.tracking import RecordedRun, RunLog
    from steps.flops import Flops
    from steps.partition import Partition
    from steps.preprocess import Dataset
    from steps.train import GiveUp

FINAL = "final"
"""Tag of a final training: what it cost says nothing of the way to a target."""

WITHOUT_MODEL = (Outcome.DIVERGED, Outcome.CAPPED)
"""Trainings that end like this leave nothing worth scoring."""


@click.command()
@click.option(
    "--config",
    default="",
    help="YAML file of a configuration, such as greenest.yaml; options given beside it win.",
)
@click.option(
    "--final",
    default="no",
    show_default=True,
    is_flag=False,
    flag_value="yes",
    help="yes: train on the validation rows too, for the final_epochs of --config.",
)
@options.configuration_options
@options.experiment_option
@options.inference_window_option
@metering_options
def run(
    config: str,
    final: str,
    experiment: str,
    inference_window: str,
    country: str,
    carbon_intensity: str,
    pue: str,
    calibration: str,
    **hyperparameters: str,
) -> None:
    """Train one configuration to its target accuracy.

    All five steps, in one run.
    """
    if final not in ("no", "yes"):
        raise InputError("--final", final, "choose yes or no")
    file = greenest_file.read(Path(config)) if config else None
    if file is not None:
        hyperparameters = {**file.texts, **options.typed(hyperparameters)}
    configuration = configurations.parse(hyperparameters)
    final_epochs = _final_epochs(file, configuration) if final == "yes" else None
    metering = Metering.parse(country, carbon_intensity, pue, calibration)
    recorded = run_configuration(
        configuration, experiment, metering, final_epochs, options.seconds(inference_window)
    )
    terminal.print_run(recorded)
    raise_if_refused(recorded, configuration)


def _final_epochs(file: ConfigurationFile | None, configuration: Configuration) -> int:
    if file is None:
        problem = "needs --config FILE, whose final_epochs says for how long to train"
        raise InputError("--final", "yes", problem)
    if file.final_epochs is None:
        problem = "has no final_epochs, which says for how long --final trains"
        raise InputError("--config", file.path, problem)
    if file.final_epochs > configuration.max_epochs:
        problem = f"is less than the final_epochs of {file.path}, {file.final_epochs}"
        raise InputError("--max-epochs", configuration.max_epochs, problem)
    return file.final_epochs


def run_configuration(
    configuration: Configuration,
    experiment: str,
    metering: Metering,
    final_epochs: int | None = None,
    inference_window_s: float = 0.0,
) -> "RecordedRun":
    """All five steps. What the user gave is checked before a run is opened.

    Args:
        configuration: what to train.
        experiment: name of the MLflow experiment, made if there is none.
        metering: how to measure it.
        final_epochs: of a final training, as in `steps.train.train`; no comparison takes it for a
            repeat.
        inference_window_s: of the quantize step.

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
        if final_epochs is None:
            log = tracking.RunLog.start(experiment_id, configuration)
        else:
            from steps.partition import for_final_training

            parts = for_final_training(parts, dataset, configuration.preprocessing)
            name = f"{configuration.run_name}-final"
            log = tracking.RunLog.start(experiment_id, configuration, name, {FINAL: "yes"})
        with log:
            progress = terminal.TrainingProgress(configuration, final_epochs)
            all_steps(
                log,
                configuration,
                dataset,
                parts,
                meter,
                metering,
                idle,
                progress,
                final_epochs=final_epochs,
                inference_window_s=inference_window_s,
            )
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
    final_epochs: int | None = None,
    inference_window_s: float = 0.0,
) -> None:
    """What comes after the data, in an open run.

    A training that was given up or diverged leaves nothing to score.
    """
    log.preprocessed(dataset)
    log.partitioned(parts)
    model = train_step(
        log,
        configuration,
        dataset,
        parts,
        meter,
        metering,
        idle,
        progress,
        give_up,
        final_epochs,
    )
    if model is not None:
        evaluate_step(log, model, dataset, parts)
        quantize_step(
            log, configuration, model, dataset, parts, meter, metering, idle, inference_window_s
        )
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
    final_epochs: int | None = None,
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
            training = train(dataset, parts, configuration, meter, record, give_up, final_epochs)
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
    """Score the model on the test part, count its FLOPs, and record that."""
    from steps.evaluate import evaluate

    # Minutes of a large network in a search of hundreds, where the count is the same each time.
    counted = None if log.is_one_of_many else flops_of(model)
    log.evaluated(evaluate(model, dataset, parts), dataset.class_names, counted)


def flops_of(model: "keras.Model") -> "Flops":
    """Of the classifier, for one row."""
    from steps.flops import flops
    from steps.train.model import CLASSIFIER

    with terminal.muted_native_output():
        return flops(model.get_layer(CLASSIFIER))


def quantize_step(
    log: "RunLog",
    configuration: Configuration,
    model: "keras.Model",
    dataset: "Dataset",
    parts: "Partition",
    meter: "EnergyMeter",
    metering: Metering,
    idle: "IdlePower | None",
    inference_window_s: float,
) -> None:
    """Make, score and measure the smaller models and record that; nothing for ``none``.

    Nor where one of a search's many missed its target: its model is of no use.
    """
    if configuration.quantization == "none":
        return
    if log.is_one_of_many and log.recorded().tags["outcome"] != Outcome.REACHED:
        return
    if configuration.lr == "auto":
        configuration = replace(configuration, lr=log.recorded().metrics["found_lr"])
    with terminal.muted_native_output():
        from steps.quantize import quantize

        quantization = quantize(
            model, dataset, parts, configuration, meter, idle, inference_window_s
        )
    log.quantized(quantization, parts, dataset, idle, metering.line())


def raise_if_refused(run: "RecordedRun", configuration: Configuration) -> None:
    """Say which smaller models could not be made; all else of the run is kept by then.

    Raises:
        InputError: some could not.
    """
    refused = run.tags.get("quantized.refused")
    if refused is not None and configuration.quantization != "none":
        raise InputError("--quantization", configuration.quantization, refused)
