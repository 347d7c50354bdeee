"""Compare: which of the recorded configurations reached the target on the least energy."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from pipeline import options, terminal
from pipeline.choice import (
    OBJECTIVES,
    Choice,
    Excluded,
    Ranked,
    choose,
    closest,
    comparable,
    places,
)
from pipeline.metering import check_country
from pipeline.units import PARTS, flags_in_words, grams, joules, three_digits
from steps.configuration import parse_one
from steps.errors import InputError

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

NOTHING_TO_CHOOSE = 3
EXCLUDED_SHOWN = 5
IN_WORDS = {"energy": "the least energy", "emissions": "the least CO2e", "time": "the least time"}


@click.command()
@options.experiment_option
@click.option(
    "--objective",
    default="energy",
    show_default=True,
    help=f"What to spend least of: {', '.join(OBJECTIVES)}.",
)
@click.option("--dataset", default="", help="Only runs on this dataset, by name or digest.")
@click.option("--target-accuracy", default="", help="Only runs towards this target.")
@click.option("--patience", default="", help="Only runs with this patience.")
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
    dataset: str,
    target_accuracy: str,
    patience: str,
    top: int,
    country: str,
    as_json: bool,
) -> None:
    """Name the greenest configuration of an experiment.

    Exit codes: 0 chosen, 2 bad input, 3 nothing reached its target.
    """
    if objective not in OBJECTIVES:
        raise InputError("--objective", objective, f"choose one of {', '.join(OBJECTIVES)}")
    wanted = {
        name: parse_one(name, text) if text else None
        for name, text in (("target_accuracy", target_accuracy), ("patience", patience))
    }

    elsewhere = [check_country("--country", code) for code in filter(None, country.split(","))]

    from pipeline import tracking

    runs, excluded = comparable(tracking.runs_of(experiment), dataset, **wanted)
    if objective == "emissions" and len(recorded_places := places(runs)) > 1:
        problem = f"runs were recorded at {' and '.join(sorted(recorded_places))}; rank by energy"
        raise InputError("--objective", objective, f"{problem}, and see --country for emissions")
    choice = choose(runs, objective)
    excluded += choice.excluded
    if as_json:
        left_out = [{"run_id": each.run.run_id, "why": each.why} for each in excluded]
        answer = {"experiment": experiment, "objective": objective, **_as_json(choice)}
        if elsewhere:
            answer["countries"] = emissions_elsewhere(choice.ranking, elsewhere)
        print(json.dumps({**answer, "excluded": left_out}, indent=2))
    else:
        if choice.ranking:
            _print_choice(choice, experiment, objective, top)
            if elsewhere:
                _print_elsewhere(choice.ranking[:top], elsewhere)
        _print_excluded(excluded)
    if not choice.ranking:
        print(f"Nothing to choose from: {_nothing(experiment, runs)}", file=sys.stderr)
        sys.exit(NOTHING_TO_CHOOSE)


def _as_json(choice: Choice) -> dict[str, Any]:
    ranking = [_ranked_as_json(ranked) for ranked in choice.ranking]
    tied = None if choice.tied_with is None else [each.config_id for each in choice.tied_with]
    return {
        "greenest": ranking[0] if ranking else None,
        "tied_with": tied,
        "ranking": ranking,
        "provenance": _provenance(choice),
        "cautions": _cautions(choice),
    }


def _ranked_as_json(ranked: Ranked) -> dict[str, Any]:
    energy = ranked.intervals.get("energy_to_accuracy_j")
    return {
        "config_id": ranked.config_id,
        "params": dict(ranked.parameters),
        "runs": [run.run_id for run in ranked.runs],
        "n": ranked.repeats,
        "energy_to_accuracy_j": energy and vars(energy),
        "emissions_kg": ranked.mean("emissions_kg"),
        "time_to_accuracy_s": ranked.mean("time_to_accuracy_s"),
        "epochs": ranked.mean("epochs"),
        "test_accuracy": ranked.mean("test_accuracy"),
    }


def _print_choice(choice: Choice, experiment: str, objective: str, rows: int) -> None:
    best = choice.ranking[0]
    first = best.runs[0]
    target = f"above {first.parameters['target_accuracy']} on {first.parameters['dataset']}"
    table = Table(
        title=f"Experiment {experiment}: {IN_WORDS[objective]} to a validation accuracy {target}",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for heading in ("#", "configuration", "seeds", "energy", "CO2e", "time", "epochs", "test acc."):
        table.add_column(heading, justify="left" if heading == "configuration" else "right")
    differing = _differing_parameters(choice.ranking)
    for place, ranked in enumerate(choice.ranking[:rows], 1):
        table.add_row(str(place), *map(Text, _cells(ranked, differing)))
    terminal.console.print(table)
    if len(choice.ranking) > rows:
        terminal.console.print(f"… and {len(choice.ranking) - rows} more (--top)")
    terminal.console.print(f"Greenest: {best.name} ({best.config_id})", markup=False)
    for sentence in (_certainty(choice), *_worth(choice)):
        terminal.console.print(sentence, markup=False)


def emissions_elsewhere(
    ranking: Sequence[Ranked], places: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Kilograms of CO2e by country and configuration, had the same energy been used there.

    Without the data centre's PUE, which does not move along.
    """
    from energy.carbon import emissions_kg, intensity_of

    return {
        place: {
            ranked.config_id: emissions_kg(ranked.mean("energy_to_accuracy_j"), intensity_of(place))
            for ranked in ranking
        }
        for place in places
    }


