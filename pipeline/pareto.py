"""The Pareto front: configurations that no other one beats in every metric at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.choice import OBJECTIVES, Ranked
from pipeline.choice.objectives import MOST
from steps.errors import InputError

OF_THE_TEST_PART = re.compile(r"(^|[^a-z])test([^a-z]|$)")
MORE_IS_BETTER = re.compile(r"(^|[_/])(accuracy|memory_density)$")
LESS_IS_BETTER = re.compile(
    r"(_j|_s|_ms|_kg|_kwh|_w|_bytes|loss|epochs|parameters|flops|average_bitwidth)$"
)


@dataclass(frozen=True)
class Axis:
    """A metric with the direction in which it gets better."""

    metric: str
    less_is_better: bool


@dataclass(frozen=True)
class Front:
    """What is left when all that is beaten is gone.

    Attributes:
        axes: by which they were compared.
        members: the best by the first axis first; equal ones are all kept.
        values: for each member, its means by axis.
        beaten: the others.
        left_out: configurations that cannot be placed, and why.
    """

    axes: tuple[Axis, ...]
    members: tuple[Ranked, ...]
    values: tuple[tuple[float, ...], ...]
    beaten: tuple[Ranked, ...]
    left_out: tuple[tuple[Ranked, str], ...]


def axes_of(text: str) -> tuple[Axis, ...]:
    """Axes as typed.

    Args:
        text: such as ``energy,val_accuracy,latency``: objectives or metrics, with ``:min`` or
            ``:max`` behind those whose direction does not show in their names.

    Raises:
        InputError: fewer than two, one twice, a direction that is not known, or a test metric.
    """
    axes = tuple(_axis(text, each.strip()) for each in text.split(",") if each.strip())
    metrics = [axis.metric for axis in axes]
    if len(axes) < 2 or len(set(metrics)) < len(axes):
        raise InputError("--pareto", text, "must be two or more different metrics")
    return axes


def _axis(text: str, typed: str) -> Axis:
    name, _, direction = typed.partition(":")
    metric = OBJECTIVES.get(name, name)
    if OF_THE_TEST_PART.search(metric):
        problem = f"{metric} comes from the test rows, which report and never decide"
        raise InputError("--pareto", text, f"{problem}; val_accuracy may")
    if direction:
        if direction not in ("min", "max"):
            raise InputError("--pareto", text, f"behind {name} comes :min or :max")
        return Axis(metric, direction == "min")
    if MORE_IS_BETTER.search(metric):
        return Axis(metric, less_is_better=False)
    if LESS_IS_BETTER.search(metric):
        return Axis(metric, less_is_better=True)
    raise InputError("--pareto", text, f"is more of {name} better, or less? add :max or :min")


def front_of(ranking: Sequence[Ranked], axes: Sequence[Axis]) -> Front:
    """The Pareto front over the configurations' means.

    Means of few repeats are noisy, and a front picks the lucky ones: their intervals say how far to
    trust it.

    Args:
        ranking: configurations that reached their target.
        axes: one or more.
    """
    known: list[Ranked] = []
    rows: list[tuple[float, ...]] = []
    left_out: list[tuple[Ranked, str]] = []
    for ranked in ranking:
        means = {axis.metric: _mean(ranked, axis.metric) for axis in axes}
        row = tuple(mean for mean in means.values() if mean is not None)
        if len(row) == len(axes):
            known.append(ranked)
            rows.append(row)
        else:
            absent = ", ".join(metric for metric, mean in means.items() if mean is None)
            left_out.append((ranked, f"no {absent} was recorded"))
    signs = [1.0 if axis.less_is_better else -1.0 for axis in axes]
    costs = np.array(rows, np.float64).reshape(-1, len(axes)) * signs
    kept = unbeaten(costs)
    order = np.argsort(costs[:, 0], kind="stable").tolist()
    return Front(
        axes=tuple(axes),
        members=tuple(known[place] for place in order if kept[place]),
        values=tuple(rows[place] for place in order if kept[place]),
        beaten=tuple(known[place] for place in order if not kept[place]),
        left_out=tuple(left_out),
    )


def _mean(ranked: Ranked, metric: str) -> float | None:
    """As it was ranked by, if it was; MLflow's databases keep infinity as the largest number."""
    interval = ranked.intervals.get(metric)
    mean = ranked.mean(metric) if interval is None else interval.mean
    return mean if mean is not None and abs(mean) < MOST else None


def unbeaten(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which rows no other row beats.

    A row beats another where it is nowhere more and somewhere less, so equal rows stay together.
    In the order of their columns no row is beaten by a later one: for two columns one pass is
    enough, which makes it O(n log n); for more, each row is held against the front so far
    (Kung, Luccio and Preparata, "On Finding the Maxima of a Set of Vectors", J. ACM 22, 1975).

    Args:
        costs: float64, shape (n, metrics), finite; less is better.

    Returns:
        bool, shape (n,).
    """
    distinct, place = np.unique(costs, axis=0, return_inverse=True)
    kept = np.zeros(len(distinct), np.bool_)
    if costs.shape[1] == 2 and len(distinct):
        least_before = np.minimum.accumulate(distinct[:, 1])[:-1]
        kept[0] = True
        kept[1:] = distinct[1:, 1] < least_before
        return kept[place.reshape(-1)]
    front = np.empty_like(distinct)
    size = 0
    for row, costs_of_row in enumerate(distinct):
        if not (front[:size] <= costs_of_row).all(axis=1).any():
            kept[row] = True
            front[size] = costs_of_row
            size += 1
    return kept[place.reshape(-1)]
