"""``python -m pipeline compare``."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from pipeline import options
from pipeline.choice import (
    OBJECTIVES,
    Choice,
    Excluded,
    Objective,
    cautions,
    choose,
    comparable,
    objective_named,
    refuse_mixed,
    refuse_test_metrics,
    require_recorded,
    weighted,
    without_noise,
)
from pipeline.compare.answer import answer, as_text
from pipeline.compare.answer import further as further_answer
from pipeline.compare.comparison import Comparison
from pipeline.compare.findings import Findings, Wanted, effects_of, findings
from pipeline.compare.table import print_comparison, print_effects, print_left, print_table
from pipeline.compare.words import nothing
from pipeline.metering import check_country
from steps.configuration import parse_one
from steps.errors import InputError

if TYPE_CHECKING:
    from pipeline.tracking import Leaders, RecordedRun

Chosen = Callable[[Sequence["RecordedRun"]], tuple[list["RecordedRun"], list[Excluded], Choice]]
"""Of some runs those that compare, those that do not, and the ranking."""

NOTHING_TO_CHOOSE = 3
WHAT_CAME_OF_RUNS = re.compile(r"\b(metrics?\b|outcome\b|status\b|end_time\b)")


@click.command()
@options.experiment_option
@click.option(
    "--objective",
    default="energy",
    show_default=True,
    help=f"What to spend least of: {', '.join(OBJECTIVES)}.",
)
@click.option(
    "--weights",
    default="",
    help="Instead, a weighted sum to have most of: val_accuracy:1,average_bitwidth:-0.2.",
)
@click.option(
    "--where", default="", help="Only runs of this MLflow filter: \"params.model = 'mlp'\"."
)
@click.option("--dataset", default="", help="Only runs on this dataset, by name or digest.")
@click.option("--target-accuracy", default="", help="Only runs towards this target.")
@click.option("--patience", default="", help="Only runs with this patience.")
@click.option("--hardware", default="", help="Only runs on this machine, by part of its name.")
@click.option(
    "--min-success",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of its repeats in which a configuration must have reached the target.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Rows of the ranking to show.",
)
@click.option(
    "--country",
    default="",
    help="Emissions of the same runs in other places: FRA,DEU,USA (ISO 3166 alpha-3).",
)
@click.option(
    "--pareto", default="", help="Also the Pareto front of several: energy,val_accuracy,latency."
)
@click.option("--inferences", default="", help="Also the energy over a life of so many inferences.")
@click.option(
    "--profiles",
    default="no",
    show_default=True,
    help="yes: also how configurations do over all datasets of the experiment.",
)
@click.option(
    "--record",
    default="",
    help="yes, no: leave a report, greenest.yaml and the registered model; default: yes, "
    "with --json no.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def compare(
    experiment: str,
    objective: str,
    weights: str,
    where: str,
    dataset: str,
    target_accuracy: str,
    patience: str,
    hardware: str,
    min_success: float,
    top: int,
    country: str,
    pareto: str,
    inferences: str,
    profiles: str,
    record: str,
    as_json: bool,
) -> None:
    """Name the greenest configuration of an experiment.

    Exit codes: 0 chosen, 2 bad input, 3 nothing reached its target.
    """
    sought = _sought(objective, weights)
    refuse_test_metrics(where)
    wanted = {
        name: parse_one(name, text) if text else None
        for name, text in (("target_accuracy", target_accuracy), ("patience", patience))
    }
    countries = tuple(check_country("--country", code) for code in country.split(",") if code)
    further = Wanted.parse(pareto, inferences, profiles)
    if record not in ("", "no", "yes"):
        raise InputError("--record", record, "choose yes or no")

    leaves = record == "yes" or (not record and not as_json)

    def chosen(runs: "Sequence[RecordedRun]") -> tuple[list["RecordedRun"], list[Excluded], Choice]:
        compared, foreign = comparable(runs, dataset, **wanted, hardware=hardware)
        require_recorded(sought, compared)
        return compared, foreign, choose(compared, sought, min_success=min_success)

    alone = top == 1 and further == Wanted() and not leaves and not sought.weights
    read = _leaders(experiment, where, sought, chosen) if alone else _all(experiment, where)
    runs, foreign, choice = chosen(read.runs)
    if not read.are_all:
        choice = without_noise(choice)
    refuse_mixed(choice, sought)
    comparison = Comparison(
        experiment=experiment,
        objective=sought,
        choice=choice,
        runs=tuple(runs),
        excluded=(*foreign, *choice.excluded),
        cautions=(*cautions(choice), *_cautions_of_filter(where)),
        countries=countries,
        winner_alone=not read.are_all,
    )
    found = findings(further, choice, read.runs, sought.metric)
    if as_json:
        print(as_text({**answer(comparison), **further_answer(found)}))
    else:
        print_comparison(comparison, top)
        _print_further(comparison, found)
    if leaves and (choice.ranking or record == "yes"):
        _leave(comparison, found, read.runs, aloud=not as_json)
    if not choice.ranking:
        print(nothing(comparison), file=sys.stderr)
        sys.exit(NOTHING_TO_CHOOSE)


def _print_further(comparison: Comparison, found: Findings) -> None:
    from pipeline.compare.tables import tables

    for table in tables(comparison, found):
        print_table(table)


def _leave(
    comparison: Comparison, found: Findings, all_runs: "Sequence[RecordedRun]", *, aloud: bool
) -> None:
    """Work out what the report needs beside the ranking, and write all that outlives the answer."""
    from pipeline.compare.leaving import leave

    effects = effects_of(comparison.runs)
    if aloud:
        print_effects(effects)
    context = click.get_current_context()
    asked = {name: str(value) for name, value in context.params.items() if value not in ("", None)}
    left = leave(comparison, found, effects, all_runs, asked)
    if aloud:
        print_left(left)


def _sought(objective: str, weights: str) -> Objective:
    if not weights:
        return objective_named(objective)
    if objective != "energy":
        raise InputError("--weights", weights, f"goes instead of --objective {objective}")
    return weighted(weights)


def _all(experiment: str, where: str) -> "Leaders":
    from pipeline import tracking

    return tracking.Leaders(tracking.runs_of(experiment, where), are_all=True)


def _leaders(experiment: str, where: str, sought: Objective, chosen: Chosen) -> "Leaders":
    """The runs that name the winner; of a server's, as few as that takes."""
    from pipeline import tracking

    def best_cost(runs: "Sequence[RecordedRun]") -> float | None:
        ranking = chosen(runs)[2].ranking
        return ranking[0].intervals[sought.metric].mean if ranking else None

    return tracking.leaders_of(experiment, sought.metric, best_cost, where)


def _cautions_of_filter(where: str) -> Iterator[str]:
    if WHAT_CAME_OF_RUNS.search(where):
        yield "--where picks runs by what came of them: misses that it hides are not counted"
