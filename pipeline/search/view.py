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
from pipeline.units import grams, joules, seconds

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
        self._size = plan.space.size
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
        standing, outcomes = self._standing(search), self._outcomes(search)
        if self._live is None:
            told = f"{line}  {standing}: {outcomes}; left: {self._time_left(search)}"
            click.echo(told, err=True)
            return
        rows = Table(show_header=False, box=None)
        rows.add_row("search", Text(f"{self._plan.space.path} by {self._plan.sampler}"))
        rows.add_row("standing", Text(standing))
        rows.add_row("outcomes", outcomes)
        rows.add_row("time left", self._time_left(search))
        self._live.update(Group(rows, *(Text(f"  {line}") for line in self._recent)))

    def _outcomes(self, search: "Search") -> str:
        counts = Counter(each.run.tags.get("outcome", "FAILED") for each in search.children)
        return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())

    def _outcome(self, child: "Child") -> str:
        outcome = child.run.tags.get("outcome", "FAILED")
        return f"{outcome} {self._plan.goal.in_words(child.run)}".rstrip()

    def _standing(self, search: "Search") -> str:
        best, spent = self._plan.goal.so_far_in_words(search.trials), search.spent()
        limits = self._plan.limits
        energy = "energy not measured" if spent.energy_j is None else joules(spent.energy_j)
        parts = [energy + ("" if limits.energy_j is None else f" of {joules(limits.energy_j)}")]
        if limits.emissions_kg is not None and spent.emissions_kg is not None:
            parts.append(f"{grams(spent.emissions_kg)} of {grams(limits.emissions_kg)} CO2e")
        of_trials = "" if limits.trials is None else f" of {limits.trials}"
        return f"{best}, {len(search.trials)}{of_trials} tried, spent {', '.join(parts)}"

    def _time_left(self, search: "Search") -> str:
        """Until the end that is nearest, repeats included, at the pace so far."""
        limits, spent = self._plan.limits, search.spent()
        done, left = len(search.children), self._trainings_left(search)
        guesses = [
            (most / so_far - 1) * spent.time_s
            for most, so_far in (
                (None if left is None else done + left, done),
                (limits.energy_j, spent.energy_j),
                (limits.emissions_kg, spent.emissions_kg),
                (limits.time_s, spent.time_s),
            )
            if most and so_far
        ]
        return f"about {seconds(max(0.0, min(guesses)))}" if guesses else "?"

    def _trainings_left(self, search: "Search") -> int | None:
        """At most, if nothing else ends the search; None where nobody knows."""
        plan, tried = self._plan, len(search.trials)
        ends = [most for most in (plan.limits.trials, self._size) if most is not None]
        if not ends:
            return None
        trials_left = max(0, min(ends) - tried)
        if not trials_left:
            missing = list(search.missing_repeats())
            # The first is proven once it is known, after the repeats of all.
            is_unknown = bool(missing) and missing[-1][1] < plan.seed + plan.repeats
            return len(missing) + is_unknown * plan.prove
        leaders = min(ends) if plan.confirm_top is None else min(plan.confirm_top, *ends)
        again = leaders * (plan.repeats - 1) + (plan.prove if leaders else 0)
        # Where a search is resumed with more trials, some have been trained again already.
        return trials_left + max(0, again - (len(search.children) - tried))
