"""``python -m pipeline sync``: give MLflow what it could not take, wherever it belongs."""

import sys

import click

from pipeline import terminal
from pipeline.cache import JOURNALS
from pipeline.journal import Journal


@click.command()
def sync() -> None:
    """Deliver to MLflow what waits in this folder.

    Exit code 1 if some of it goes on waiting.
    """
    if not Journal.all():
        terminal.console.print("nothing waits: MLflow has everything")
        return
    from pipeline import tracking

    waiting = 0
    for delivery in tracking.deliver_all():
        terminal.console.print(f"run {delivery.run_id} {delivery.told}", markup=False)
        waiting += not delivery.is_done
    if waiting:
        terminal.console.print(f"{JOURNALS} keeps what waits; sync again delivers it")
        sys.exit(1)
