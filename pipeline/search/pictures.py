"""The way of a search as a picture: the best so far, or a Pareto front."""

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pipeline.pareto import Front
from pipeline.search.loop import Search
from pipeline.search.trial import Trial

if TYPE_CHECKING:
    from pipeline.search.goal import Goal

OTHERS, MEMBERS = "#9aa5b1", "#2b7a3d"


def best_so_far(search: Search) -> go.Figure:
    """The best against what all trainings before had spent."""
    goal = search.plan.goal
    spent = 0.0
    best: Trial | None = None
    xs: list[float] = []
    ys: list[float] = []
    names: list[str] = []
    for name, trial in _named_trials(search):
        spent += trial.spent or 0.0
        if trial.figures is not None:
            best = min(best or trial, trial, key=lambda each: each.figures or ())
        if best is not None:
            xs.append(spent)
            ys.append(goal.value(best))
            names.append(name)
    figure = go.Figure(go.Scatter(x=xs, y=ys, text=names, line_shape="hv", mode="lines+markers"))
    figure.update_layout(
        title="Best so far",
        xaxis_title=f"spent by the trainings ({goal.spending.unit})",
        yaxis_title=_of_the_best(goal),
        template="plotly_white",
    )
    return figure


def front(search: Search, confirmed: Front) -> go.Figure:
    """All that reached the target, by their single runs, and the front by the means of repeats.

    Two axes make a plane; of more, each is set against each.
    """
    goal = search.plan.goal
    reached = [(name, trial) for name, trial in _named_trials(search) if trial.figures is not None]
    figure = go.Figure()
    for title, color, names, rows in (
        (
            "a single run",
            OTHERS,
            [name for name, _ in reached],
            [goal.turned(trial.figures or ()) for _, trial in reached],
        ),
        ("front", MEMBERS, [each.name for each in confirmed.members], confirmed.values),
    ):
        columns = list(zip(*rows, strict=True)) or [()] * len(goal.axes)
        told = {"name": title, "text": names, "marker": {"color": color, "size": 9}}
        if len(goal.axes) == 2:
            figure.add_scatter(x=columns[0], y=columns[1], mode="markers", **told)
        else:
            labels = (axis.metric for axis in goal.axes)
            pairs = zip(labels, columns, strict=True)
            dimensions = [{"label": label, "values": column} for label, column in pairs]
            figure.add_splom(dimensions=dimensions, diagonal_visible=False, **told)
    if len(goal.axes) == 2:
        first, second = goal.axes
        figure.update_layout(xaxis_title=first.metric, yaxis_title=second.metric)
    figure.update_layout(title="Pareto front", template="plotly_white")
    return figure


def _named_trials(search: Search) -> list[tuple[str, Trial]]:
    names = {child.number: child.run.name for child in search.children}
    return [(names[trial.number], trial) for trial in search.trials]


def _of_the_best(goal: "Goal") -> str:
    if goal.cost is None:
        return goal.sought.words
    return f"least cost to the target ({goal.cost.unit})"
