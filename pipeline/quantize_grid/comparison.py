"""How soon samplers meet the best point, over seeds."""

import statistics
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from pipeline.quantize_grid.objective import Objective
from pipeline.quantize_grid.sampling import Walk

CONFIDENCE = 0.95
DRAWS = 9999


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, and the limits of its 95 % confidence interval; None of a single seed."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f})"


@dataclass(frozen=True)
class Race:
    """One sampler with several seeds.

    Attributes:
        sampler: its name.
        evaluations: different points up to the best, of each seed; None where it was not met.
        questions: those to known points included, likewise.
    """

    sampler: str
    evaluations: tuple[int | None, ...]
    questions: tuple[int | None, ...]

    @property
    def met(self) -> int:
        """Seeds that met the best."""
        return sum(each is not None for each in self.evaluations)

    @property
    def mean_evaluations(self) -> Mean | None:
        """None unless all seeds met it: what the others would have taken is not known."""
        return _mean(self.evaluations)

    @property
    def mean_questions(self) -> Mean | None:
        """As `mean_evaluations`."""
        return _mean(self.questions)


def races(
    walks: Iterable[Walk], best: Set[tuple[float, ...]], objective: Objective
) -> tuple[Race, ...]:
    """Walks by sampler, in the order of the samplers' first.

    Args:
        walks: of any samplers and seeds.
        best: what all of them are to meet, as `Objective.best` says.
        objective: that says so.
    """
    by_sampler: dict[str, list[Walk | None]] = {}
    for walk in walks:
        by_sampler.setdefault(walk.sampler, []).append(walk.until(best, objective))
    return tuple(
        Race(
            sampler,
            tuple(None if each is None else each.evaluations for each in until),
            tuple(None if each is None else len(each.asked) for each in until),
        )
        for sampler, until in by_sampler.items()
    )


def _mean(counts: Sequence[int | None]) -> Mean | None:
    """With the percentile bootstrap's interval (Efron 1979, "Bootstrap Methods")."""
    met = [count for count in counts if count is not None]
    if len(met) < len(counts) or not met:
        return None
    mean = statistics.fmean(met)
    if len(met) == 1:
        return Mean(mean, None, None)
    from scipy.stats import bootstrap

    found = bootstrap(
        (met,),
        np.mean,
        n_resamples=DRAWS,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,
    ).confidence_interval
    return Mean(mean, float(found.low), float(found.high))
