"""What a search found and what that cost: for the terminal, and as the parent's description."""

import math
import statistics
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pipeline.choice import (
    OBJECTIVES,
    Choice,
    Interval,
    choose,
    comparable,
    probabilities_of_being_best,
)
from pipeline.search.bill import Bill, bill_of, retrainings_to_pay_off
from pipeline.search.loop import Search
from pipeline.tracking.search_log import SearchLog
from pipeline.units import grams, joules, seconds
from steps import configuration as configurations

if TYPE_CHECKING:
    from pipeline.choice import Ranked
    from pipeline.tracking import RecordedRun

LEADERS = 10
"""Rows of the table in the description."""

PROGRESS = "search/best_so_far.html"


def report(search: Search, log: SearchLog) -> str:
    """Say what came of the search so far, and keep that in its run.

    Returns:
        Lines for a person, the answer first.
    """
    objective = search.plan.objective.name
    runs = [child.run for child in search.children]
    trained, _ = comparable(runs)
    choice = choose(_confirmed(trained, search.plan.repeats), objective)
    spent = search.spent()
    bill = bill_of(runs, spent.energy_j, spent.emissions_kg, spent.time_s)
    answer = _answer(search, choice)
    lines = [*answer, *_bill_lines(bill, search, choice)]
    log.describe(
        "\n\n".join([*answer, _leaders(search, choice), *_bill_lines(bill, search, choice)])
    )
    log.page(_progress(search), PROGRESS)
    figures = {**search.figures(), **_figures(bill, choice, objective)}
    log.figures(figures, step=len(search.children))
    if choice.ranking:
        log.tag({"search.greenest": choice.ranking[0].config_id})
    return "\n".join([*lines, f"Search: run {log.run_id}"])


def _confirmed(runs: list["RecordedRun"], repeats: int) -> list["RecordedRun"]:
    """Of the configurations with as many seeds as were asked for; all where none has.

    A leader's first run was chosen for being cheap: one that was not repeated is not to win by it.
    """
    seeds: dict[str, set[str]] = {}
    for run in runs:
        seeds.setdefault(run.tags["config_id"], set()).add(run.parameters["seed"])
    confirmed = [run for run in runs if len(seeds[run.tags["config_id"]]) >= repeats]
    return confirmed or runs


def _answer(search: Search, choice: Choice) -> list[str]:
    if not choice.ranking:
        tried = len(search.trials)
        return [f"None of the {tried} configurations reached the target in all of its repeats."]
    best = choice.ranking[0]
    objective = search.plan.objective.name
    cost = _interval(best.intervals[OBJECTIVES[objective]], objective)
    lines = [f"Greenest: {best.name} ({best.config_id}), {cost} over {_repeats(best)}."]
    likely = probabilities_of_being_best(choice, objective)
    if likely:
        lines.append(
            f"It is truly the best of these with probability {likely[best.config_id]:.0%}."
        )
    if choice.tied_with is None:
        lines.append("No repeat tells of the noise: another seed may turn the order around.")
    elif choice.tied_with:
        names = ", ".join(other.name for other in choice.tied_with)
        lines.append(f"Tied, within the noise of the repeats (95 %), with {names}.")
    return lines


def _repeats(ranked: "Ranked") -> str:
    return "1 seed" if ranked.repeats == 1 else f"{ranked.repeats} seeds"


def _bill_lines(bill: Bill, search: Search, choice: Choice) -> list[str]:
    energy = "energy not measured" if bill.energy_j is None else joules(bill.energy_j)
    carbon = "" if bill.emissions_kg is None else f", {grams(bill.emissions_kg)} CO2e"
    parts = [
        f"{count} {outcome}"
        + (
            f" {joules(bill.training_energy_j[outcome])}"
            if outcome in bill.training_energy_j
            else ""
        )
        for outcome, count in bill.trainings.items()
    ]
    lines = [
        f"The search spent {energy}{carbon} in {seconds(bill.time_s)}; "
        f"trainings, a compilation that several share counted once: {', '.join(parts)}."
    ]
    if bill.saved_at_most_j:
        lines.append(f"Giving up early saved at most {joules(bill.saved_at_most_j)}.")
    if choice.ranking:
        lines.append(_pay_off(bill, search, choice))
    return lines


def _pay_off(bill: Bill, search: Search, choice: Choice) -> str:
    default = configurations.parse(dict(search.plan.fixed)).config_id
    costs = [
        child.run.metrics["energy_to_accuracy_j"]
        for child in search.children
        if child.run.tags["config_id"] == default and "energy_to_accuracy_j" in child.run.metrics
    ]
    trainings = retrainings_to_pay_off(
        bill.energy_j,
        statistics.fmean(costs) if costs else None,
        choice.ranking[0].mean("energy_to_accuracy_j"),
    )
    if math.isnan(trainings):
        return "Against the default configuration nothing can be said: its cost is not known."
    if math.isinf(trainings):
        return "The default configuration costs no more than the winner: nothing to pay off."
    return f"It has paid for itself after {trainings:.0f} trainings of the winner, not the default."


def _interval(interval: Interval, objective: str) -> str:
    told = {"energy": joules, "emissions": grams, "time": seconds}[objective]
    if interval.low is None or interval.high is None:
        return told(interval.mean)
    return f"{told(interval.mean)} (95 %: {told(interval.low)} to {told(interval.high)})"


def _leaders(search: Search, choice: Choice) -> str:
    objective = search.plan.objective.name
    likely = probabilities_of_being_best(choice, objective)
    rows = [("configuration", "seeds", objective, "probability of being the best"), ("---",) * 4]
    for ranked in choice.ranking[:LEADERS]:
        chance = likely.get(ranked.config_id)
        rows.append(
            (
                f"`{ranked.name}` ({ranked.config_id})",
                str(ranked.repeats),
                _interval(ranked.intervals[OBJECTIVES[objective]], objective),
                "?" if chance is None else f"{chance:.0%}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figures(bill: Bill, choice: Choice, objective: str) -> dict[str, float | None]:
    best = choice.ranking[0].mean(OBJECTIVES[objective]) if choice.ranking else None
    return {
        "greenest_cost": best,
        "saved_at_most_j": bill.saved_at_most_j,
        **{f"trainings_{name.lower()}": float(n) for name, n in bill.trainings.items()},
        **{f"energy_{name.lower()}_j": joules_ for name, joules_ in bill.training_energy_j.items()},
    }


def _progress(search: Search) -> go.Figure:
    """Best cost so far against what all trainings before had spent."""
    spent, best = 0.0, math.inf
    xs: list[float] = []
    ys: list[float] = []
    names: list[str] = []
    for child, trial in zip(
        (child for child in search.children if child.role == "trial"), search.trials, strict=True
    ):
        spent += trial.spent or 0.0
        best = min(best, trial.cost)
        if math.isfinite(best):
            xs.append(spent)
            ys.append(best)
            names.append(child.run.name)
    unit = search.plan.objective.unit
    figure = go.Figure(go.Scatter(x=xs, y=ys, text=names, line_shape="hv", mode="lines+markers"))
    figure.update_layout(
        title="Best so far",
        xaxis_title=f"spent by the trainings ({unit})",
        yaxis_title=f"least cost to the target ({unit})",
        template="plotly_white",
    )
    return figure
