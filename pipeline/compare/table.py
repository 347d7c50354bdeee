"""The answer for people, on the terminal."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from pipeline import terminal
from pipeline.choice import Ranked, by_reason
from pipeline.compare.comparison import Comparison, mean_of
from pipeline.compare.words import certainty, goal, worth
from pipeline.units import grams, joules, seconds

if TYPE_CHECKING:
    from pipeline.effects import Effects
    from pipeline.left_behind import LeftBehind
    from pipeline.report import Table as FoundTable

NAMES_SHOWN = 5
REASONS_SHOWN = 12

Column = Callable[[Ranked], str]


def print_comparison(comparison: Comparison, rows: int) -> None:
    """The ranking, how sure it is, and what was left out."""
    ranking = comparison.choice.ranking
    if ranking:
        _print_ranking(comparison, rows)
        for sentence in (*certainty(comparison), *worth(comparison)):
            terminal.console.print(sentence, markup=False)
    _print_excluded(comparison)


def _print_ranking(comparison: Comparison, rows: int) -> None:
    ranking = comparison.choice.ranking
    title = f"Experiment {comparison.experiment}: {goal(comparison)}"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    columns = _columns(comparison)
    for heading in ("#", *columns):
        table.add_column(heading, justify="left" if heading == "configuration" else "right")
    for place, ranked in enumerate(ranking[:rows], 1):
        table.add_row(str(place), *(Text(cell(ranked)) for cell in columns.values()))
    terminal.console.print(table)
    if len(ranking) > rows:
        terminal.console.print(f"… and {len(ranking) - rows} more (--top)")


def _columns(comparison: Comparison) -> dict[str, Column]:
    """By heading."""
    objective = comparison.objective
    differing = _differing_parameters(comparison.choice.ranking)
    usual = {
        "energy": _interval_of("energy_to_accuracy_j", joules),
        "CO2e": _interval_of("emissions_to_accuracy_kg", grams),
        "time": _interval_of("time_to_accuracy_s", seconds),
    }
    is_shown = objective.name in ("energy", "emissions", "time")
    heading = "score" if objective.weights else objective.name.replace("_", " ")
    return {
        "configuration": lambda ranked: _configuration(ranked, differing),
        "seeds": _seeds,
        **({} if is_shown else {heading: _interval_of(objective.metric, objective.told)}),
        **usual,
        **({} if objective.name == "epochs" else {"epochs": _epochs}),
        "test acc.": _test_accuracy,
    }


def _configuration(ranked: Ranked, differing: Sequence[str]) -> str:
    return (
        ", ".join(f"{name} {ranked.parameters.get(name, '?')}" for name in differing)
        or ranked.config_id
    )


def _seeds(ranked: Ranked) -> str:
    reached = ranked.share_reached * ranked.repeats
    return str(ranked.repeats) if ranked.share_reached == 1 else f"{reached:g} of {ranked.repeats}"


def _epochs(ranked: Ranked) -> str:
    epochs = mean_of(ranked, "epochs")
    return "-" if epochs is None else f"{epochs:.0f}"


def _test_accuracy(ranked: Ranked) -> str:
    accuracy = ranked.mean("test_accuracy")
    return "-" if accuracy is None else f"{accuracy:.4f}"


def _interval_of(metric: str, told: Callable[[float], str]) -> Column:
    def cell(ranked: Ranked) -> str:
        interval = ranked.intervals.get(metric)
        if interval is None:
            return "-"
        if interval.low is None or interval.high is None:
            return told(interval.mean)
        return f"{told(interval.mean)} ({told(interval.low)} to {told(interval.high)})"

    return cell


def _differing_parameters(ranking: Sequence[Ranked]) -> list[str]:
    """What tells the configurations apart; all else would be noise in the table."""
    names = dict.fromkeys(name for ranked in ranking for name in ranked.parameters)
    return [
        name for name in names if len({ranked.parameters.get(name) for ranked in ranking}) > 1
    ] or ["optimizer", "lr", "batch_size"]


def print_table(found: "FoundTable") -> None:
    """What was asked for beside the ranking."""
    table = Table(
        title=Text(found.title),
        caption=Text(found.caption),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    for place, heading in enumerate(found.columns):
        table.add_column(heading, justify="left" if place == 0 else "right")
    for row in found.rows:
        table.add_row(*map(Text, row))
    terminal.console.print(table)


def print_effects(effects: "Effects") -> None:
    """One sentence for each hyperparameter that the data say something of."""
    for effect in effects.effects:
        if effect.sentence:
            terminal.console.print(f"  {effect.sentence}", markup=False)


def print_left(left: "LeftBehind") -> None:
    """Where the rest is."""
    if left.file is not None:
        terminal.console.print(f"{left.file} trains it again: run --config {left.file}")
    if left.model is not None:
        terminal.console.print(f"{left.model} is its model, for mlflow models serve -m")
    if left.run_id is not None:
        terminal.console.print(f"report.html is in run {left.run_id}")
    for problem in left.problems:
        terminal.progress_console.print(problem, markup=False)


def _print_excluded(comparison: Comparison) -> None:
    reasons = by_reason(comparison.excluded)
    for why, runs in list(reasons.items())[:REASONS_SHOWN]:
        counts = Counter(each.run.name for each in runs)
        names = [name if n == 1 else f"{name} ({n})" for name, n in counts.items()]
        more = len(runs) - sum(list(counts.values())[:NAMES_SHOWN])
        told = f"Left out, {why}: {', '.join(names[:NAMES_SHOWN])}"
        told += f" and {more} more" if more else ""
        terminal.console.print(told, markup=False, style="dim")
    rest = sum(len(runs) for runs in list(reasons.values())[REASONS_SHOWN:])
    if rest:
        terminal.console.print(f"… and {rest} more, each with its reason in --json", style="dim")
