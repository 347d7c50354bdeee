"""What makes one point of a grid better than another."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.quantize_grid.space import Point
from pipeline.search.yaml_tree import meant, shown
from steps.errors import InputError

BETTER = {"val_accuracy": 1.0, "val_loss": -1.0, "average_bitwidth": -1.0, "memory_density": 1.0}
"""Metrics that may decide: 1 where more is better, -1 where less is."""

DEFAULT = "val_accuracy:1,average_bitwidth:-0.2"
"""The scales of MASE's examples of its search (``configs/examples/search_toy_tpe.toml``)."""

PARETO = "pareto:"


@dataclass(frozen=True)
class Result:
    """A point that was evaluated.

    Attributes:
        point: of the space.
        metrics: `BETTER` and, for reading only, ``test_accuracy`` and ``test_loss``.
    """

    point: Point
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Objective:
    """A weighted sum, or several metrics among which nothing is traded (a Pareto front).

    Attributes:
        text: as it was typed.
        scales: by metric; more of the metric is better where its scale is above 0.
        is_pareto: whether they are kept apart.
    """

    text: str
    scales: Mapping[str, float]
    is_pareto: bool

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """``METRIC:SCALE,...`` for MASE's weighted sum, ``pareto:METRIC,...`` for a front.

        Raises:
            InputError: it is neither of the two.
        """
        is_pareto = text.startswith(PARETO)
        scales: dict[str, float] = {}
        for part in text.removeprefix(PARETO).split(","):
            name, colon, scale = part.strip().partition(":")
            if name not in BETTER:
                raise _refusal(text, f"{shown(name)} does not decide; {meant(name, BETTER)}")
            if name in scales:
                raise _refusal(text, f"names {name} twice")
            if is_pareto and colon:
                raise _refusal(text, f"a front has no scales: {PARETO}{name}, without :{scale}")
            scales[name] = BETTER[name] if is_pareto else _scale(text, name, scale)
        if is_pareto and len(scales) == 1:
            raise _refusal(text, "a front needs two metrics or more")
        return cls(text, scales, is_pareto)

    @property
    def count(self) -> int:
        """Of `values`."""
        return len(self.scales) if self.is_pareto else 1

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Of a point, each the better the more it is."""
        scaled = tuple(metrics[name] * scale for name, scale in self.scales.items())
        return scaled if self.is_pareto else (math.fsum(scaled),)

    def as_metric(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The weighted sum by the name that a run has it under; a front has none."""
        return {} if self.is_pareto else {"objective": self.values(metrics)[0]}

    def leaders(self, results: Iterable[Result]) -> list[Result]:
        """By the weighted sum, or the front by its first metric; the best first."""
        ordered = sorted(results, key=lambda result: self.values(result.metrics), reverse=True)
        if not self.is_pareto:
            return ordered
        return [each for each in ordered if not any(self._beats(other, each) for other in ordered)]

    def best(self, results: Iterable[Result]) -> set[tuple[float, ...]]:
        """Values of the best: one of a weighted sum, those of the front."""
        leaders = self.leaders(results)
        return {self.values(each.metrics) for each in (leaders if self.is_pareto else leaders[:1])}

    def _beats(self, one: Result, other: Result) -> bool:
        """At least as good in everything, and better in something."""
        ours, theirs = self.values(one.metrics), self.values(other.metrics)
        return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


def _scale(text: str, name: str, typed: str) -> float:
    try:
        scale = float(typed)
    except ValueError:
        scale = math.nan
    if not scale or not math.isfinite(scale):
        problem = "above 0 where more is better, below 0 where less is"
        raise _refusal(text, f"{name} needs a scale, {problem}, such as {name}:{BETTER[name]:g}")
    return scale


def _refusal(text: str, problem: str) -> InputError:
    return InputError("--objective", text, problem)