def _print_elsewhere(ranking: Sequence[Ranked], places: Sequence[str]) -> None:
    from energy.carbon import intensity_of

    table = Table(title="The same energy elsewhere, CO2e", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("configuration")
    for place in places:
        table.add_column(f"{place}, {intensity_of(place):.0f} g/kWh", justify="right")
    told = emissions_elsewhere(ranking, places)
    for ranked in ranking:
        emissions = (told[place][ranked.config_id] for place in places)
        table.add_row(Text(ranked.name), *("-" if kg is None else grams(kg) for kg in emissions))
    terminal.console.print(table)


def _cells(ranked: Ranked, differing: list[str]) -> tuple[str, ...]:
    named = ", ".join(f"{name} {ranked.parameters[name]}" for name in differing)
    accuracy, epochs = ranked.mean("test_accuracy"), ranked.mean("epochs")
    return (
        named or ranked.config_id,
        str(ranked.repeats),
        _interval(ranked, "energy_to_accuracy_j", joules),
        _interval(ranked, "emissions_kg", grams),
        _interval(ranked, "time_to_accuracy_s", lambda seconds: f"{three_digits(seconds)} s"),
        "-" if epochs is None else f"{epochs:.0f}",
        "-" if accuracy is None else f"{accuracy:.4f}",
    )


def _interval(ranked: Ranked, metric: str, written: Callable[[float], str]) -> str:
    interval = ranked.intervals.get(metric)
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return written(interval.mean)
    return f"{written(interval.mean)} ({written(interval.low)} to {written(interval.high)})"


def _differing_parameters(ranking: Sequence[Ranked]) -> list[str]:
    """What tells the configurations apart; all else would be noise in the table."""
    names = ranking[0].parameters
    return [
        name for name in names if len({ranked.parameters.get(name) for ranked in ranking}) > 1
    ] or ["optimizer", "lr", "batch_size"]


def _certainty(choice: Choice) -> str:
    if len(choice.ranking) == 1:
        return "It is the only configuration that reached the target."
    if choice.tied_with is None:
        return (
            "Each configuration ran with one seed, so this order may be luck: repeat the leaders "
            "with other seeds (-P seed=1, -P seed=2) to know."
        )
    if not choice.tied_with:
        return "The difference from the next one is beyond the noise of the repeats (95 %)."
    places_tied = [f"#{choice.ranking.index(ranked) + 1}" for ranked in choice.tied_with]
    more = f" and {len(places_tied) - 5} more" if len(places_tied) > 5 else ""
    tied = ", ".join(places_tied[:5])
    return f"Tied, within the noise of the repeats (95 %), with {tied}{more}."


def _worth(choice: Choice) -> Iterator[str]:
    """What the joules are worth, and whether they may be compared at all."""
    for part, told in _provenance(choice).items():
        yield f"  {part.upper()} energy: {'; '.join(told)}"
    for caution in _cautions(choice):
        yield f"  Caution: {caution}"


def _provenance(choice: Choice) -> dict[str, list[str]]:
    runs = [run for ranked in choice.ranking for run in ranked.runs]
    return {
        part: sorted({run.tags.get(f"energy.{part}", "absent") for run in runs}) for part in PARTS
    }


def _cautions(choice: Choice) -> list[str]:
    """Why the costs of the ranking may not compare."""
    runs = [run for ranked in choice.ranking for run in ranked.runs]
    cautions = [
        f"{part.upper()} energy is {' and '.join(sorted(kinds))}: these do not compare"
        for part, told in _provenance(choice).items()
        if len(kinds := _kinds(told)) > 1
    ]
    if len(machines := {run.tags.get("hardware", "unknown") for run in runs}) > 1:
        cautions.append(f"measured on {len(machines)} machines, whose joules do not compare")
    if len(recorded_places := places(runs)) > 1:
        cautions.append(f"CO2e was recorded at {' and '.join(sorted(recorded_places))}")
    if any(run.tags.get("energy.flags") for run in runs):
        flags = {flag for run in runs for flag in run.tags.get("energy.flags", "").split(", ")}
        told = flags_in_words(", ".join(sorted(flags - {""})))
        cautions.append(f"in some runs {told}")
    return cautions


def _kinds(told: Iterable[str]) -> set[str]:
    """``measured``, ``estimated`` or ``absent``, without how or why."""
    return {provenance.split(" ", 1)[0] for provenance in told}


def _print_excluded(excluded: Sequence[Excluded]) -> None:
    for why, runs in _by_reason(excluded).items():
        names = ", ".join(run.name for run in runs[:EXCLUDED_SHOWN])
        more = f" and {len(runs) - EXCLUDED_SHOWN} more" if len(runs) > EXCLUDED_SHOWN else ""
        terminal.console.print(f"Left out, {why}: {names}{more}", markup=False, style="dim")


def _by_reason(excluded: Sequence[Excluded]) -> dict[str, list["RecordedRun"]]:
    reasons: dict[str, list[RecordedRun]] = {}
    for each in excluded:
        reasons.setdefault(each.why, []).append(each.run)
    return reasons


def _nothing(experiment: str, runs: Sequence["RecordedRun"]) -> str:
    attempt = closest(runs)
    if attempt is None:
        return f"no run of experiment {experiment} was trained to an end."
    return (
        f"no configuration of experiment {experiment} reached its target in all its runs. "
        f"The closest was {attempt.name} (run {attempt.run_id}): its validation accuracy ended at "
        f"{attempt.metrics['val_accuracy']:.4f}, the target is above "
        f"{attempt.parameters['target_accuracy']}."
    )


if __name__ == "__main__":
    terminal.main(compare, "python -m pipeline.compare")
