"""The Pareto front that a search found, for the terminal and the parent's description."""

from collections.abc import Mapping

from pipeline import markdown
from pipeline.choice import Ranked
from pipeline.pareto import Axis, Front
from pipeline.search.goal import told
from pipeline.search.loop import Search


def answer(search: Search, front: Front) -> list[str]:
    """Lines for a person: who is on the front, and how far to trust that."""
    metrics = ", ".join(axis.metric for axis in front.axes)
    if not front.members:
        tried = len(search.trials)
        return [f"None of the {tried} configurations has a place on a front of {metrics}."]
    lines = [f"Pareto front of {metrics}: {len(front.members)} of {len(search.trials)} tried."]
    for member, values in zip(front.members, front.values, strict=True):
        pairs = zip(front.axes, values, strict=True)
        of_member = ", ".join(told(axis, value) for axis, value in pairs)
        lines.append(f"  {member.name} ({member.config_id}): {of_member}")
    if all(member.repeats == 1 for member in front.members):
        lines.append("No repeat tells of the noise: with another seed others may be on it.")
    placed = {each.config_id for each in (*front.members, *front.beaten)}
    leaders = search.plan.goal.leaders(search.trials)
    if unconfirmed := [leader for leader in leaders if leader.config_id not in placed]:
        lines.append(
            f"Not confirmed, with too few repeats or one that missed: {len(unconfirmed)} more that "
            "were on it by a single run."
        )
    return lines


def table(front: Front, decided: Mapping[str, str]) -> str:
    """The members in Markdown.

    Args:
        front: of the search.
        decided: by configuration, what the space decided.
    """
    titles = ("configuration", "seeds", *(axis.metric for axis in front.axes), "by the space")
    rows = []
    for member, values in zip(front.members, front.values, strict=True):
        cells = (_cell(member, *pair) for pair in zip(front.axes, values, strict=True))
        name = f"{markdown.code(member.name)} ({member.config_id})"
        by_space = markdown.escaped(decided[member.config_id])
        rows.append((name, str(member.repeats), *cells, by_space))
    return markdown.table(titles, rows)


def _cell(member: Ranked, axis: Axis, mean: float) -> str:
    interval = member.intervals.get(axis.metric)
    if interval is None or interval.low is None or interval.high is None:
        return told(axis, mean)
    return f"{told(axis, mean)} (95 %: {told(axis, interval.low)} to {told(axis, interval.high)})"
