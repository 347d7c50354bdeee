"""How sure a mean over a few repeats is.

Costs are positive and skewed: a repeat is taken as lognormal around its configuration's true mean.
Three repeats say little of their own spread, so one relative spread is pooled over all
configurations, and its uncertainty enters by Student's t. The mean of n lognormal values is nearly
lognormal itself (Fenton 1960, "The sum of log-normal probability distributions in scatter
transmission systems"), which gives the limits around an arithmetic mean.

`benchmarks/choice.py` holds all of this against simulated experiments.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

CONFIDENCE = 0.95
LARGEST_EXPONENT = 700.0


@dataclass(frozen=True)
class Interval:
    """Mean over repeats; `low` and `high` are None where no repeat tells of the noise."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scale:
    """Maps figures to where their noise is normal and less is better, and back."""

    onto: Callable[[float], float]
    back: Callable[[float], float]
    is_logarithm: bool


COSTS = Scale(math.log, lambda x: math.exp(min(x, LARGEST_EXPONENT)), is_logarithm=True)
SCORES = Scale(lambda x: -x, lambda x: -x, is_logarithm=False)
"""Of weighted sums, which may be negative, and of which the highest wins."""


@dataclass(frozen=True)
class Estimate:
    """What the repeats of one configuration say of its true mean.

    Attributes:
        mean: of the figures themselves.
        center: of the true mean's interval, on the scale.
        variance: of `center`; infinite where no repeat tells of the noise.
        degrees: of freedom behind the variance.
        is_pooled: whether the variance is that of all configurations.
        repeats: how many.
    """

    mean: float
    center: float
    variance: float
    degrees: float
    is_pooled: bool
    repeats: int

    def interval(self, scale: Scale, contenders: int = 1) -> Interval:
        """The limits between which the true mean lies with 95 % confidence.

        The winner of many was lucky more often than not: its mean is too low. Of `contenders` that
        may each have won, one has luck enough for its limit with `contenders` times the
        probability, so that limit gets that share of the 5 % only, and the other limit, which a
        winner hardly ever passes, the rest. For each configuration alone the limits still hold
        95 %. (Bonferroni over those still in the race: Zrnic & Fithian 2024, "Locally simultaneous
        inference"; with two or fewer it is the ordinary interval.)
        """
        if math.isinf(self.variance):
            return Interval(self.mean, None, None)
        unlucky = (1 - CONFIDENCE) / max(2, contenders)
        error = math.sqrt(self.variance)
        least = self.center - quantile(self.degrees, CONFIDENCE + unlucky) * error
        most = self.center + quantile(self.degrees, 1 - unlucky) * error
        low, high = sorted((scale.back(least), scale.back(most)))
        return Interval(self.mean, low, high)

    def difference(self, other: "Estimate") -> tuple[float, float, float]:
        """By how much `other` lies above this one, its standard error, and degrees of freedom.

        Welch's, where the two variances are not of one pool.
        """
        variance = self.variance + other.variance
        degrees = self.degrees
        if not (self.is_pooled and other.is_pooled) and 0 < variance < math.inf:
            squares = self.variance**2 / self.degrees + other.variance**2 / other.degrees
            degrees = variance**2 / squares
        return other.center - self.center, math.sqrt(variance), degrees

    def is_below(self, other: "Estimate", tail: float) -> bool:
        """Whether chance would show such a difference with a probability under `tail`."""
        difference, error, degrees = self.difference(other)
        return math.isfinite(error) and difference > quantile(degrees, 1 - tail) * error


@dataclass(frozen=True)
class Noise:
    """Spread of a figure from one repeat to the next, the same for all configurations.

    Attributes:
        log_spread: standard deviation on the scale (of the logarithm, for costs), pooled; 0
            without repeats.
        degrees_of_freedom: repeats beyond the first, summed over the configurations.
    """

    log_spread: float
    degrees_of_freedom: int

    @classmethod
    def of(cls, repeats: Iterable[Sequence[float]], scale: Scale = COSTS) -> Self:
        """Noise of figures, one sequence per configuration."""
        squares, degrees = 0.0, 0
        for figures in repeats:
            if len(figures) < 2:
                continue
            scaled = [scale.onto(figure) for figure in figures]
            mean = sum(scaled) / len(scaled)
            squares += sum((each - mean) ** 2 for each in scaled)
            degrees += len(scaled) - 1
        return cls(math.sqrt(squares / degrees) if degrees else 0.0, degrees)

    def estimate(self, figures: Sequence[float], scale: Scale = COSTS) -> Estimate:
        """What repeats, each of which reached the target, say of the true mean."""
        repeats = len(figures)
        mean = sum(figures) / repeats
        variance = self.log_spread**2 / repeats
        center = scale.onto(mean)
        if scale.is_logarithm:
            relative = math.expm1(min(self.log_spread**2, LARGEST_EXPONENT)) / repeats
            variance = math.log1p(relative)
            # The mean of a few skewed values lies below the true one more often than above.
            center += variance / 2
        if not self.degrees_of_freedom:
            variance = math.inf
        return Estimate(mean, center, variance, self.degrees_of_freedom, True, repeats)


def estimate_per_success(spent: Sequence[float], reached: Sequence[float]) -> Estimate:
    """What it takes to reach the target once, where some repeats missed it.

    One trains with another seed until one reaches, and pays for all: what all repeats spent over
    the number of those that reached (the expected running time of Auger & Hansen 2005,
    "Performance evaluation of an advanced local search evolutionary algorithm", as COCO has it).
    How far chance may have moved this, few as they are, is taken from these repeats alone, as of
    a ratio of two means (Cochran 1977, "Sampling techniques", 6.4), on a logarithmic scale.

    Args:
        spent: by each repeat, whatever came of it.
        reached: 1 for a repeat that reached the target, 0 for one that missed; between them where
            runs of one seed differ.
    """
    repeats = len(spent)
    cost = sum(spent) / sum(reached)
    residuals = sum((each - cost * share) ** 2 for each, share in zip(spent, reached, strict=True))
    degrees = repeats - 1
    variance = residuals / sum(spent) ** 2 * repeats / degrees if degrees else math.inf
    return Estimate(cost, math.log(cost), variance, degrees, False, repeats)


@lru_cache(maxsize=4096)
def quantile(degrees: float, probability: float) -> float:
    """Of Student's t."""
    # Not scipy.stats, which takes a second to import.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
