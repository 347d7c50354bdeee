"""Find a learning rate: the range test, in a run of its own."""

import math

import click

from pipeline import options, terminal
from pipeline.metering import Metering, machine_meter, metering_options
from steps import configuration as configurations
from steps.errors import InputError


@click.command("find-lr")
@options.configuration_options
@click.option("--start-lr", type=float, default=1e-7, show_default=True, help="First rate.")
@click.option("--end-lr", type=float, default=10.0, show_default=True, help="Last rate.")
@click.option("--steps", default="", help="Batches; default: one pass, 100 to 1000.")
@click.option("--sma", default="", help="Batches in the moving average; default: 5 % of --steps.")
@options.experiment_option
@metering_options
def find_lr(
    start_lr: float,
    end_lr: float,
    steps: str,
    sma: str,
    experiment: str,
    country: str,
    carbon_intensity: str,
    pue: str,
    calibration: str,
    **hyperparameters: str,
) -> None:
    """Find a learning rate: the loss per batch at rising rates."""
    typed = hyperparameters["lr"]
    if typed not in ("auto", configurations.as_text(configurations.FIELDS["lr"].default)):
        raise InputError("--lr", typed, "is what this command looks for; leave it out")
    configuration = configurations.parse({**hyperparameters, "lr": "auto"})
    if not 0 < start_lr < end_lr < math.inf:
        raise InputError("--end-lr", f"{end_lr:g}", f"must be above --start-lr {start_lr:g}")
    counts = {
        name: options.whole_number(f"--{name}", text) if text else None
        for name, text in (("steps", steps), ("sma", sma))
    }
    metering = Metering.parse(country, carbon_intensity, pue, calibration)

    from pipeline import tracking
    from pipeline.shared_steps import partitioned, preprocessed

    experiment_id = tracking.open_experiment(experiment)
    dataset = preprocessed(configuration)
    parts = partitioned(configuration, dataset)
    meter = machine_meter(metering)
    from steps.train import find_learning_rate, require_fit

    require_fit(configuration, dataset)

    curve, measurement = find_learning_rate(
        dataset, parts, configuration, meter, start_lr=start_lr, end_lr=end_lr, **counts
    )
    name = f"find-{configuration.run_name}"
    with tracking.RunLog.start(experiment_id, configuration, name) as log:
        log.preprocessed(dataset)
        log.found_lr(curve, measurement)
        log.describe()
    terminal.print_rows(
        "learning rate",
        {
            "chosen": f"{curve.chosen:.3g}",
            "batches": str(len(curve.rates)),
            "run": log.run_id,
        },
    )
