"""``python -m pipeline compare``."""

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pipeline import options
from pipeline.choice import (
    OBJECTIVES,
    Objective,
    cautions,
    choose,
    comparable,
    objective_named,
    refuse_mixed,
    refuse_test_metrics,
    require_recorded,
    weighted,
)
from pipeline.compare.answer import answer, as_text
from pipeline.compare.comparison import Comparison
from pipeline.compare.table import print_comparison
from pipeline.compare.words import nothing
from pipeline.metering import check_country
from steps.configuration import parse_one
from steps.errors import InputError

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

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

    runs, foreign = comparable(_runs(experiment, where), dataset, **wanted, hardware=hardware)
    require_recorded(sought, runs)
    choice = choose(runs, sought, min_success=min_success)
    refuse_mixed(choice, sought)
    comparison = Comparison(
        experiment=experiment,
        objective=sought,
        choice=choice,
        runs=tuple(runs),
        excluded=(*foreign, *choice.excluded),
        cautions=(*cautions(choice), *_cautions_of_filter(where)),
        countries=countries,
    )
    if as_json:
        print(as_text(answer(comparison)))
    else:
        print_comparison(comparison, top)
    if not choice.ranking:
        print(nothing(comparison), file=sys.stderr)
        sys.exit(NOTHING_TO_CHOOSE)


def _sought(objective: str, weights: str) -> Objective:
    if not weights:
        return objective_named(objective)
    if objective != "energy":
        raise InputError("--weights", weights, f"goes instead of --objective {objective}")
    return weighted(weights)


def _runs(experiment: str, where: str) -> list["RecordedRun"]:
    from pipeline import tracking

    return tracking.runs_of(experiment, where)


def _cautions_of_filter(where: str) -> Iterator[str]:
    if WHAT_CAME_OF_RUNS.search(where):
        yield "--where picks runs by what came of them: misses that it hides are not counted"
