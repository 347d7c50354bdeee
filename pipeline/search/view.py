"""What a person sees while a search runs: a live view in a terminal, else a line per training."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.search.plan import Plan
from pipeline.terminal import progress_console
from pipeline.units import joules, seconds

if TYPE_CHECKING:
    from pipeline.search.loop import Search
    from pipeline.tracking.search_log import Child

RECENT = 8
"""Trainings in the live view."""


class SearchView:
    """Best so far, spent against the budget, outcomes, time left, and the latest trainings."""

    def __init__(self, plan: Plan) -> None:
        """Args: what is searched."""
        self._plan = plan
        self._recent: list[str] = []
        self._live: Live | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the view while the block runs."""
        if not progress_console.is_terminal:
            yield
            return
        first = Text(f"search {self._plan.space.path} by {self._plan.sampler}: the first training")
        with Live(first, console=progress_console, transient=True) as self._live:
            yield
        self._live = None

    def update(self, child: "Child", search: "Search") -> None:
        """A training has ended."""
        line = f"#{child.number} {child.run.name}  {self._outcome(child)}"
        self._recent = [*self._recent, line][-RECENT:]
        if self._live is None:
            click.echo(f"{line}  {self._standing(search)}", err=True)
            return
        outcomes = Counter(each.run.tags.get("outcome", "FAILED") for each in search.children)
        rows = Table(show_header=False, box=None)
        rows.add_row("search", Text(f"{self._plan.space.path} by {self._plan.sampler}"))
        rows.add_row("standing", Text(self._standing(search)))
        rows.add_row("outcomes", ", ".join(f"{n} {name}" for name, n in outcomes.items()))
        rows.add_row("time left", self._time_left(search))
        self._live.update(Group(rows, *(Text(f"  {line}") for line in self._recent)))

    def _outcome(self, child: "Child") -> str:
        outcome = child.run.tags.get("outcome", "FAILED")
        return f"{outcome} {self._plan.goal.in_words(child.run)}".rstrip()

    def _standing(self, search: "Search") -> str:
        best, spent = self._plan.goal.so_far_in_words(search.trials), search.spent()
        limit = self._plan.limits.energy_j
        energy = "not measured" if spent.energy_j is None else joules(spent.energy_j)
        of = "" if limit is None else f" of {joules(limit)}"
        return f"{best}, {len(search.trials)} tried, spent {energy}{of}"

    def _time_left(self, search: "Search") -> str:
        """By the trainings that are left at the mean time of those that are done."""
        limits, done = self._plan.limits, len(search.trials)
        if limits.trials and done >= limits.trials:
            return "the leaders once more"
        elapsed_s = search.spent().time_s
        guesses = []
        if limits.trials and done:
            guesses.append((limits.trials - done) * elapsed_s / done)
        if limits.time_s:
            guesses.append(limits.time_s - elapsed_s)
        return f"about {seconds(max(0.0, min(guesses)))}, then the repeats" if guesses else "?"
