"""What runs share of the results of their first steps: shown and deleted."""

from collections.abc import Iterable
from datetime import datetime

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from pipeline import terminal
from pipeline.cache import STEPS
from pipeline.step_cache import LIMIT_BYTES, Entry, StepCache
from pipeline.units import three_digits


def bytes_in_words(size: int) -> str:
    """In kB, MB or GB with three digits."""
    for unit, unit_bytes in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= unit_bytes:
            return f"{three_digits(size / unit_bytes)} {unit}"
    return f"{size} bytes"


@click.command(
    help="Show or delete what runs share. The results of preprocess and partition are kept in "
    f"{STEPS}, up to {bytes_in_words(LIMIT_BYTES)}; the least recently used go first."
)
@click.option("--list", "show", is_flag=True, help="What there is, the least recently used first.")
@click.option("--clear", is_flag=True, help="Delete all of it.")
def cache(show: bool, clear: bool) -> None:
    """Show or delete what there is."""
    if show == clear:
        raise click.UsageError("cache takes one of --list and --clear")
    if show:
        _show(StepCache(STEPS).entries())
        return
    try:
        gone = StepCache(STEPS).clear()
    except OSError as error:
        raise click.ClickException(f"{STEPS} cannot be cleared: {error.strerror}") from None
    terminal.console.print(f"deleted {_in_words(gone)}")
    if kept := StepCache(STEPS).entries():
        terminal.console.print(f"kept, in use by another process: {_in_words(kept)}")


def _in_words(entries: Iterable[Entry]) -> str:
    sizes = [entry.size_bytes for entry in entries]
    return f"{len(sizes)} {'entry' if len(sizes) == 1 else 'entries'}, {bytes_in_words(sum(sizes))}"


def _show(entries: list[Entry]) -> None:
    table = Table(title=f"{STEPS}: {_in_words(entries)}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("step", "key", "result", "size", "last used"):
        table.add_column(
            heading,
            justify="right" if heading == "size" else "left",
            overflow="fold",
            no_wrap=heading != "result",
        )
    for entry in entries:
        about = "damaged" if entry.about is None else entry.about
        used = datetime.fromtimestamp(entry.used_at).strftime("%Y-%m-%d %H:%M")
        cells = (entry.step, entry.key, about, bytes_in_words(entry.size_bytes), used)
        table.add_row(*map(Text, cells))
    terminal.console.print(table)
