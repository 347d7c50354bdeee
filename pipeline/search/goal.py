"""What a search looks for: the least of one cost, the most of a weighted sum, or a Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choice import Objective as Sought
from pipeline.choice import weighted
from pipeline.choice.objectives import MOST, TABLE
from pipeline.search.objective import OBJECTIVES, Objective
from pipeline.units import three_digits
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.pareto import Axis
    from pipeline.search.trial import Trial
    from pipeline.tracking import RecordedRun

OPTION = "--objective"
DIRECTIONS = ("", "min", "max")


@dataclass(frozen=True)
class Goal:
    """What a search looks for.

    Attributes:
        name: as typed.
        axes: what configurations are compared by: one, or those of a Pareto front.
        sought: what they are ranked by; of a front, its first axis.
        cost: where it is one that grows while a training goes on, so that what cannot win can be
            given up; None for a weighted sum and a front.
    """

    name: str
    axes: tuple["Axis", ...]
    sought: Sought
    cost: Objective | None = None

    @property
    def is_front(self) -> bool:
        """Whether there is more than one best."""
        return len(self.axes) > 1

    @property
    def spending(self) -> Objective:
        """What a training costs, to follow what it was spent on: joules, if no cost decides."""
        return self.cost or OBJECTIVES["energy"]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What a run must have to be compared."""
        if self.sought.weights is not None and not self.is_front:
            return tuple(self.sought.weights)
        return tuple(axis.metric for axis in self.axes)

    @property
    def rests_on(self) -> frozenset[str]:
        """As in `pipeline.choice.Objective`, of all that it is made of."""
        known = [each for each in TABLE.values() if {each.metric, each.spent} & {*self.metrics}]
        return frozenset[str]().union(*(each.rests_on for each in known))

    def values(self, run: "RecordedRun") -> tuple[float, ...] | None:
        """Of a run by axis; None where it missed the target, or one of them was not recorded."""
        if run.tags.get("outcome") != Outcome.REACHED:
            return None
        if self.cost is not None:
            values = [self.cost.of(run)]
        elif self.is_front:
            values = [run.metrics.get(metric) for metric in self.metrics]
        else:
            values = [self.sought.of(run)]
        # MLflow's databases keep infinity as the largest number there is.
        known = tuple(value for value in values if value is not None and abs(value) < MOST)
        return known if len(known) == len(values) else None

    def figures(self, run: "RecordedRun") -> tuple[float, ...] | None:
        """As `values`, each the better the less it is."""
        values = self.values(run)
        return None if values is None else self.turned(values)

    def leaders(self, trials: Sequence["Trial"]) -> list["Trial"]:
        """The best first; of a front its members, the best by its first axis first."""
        known = [(trial.figures, trial) for trial in trials if trial.figures is not None]
        known.sort(key=lambda each: each[0])
        if self.is_front and known:
            import numpy as np

            from pipeline.pareto import unbeaten

            kept = unbeaten(np.array([figures for figures, _ in known]))
            known = [each for each, is_kept in zip(known, kept, strict=True) if is_kept]
        return [trial for _, trial in known]

    def to_confirm(self, trials: Sequence["Trial"], most: int) -> list["Trial"]:
        """The leaders that are trained again: of a front evenly over it, both ends included."""
        leaders = self.leaders(trials)
        if not self.is_front or len(leaders) <= most:
            return leaders[:most]
        gap = (len(leaders) - 1) / max(1, most - 1)
        return [leaders[round(place * gap)] for place in range(most)]

    def value(self, trial: "Trial") -> float:
        """Of one that has a figure, where one decides."""
        (value,) = self.turned(trial.figures or ())
        return value

    def so_far(self, trials: Sequence["Trial"]) -> dict[str, float | None]:
        """Where a search stands, as metrics of its run."""
        leaders = self.leaders(trials)
        if self.is_front:
            return {"front_size": float(len(leaders))}
        return {"best_so_far": self.value(leaders[0]) if leaders else None}

    def so_far_in_words(self, trials: Sequence["Trial"]) -> str:
        """As `so_far`, for people."""
        leaders = self.leaders(trials)
        if self.is_front:
            return f"front of {len(leaders)}"
        return f"best {self.sought.told(self.value(leaders[0])) if leaders else 'nothing yet'}"

    def in_words(self, run: "RecordedRun") -> str:
        """Of a run: its values, or what it spent until it missed; empty where nothing is known."""
        if self.cost is not None:
            spent = self.cost.of(run)
            return "" if spent is None else self.sought.told(spent)
        values = self.values(run)
        if values is None:
            return ""
        if not self.is_front:
            return self.sought.told(values[0])
        pairs = zip(self.axes, values, strict=True)
        return ", ".join(f"{axis.metric} {told(axis, value)}" for axis, value in pairs)

    def turned(self, values: Sequence[float]) -> tuple[float, ...]:
        """Those of which more is better with the other sign; and back."""
        pairs = zip(self.axes, values, strict=True)
        return tuple(value if axis.less_is_better else -value for axis, value in pairs)


