"""What configurations can be ranked by."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choice.noise import COSTS, SCORES, Scale
from pipeline.units import grams, joules, seconds, three_digits
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

MACHINE, ENERGY_PARTS, PLACE = "machine", "parts of the energy", "place"
"""What runs must share for a figure to compare."""

SCORE = "score"
"""In `Ranked.intervals`, the weighted sum."""

LEAST, MOST = 1e-100, 1e100
"""What a figure can be. MLflow's databases keep infinity as the largest number there is."""

_TEST = re.compile(r"(?<![a-z0-9])test(?![a-z0-9])", re.IGNORECASE)
_METRIC_IN_FILTER = re.compile(r"\bmetrics?\s*\.\s*(?:`([^`]+)`|\"([^\"]+)\"|([\w./-]+))")


@dataclass(frozen=True)
class Objective:
    """A figure of which the least wins, or with `weights` a score of which the most wins.

    Attributes:
        name: as typed.
        metric: of a run that reached its target; the key of `Ranked.intervals`.
        words: what the winner has.
        told: writes the figure for people.
        spent: metric of what a run took that missed; None for what only a trained model has.
        rests_on: `MACHINE`, `ENERGY_PARTS` or `PLACE`, where the figure depends on them.
        weights: by metric, for a weighted sum.
    """

    name: str
    metric: str
    words: str
    told: Callable[[float], str]
    spent: str | None = None
    rests_on: frozenset[str] = frozenset()
    weights: Mapping[str, float] | None = None

    @property
    def scale(self) -> Scale:
        """On which repeats scatter normally."""
        return COSTS if self.weights is None else SCORES

    def of(self, run: "RecordedRun") -> float | None:
        """Figure of a run; None where it is missing or no such figure can be."""
        if self.weights is not None:
            terms = [weight * run.metrics.get(m, math.nan) for m, weight in self.weights.items()]
            score = sum(terms)
            return score if abs(score) < MOST else None
        reached = run.tags.get("outcome") == Outcome.REACHED
        cost = run.metrics.get(self.metric if reached else self.spent or self.metric, math.nan)
        return cost if LEAST < cost < MOST else None


def _milliseconds(time_ms: float) -> str:
    return f"{three_digits(time_ms)} ms"


def _bytes(size: float) -> str:
    return f"{size:,.0f} bytes"


_TIMED = frozenset({MACHINE})
_METERED = frozenset({MACHINE, ENERGY_PARTS})
_EMITTED = frozenset({MACHINE, ENERGY_PARTS, PLACE})

TABLE = {
    each.name: each
    for each in (
        Objective(
            "energy",
            "energy_to_accuracy_j",
            "the least energy",
            joules,
            "energy_spent_j",
            _METERED,
        ),
        Objective(
            "emissions",
            "emissions_to_accuracy_kg",
            "the least CO2e",
            grams,
            "emissions_kg",
            _EMITTED,
        ),
        Objective("time", "time_to_accuracy_s", "the least time", seconds, "time_spent_s", _TIMED),
        Objective(
            "net_energy",
            "net_energy_j",
            "the least energy net of idle",
            joules,
            "net_energy_j",
            _METERED,
        ),
        Objective(
            "calibrated_energy",
            "calibrated_energy_j",
            "the least energy at the wall",
            joules,
            "calibrated_energy_j",
            _METERED,
        ),
        Objective("epochs", "epochs", "the fewest epochs", three_digits, "epochs"),
        Objective(
            "energy_per_inference",
            "energy_per_inference_j",
            "the least energy per inference",
            joules,
            rests_on=_TIMED,
        ),
        Objective(
            "quantized_energy_per_inference",
            "quantized_energy_per_inference_j",
            "the least energy per inference, quantized,",
            joules,
            rests_on=_TIMED,
        ),
        Objective("latency", "latency_ms", "the least latency", _milliseconds, rests_on=_TIMED),
        Objective(
            "quantized_latency",
            "quantized_latency_ms",
            "the least latency, quantized,",
            _milliseconds,
            rests_on=_TIMED,
        ),
        Objective("model_size", "model_size_bytes", "the smallest model", _bytes),
        Objective(
            "quantized_model_size",
            "quantized_model_size_bytes",
            "the smallest quantized model",
            _bytes,
        ),
        Objective("parameters", "parameters", "the fewest parameters", three_digits),
        Objective("flops", "flops", "the fewest operations per inference", three_digits),
        Objective(
            "average_bitwidth", "average_bitwidth", "the least average bit width", three_digits
        ),
    )
}
"""By name. Everything that is said of an objective comes from here."""

OBJECTIVES = {name: each.metric for name, each in TABLE.items()}
"""Metric by the name of the objective."""


def objective_named(name: str) -> Objective:
    """The objective of that name.

    Raises:
        InputError: there is none, or it is a test metric.
    """
    if _TEST.search(name):
        raise _decided_by_test("--objective", name, name)
    if name not in TABLE:
        raise InputError("--objective", name, f"choose one of {', '.join(TABLE)}")
    return TABLE[name]


def weighted(text: str) -> Objective:
    """A weighted sum of metrics, of which the most wins, as MASE's searches have it.

    Args:
        text: such as ``val_accuracy:1,average_bitwidth:-0.2``: by metric its weight, which is
            positive where more is better and scales it against the others.

    Raises:
        InputError: that is not how weights are written, or a test metric is among them.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        metric, _, number = (piece.strip() for piece in part.rpartition(":"))
        weight = _number(number)
        if not metric or metric in weights or weight is None:
            problem = "must be METRIC:WEIGHT,… with each metric once and weights other than 0"
            raise InputError("--weights", text, problem)
        if _TEST.search(metric):
            raise _decided_by_test("--weights", text, metric)
        weights[metric] = weight
    same = [each for each in TABLE.values() if {each.metric, each.spent} & weights.keys()]
    return Objective(
        name=text,
        metric=SCORE,
        words=f"the highest sum of {text}",
        told=three_digits,
        rests_on=frozenset().union(*(each.rests_on for each in same)),
        weights=weights,
    )


def require_recorded(objective: Objective, runs: Sequence["RecordedRun"]) -> None:
    """Refuse weights of what was never recorded: a slip of the pen, most likely.

    Raises:
        InputError: no run has a metric of the weights; it tells those that may be had.
    """
    recorded = {metric for run in runs for metric in run.metrics}
    for metric in objective.weights or ():
        if runs and metric not in recorded:
            choices = ", ".join(sorted(each for each in recorded if not _TEST.search(each)))
            raise InputError(
                "--weights", objective.name, f"no run has {metric}; choose of {choices}"
            )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number else None


def refuse_test_metrics(where: str) -> None:
    """The test part reports and never decides, by a filter as little as by an objective.

    Args:
        where: a filter of MLflow's.

    Raises:
        InputError: it names a test metric.
    """
    for quoted in _METRIC_IN_FILTER.findall(where):
        metric = "".join(quoted)
        if _TEST.search(metric):
            raise _decided_by_test("--where", where, metric)


def _decided_by_test(option: str, value: str, metric: str) -> InputError:
    problem = (
        f"{metric} comes from the test rows, which report and never decide: of a winner that they "
        "chose, their score would be too good; val_accuracy may decide"
    )
    return InputError(option, value, problem)
