"""What was compared, and what came of it: the one thing that all answers are made of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choice import Choice, Excluded, Objective, Ranked

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun


@dataclass(frozen=True)
class Comparison:
    """A ranking, and how it was asked for.

    Attributes:
        experiment: its name.
        objective: what was ranked by.
        choice: the ranking.
        runs: all that could be compared, whether they are ranked or not.
        excluded: all that are not ranked, and why.
        cautions: why the figures may not compare.
        countries: ISO 3166 alpha-3 codes of where else the energy might be used.
        winner_alone: whether only the runs that name the winner were read, so that nothing is
            known of the noise.
    """

    experiment: str
    objective: Objective
    choice: Choice
    runs: tuple["RecordedRun", ...]
    excluded: tuple[Excluded, ...]
    cautions: tuple[str, ...]
    countries: tuple[str, ...] = ()
    winner_alone: bool = False


def mean_of(ranked: Ranked, metric: str) -> float | None:
    """What a configuration takes of a metric: per success, where some repeats missed the target."""
    interval = ranked.intervals.get(metric)
    return ranked.mean(metric) if interval is None else interval.mean
