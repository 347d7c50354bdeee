"""What a search found and what that cost: for the terminal, and as the parent's description."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline import markdown
from pipeline.choice import Choice, probabilities_of_being_best
from pipeline.pareto import front_of
from pipeline.search import front_report, pictures
from pipeline.search.bill import Bill, bill_of, default_cost_of, saved, what_follows
from pipeline.search.confirming import choice_of
from pipeline.search.goal import Goal
from pipeline.search.loop import Search
from pipeline.tracking.search_log import IDLE_POWER, SearchLog
from pipeline.units import grams, joules, seconds, three_digits
from steps import configuration as configurations

if TYPE_CHECKING:
    from pipeline.choice import Ranked

LEADERS = 10
"""Rows of the table in the description."""

BEST_SO_FAR, FRONT = "search/best_so_far.html", "search/front.html"


def report(search: Search, log: SearchLog) -> str:
    """Say what came of the search so far, and keep that in its run.

    Returns:
        Lines for a person, the answer first.
    """
    goal, decided = search.plan.goal, _decided(search)
    runs = [child.run for child in search.children]
    choice = choice_of(search.plan, search.children)
    spent = search.spent()
    bill = bill_of(runs, spent.energy_j, spent.emissions_kg, spent.time_s)
    figures = {**search.figures(), **_figures(bill)}
    if goal.is_front:
        front = front_of(choice.ranking, goal.axes)
        answer = front_report.answer(search, front)
        table = front_report.table(front, decided)
        tags = {"search.front": ", ".join(each.config_id for each in front.members)}
        log.page(pictures.front(search, front), FRONT)
    else:
        answer, table = _answer(search, choice, decided), _leaders(goal, choice, decided)
        tags = {"search.greenest": choice.ranking[0].config_id} if choice.ranking else {}
        figures["greenest_cost"] = _least(goal, choice)
        log.page(pictures.best_so_far(search), BEST_SO_FAR)
    spent_on = _bill_lines(bill, search, choice, log.recorded().metrics.get(IDLE_POWER))
    log.describe("\n\n".join([*answer, table, *spent_on]))
    log.figures(figures, step=len(search.children))
    log.tag(tags)
    return "\n".join([*answer, *spent_on, f"Search: run {log.run_id}"])


def _answer(search: Search, choice: Choice, decided: Mapping[str, str]) -> list[str]:
    if not choice.ranking:
        tried = len(search.trials)
        return [f"None of the {tried} configurations reached the target in all of its repeats."]
    best, goal = choice.ranking[0], search.plan.goal
    known = "Best" if goal.cost is None else "Greenest"
    # With others as good within the noise, or none known of, it is first and no more than that.
    title = known if choice.tied_with == () and len(choice.rivals) > 1 else "First"
    seeds = "1 seed" if best.repeats == 1 else f"{best.repeats} seeds"
    lines = [f"{title}: {best.name} ({best.config_id}), {_interval(best, goal)} over {seeds}."]
    names_tell_all = {each.name for each in search.plan.space.parameters} <= configurations.NAMED
    if not names_tell_all:
        lines.append(f"The space decided: {decided[best.config_id]}.")
    likely = probabilities_of_being_best(choice, goal.sought)
    if likely and len(choice.rivals) > 1:
        lines.append(
            f"It is truly the best of these with probability {likely[best.config_id]:.0%}."
        )
    if len(choice.rivals) == 1 and best.repeats > 1:
        lines.append("No other has reached the target in as many repeats.")
    if choice.tied_with is None:
        lines.append("No repeat tells of the noise: another seed may turn the order around.")
    elif choice.tied_with:
        names = ", ".join(
            other.name if names_tell_all else f"{other.name} ({other.config_id})"
            for other in choice.tied_with
        )
        lines.append(f"Tied, within the noise of the repeats (95 %), with {names}.")
    if next(search.missing_repeats(), None) is not None:
        lines.append("The search ended before all its repeats were done.")
    return lines


def _bill_lines(
    bill: Bill, search: Search, choice: Choice, idle_power_w: float | None
) -> list[str]:
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
    if idle_power_w is not None:
        idle = f"{joules(idle_power_w * bill.time_s)} ({three_digits(idle_power_w)} W)"
        lines.append(f"This machine would have taken {idle} in that time if it had been idle.")
    if choice.ranking and not search.plan.goal.is_front:
        winner_j = choice.ranking[0].mean("energy_to_accuracy_j")
        default = configurations.parse(dict(search.plan.fixed)).config_id
        runs = [child.run for child in search.children]
        return [*lines, *what_follows(bill, default_cost_of(runs, default), winner_j)]
    return [*lines, *saved(bill)]


def _interval(ranked: "Ranked", goal: Goal) -> str:
    told, interval = goal.sought.told, ranked.intervals[goal.sought.metric]
    if interval.low is None or interval.high is None:
        return told(interval.mean)
    return f"{told(interval.mean)} (95 %: {told(interval.low)} to {told(interval.high)})"


def _decided(search: Search) -> dict[str, str]:
    """By configuration, what the space decided."""
    return {
        trial.config_id: ", ".join(f"{name} {value}" for name, value in trial.point.items())
        for trial in search.trials
    }


def _leaders(goal: Goal, choice: Choice, decided: Mapping[str, str]) -> str:
    likely = probabilities_of_being_best(choice, goal.sought)
    titles = ("configuration", "seeds", goal.name, "probability of being the best", "by the space")
    rows = []
    for ranked in choice.ranking[:LEADERS]:
        chance = likely.get(ranked.config_id)
        rows.append(
            (
                f"{markdown.code(ranked.name)} ({ranked.config_id})",
                str(ranked.repeats),
                _interval(ranked, goal),
                "?" if chance is None else f"{chance:.0%}",
                markdown.escaped(decided[ranked.config_id]),
            )
        )
    return markdown.table(titles, rows)


def _least(goal: Goal, choice: Choice) -> float | None:
    return choice.ranking[0].intervals[goal.sought.metric].mean if choice.ranking else None


def _figures(bill: Bill) -> dict[str, float | None]:
    return {
        "saved_at_most_j": bill.saved_at_most_j,
        **{f"trainings_{name.lower()}": float(n) for name, n in bill.trainings.items()},
        **{f"energy_{name.lower()}_j": joules_ for name, joules_ in bill.training_energy_j.items()},
    }
