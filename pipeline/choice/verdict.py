"""Whether the first of a ranking is the best beyond noise, and what else may be."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.choice.noise import CONFIDENCE, Estimate, quantile

POWER = 0.8
"""Chance with which as many repeats as `Verdict.repeats_to_decide` says do decide."""

MOST_REPEATS = 1000
IN_THE_RACE = 0.99
"""Confidence with which none is overlooked that may have won by luck."""


@dataclass(frozen=True)
class Verdict:
    """What the noise allows to say of a ranking.

    Attributes:
        tied: places (from 0) of those that may be the best as well as the first; empty where the
            first is told from each other; None where no repeat tells of the noise.
        repeats_to_decide: see `Choice`.
        contenders: how many, the first among them, may have won by luck.
    """

    tied: tuple[int, ...] | None
    repeats_to_decide: int | None
    contenders: int


def verdict_on(ranking: Sequence[Estimate]) -> Verdict:
    """Judge the first of a ranking.

    It is told from another where Student's t, two-sided, gives a difference like theirs less than
    5 %. To hold this against each other one is enough for the first to be the best at 5 %, however
    many there are: luck names a wrong one most often where there are two equals far ahead of all
    others (Gutmann & Maymin 1987, "Is the selected population the best?"; Hung & Fithian 2019,
    "Rank verification for exponential families").

    Where it does not hold, those are tied that Bonferroni's limits for all at once do not tell from
    the first, so that the best is among them with 95 % (subset selection: Gupta 1965, "On some
    multiple decision (selection and ranking) rules").

    Args:
        ranking: the best mean first.
    """
    if not ranking or math.isinf(ranking[0].variance):
        return Verdict(None, None, 1)
    first, *others = ranking
    in_the_race = _not_told_from(first, others, (1 - IN_THE_RACE) / max(2, len(others)))
    tied: list[int] = []
    if _not_told_from(first, others, (1 - CONFIDENCE) / 2):
        tied = _not_told_from(first, others, (1 - CONFIDENCE) / max(2, len(others)))
    return Verdict(
        tied=tuple(tied),
        repeats_to_decide=repeats_to_decide(first, [ranking[place] for place in tied]),
        contenders=1 + len(in_the_race),
    )


def _not_told_from(first: Estimate, others: Sequence[Estimate], tail: float) -> list[int]:
    return [place for place, other in enumerate(others, 1) if not first.is_below(other, tail)]


def repeats_to_decide(first: Estimate, tied: Sequence[Estimate]) -> int | None:
    """How many more repeats of each would tell the first from the others.

    With a chance of 80 %, if the differences are what they seem and the noise stays what it is.

    Returns:
        None where nothing is tied, or `MOST_REPEATS` would not do.
    """

    def decide(more: int) -> bool:
        added = more * (1 + len(tied))
        best = _with_more(first, more, added)
        for other in tied:
            difference, error, degrees = best.difference(_with_more(other, more, added))
            if not math.isfinite(error):
                return False
            needed = quantile(degrees, (1 + CONFIDENCE) / 2) + quantile(degrees, POWER)
            if difference <= needed * error:
                return False
        return True

    if not tied:
        return None
    more = bisect_left(range(1, MOST_REPEATS + 1), True, key=decide) + 1
    return None if more > MOST_REPEATS else more


def _with_more(estimate: Estimate, more: int, added: int) -> Estimate:
    """The same with `more` repeats, when all that are tied get `added` together."""
    return replace(
        estimate,
        variance=estimate.variance * estimate.repeats / (estimate.repeats + more),
        degrees=estimate.degrees + (added if estimate.is_pooled else more),
    )
