"""``python -m pipeline COMMAND``: every entry point of the project."""

import click

from pipeline import machine, single_steps, terminal
from pipeline.cache_command import cache
from pipeline.compare import compare
from pipeline.doctor import doctor
from pipeline.find_lr import find_lr
from pipeline.predict import predict
from pipeline.quantize_grid.command import quantize_grid
from pipeline.run import run
from pipeline.search.command import search
from pipeline.sync import sync


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train a Keras model to the accuracy you need, on the least energy."""


for command in (
    run,
    search,
    single_steps.preprocess,
    single_steps.partition,
    single_steps.train,
    single_steps.evaluate,
    single_steps.quantize,
    quantize_grid,
    compare,
    find_lr,
    predict,
    cache,
    sync,
    machine.idle,
    machine.calibrate,
    doctor,
):
    cli.add_command(command)

if __name__ == "__main__":
    terminal.main(cli, "python -m pipeline")