def told(axis: "Axis", value: float) -> str:
    """A value for people, in its unit where it has one."""
    units = {each.metric: each.told for each in TABLE.values()}
    return units.get(axis.metric, three_digits)(value)


def goal(text: str) -> Goal:
    """What was typed as ``--objective``.

    Args:
        text: ``energy``, ``emissions`` or ``time``; metrics for a Pareto front, as
            `pipeline.pareto.axes_of` reads them; or a weighted sum, as `pipeline.choice.weighted`
            does. Objectives of `pipeline.choice` may stand for their metrics.

    Raises:
        InputError: it is none of these, or rests on a test metric.
    """
    from pipeline.pareto import OF_THE_TEST_PART, Axis, axes_of

    parts = [part.strip() for part in text.split(",")]
    if any(part.rpartition(":")[2] not in DIRECTIONS for part in parts if ":" in part):
        return _weighted_sum(text, parts)
    if len(parts) > 1:
        try:
            axes = axes_of(text)
        except InputError as error:
            raise _typed_here(error, text, text) from None
        return Goal(text, axes, _ranking_by(axes[0]))
    if text in OBJECTIVES:
        cost = OBJECTIVES[text]
        return Goal(text, (Axis(cost.metric, less_is_better=True),), TABLE[text], cost)
    if OF_THE_TEST_PART.search(text):
        problem = "comes from the test rows, which report and never decide; val_accuracy may"
        raise InputError(OPTION, text, problem)
    choices = ", ".join(OBJECTIVES)
    problem = f"choose one of {choices}, several metrics for a Pareto front, or METRIC:WEIGHT,…"
    raise InputError(OPTION, text, problem)


def _weighted_sum(text: str, parts: Sequence[str]) -> Goal:
    from pipeline.pareto import Axis

    split = [part.rpartition(":") for part in parts]
    names = {name: each.metric for name, each in TABLE.items()}
    in_metrics = ",".join(
        f"{names.get(name, name)}{colon}{weight}" for name, colon, weight in split
    )
    try:
        sought = weighted(in_metrics)
    except InputError as error:
        raise _typed_here(error, in_metrics, text) from None
    return Goal(text, (Axis(sought.metric, less_is_better=False),), sought)


def _ranking_by(axis: "Axis") -> Sought:
    known = (each for each in TABLE.values() if each.metric == axis.metric and axis.less_is_better)
    return next(known, None) or weighted(f"{axis.metric}:{-1 if axis.less_is_better else 1}")


def _typed_here(error: InputError, value: str, text: str) -> InputError:
    """The same, of another option: front and sum are read by what `compare` reads them with."""
    before = f"{error.option} {' '.join(value.split())}: "
    return InputError(OPTION, text, str(error).removeprefix(before))
