"""What a hyperparameter does, in one sentence, where the data carry it."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from pipeline.effects.additive import AdditiveModel, Estimate
from pipeline.effects.factors import Factor
from pipeline.effects.measures import (
    ENERGY,
    ENERGY_PER_EPOCH,
    EPOCHS,
    REACHING,
    TIME,
    TIME_PER_EPOCH,
    Measure,
)
from pipeline.units import three_digits

if TYPE_CHECKING:
    from pipeline.effects.effect import Level

BY_ENERGY = (ENERGY, ENERGY_PER_EPOCH, EPOCHS)
BY_TIME = (TIME, TIME_PER_EPOCH, EPOCHS)
"""Where no energy was measured."""

QUESTIONS = len(BY_ENERGY) + 1
"""Asked of each pair of values: these, and which of them reaches the target more often."""

TOO_SMALL_TO_TELL = math.log(1.01)
"""A difference that could be less is not worth a sentence, however certain."""

LESS_AND_MORE = {
    ENERGY.name: ("less energy to the target", "more energy to the target"),
    ENERGY_PER_EPOCH.name: ("less energy per epoch", "more energy per epoch"),
    TIME.name: ("less time to the target", "more time to the target"),
    TIME_PER_EPOCH.name: ("less time per epoch", "more time per epoch"),
    EPOCHS.name: ("fewer epochs", "more epochs"),
}
IN_WORDS = {"lr": "learning rate", "lr_schedule": "learning-rate schedule", "jit_compile": "XLA"}


class Difference(NamedTuple):
    """Between two levels of a factor, that of the first less that of the other."""

    level: int
    other: int
    estimate: Estimate

    @property
    def certain(self) -> float:
        """How large it is at least, in either direction; 0 where it may be none."""
        low, high = self.estimate.low, self.estimate.high
        return 0.0 if low is None or high is None else max(low, -high, 0.0)

    def turned(self) -> "Difference":
        """The same, seen from the other level."""
        value, low, high = self.estimate.value, self.estimate.low, self.estimate.high
        turned = Estimate(-value, None if high is None else -high, None if low is None else -low)
        return Difference(self.other, self.level, turned)


def sentence(
    factor: Factor,
    followers: Sequence[Factor],
    levels: "Sequence[Level]",
    models: Mapping[str, AdditiveModel],
) -> str | None:
    """What the data carry; None where they carry nothing.

    It is about the two values that are furthest apart beyond doubt in what the target costs; where
    none are, in what an epoch costs; then in the number of epochs; then in how often they reach the
    target. All that is said of one hyperparameter holds at once with 95 % confidence: the limits
    are Bonferroni's over all pairs of its values and all `QUESTIONS`.

    Args:
        factor: of the models.
        followers: those that it stands for, too.
        levels: of the factor.
        models: by the measure's name; a measure that no run tells has none.
    """
    measures = BY_ENERGY if ENERGY_PER_EPOCH.name in models else BY_TIME
    for measure in measures:
        certain = _certain(factor, models.get(measure.name), TOO_SMALL_TO_TELL)
        if certain:
            widest = max(certain, key=lambda each: each.certain)
            pair = widest if widest.estimate.value < 0 else widest.turned()
            clauses = _clauses(factor, pair, measures, models)
            one, other = _named(factor, followers, pair)
            return f"{one} instead of {other} takes {clauses}{_among(pair, levels)}."
    certain = _certain(factor, models.get(REACHING.name), 0.0)
    if certain:
        widest = max(certain, key=lambda each: each.certain)
        pair = widest if widest.estimate.value > 0 else widest.turned()
        one, other = _named(factor, followers, pair)
        often, seldom = _count(levels[pair.level]), _count(levels[pair.other])
        return f"{one} instead of {other} reaches the target in {often} runs, not in {seldom}."
    return None


def _certain(factor: Factor, model: AdditiveModel | None, size: float) -> list[Difference]:
    """The differences between levels that are larger than that, whatever the noise."""
    if model is None:
        return []
    confidence = 1 - 0.05 / (math.comb(len(factor.levels), 2) * QUESTIONS)
    differences = [
        Difference(level, other, model.difference(factor.name, level, other, confidence))
        for connected in model.connected(factor.name)
        for level, other in combinations(connected, 2)
    ]
    return [difference for difference in differences if difference.certain > size]


def _clauses(
    factor: Factor,
    pair: Difference,
    measures: Sequence[Measure],
    models: Mapping[str, AdditiveModel],
) -> str:
    """What is certain of a pair, by each measure."""
    told = ""
    said_more: bool | None = None
    for measure in measures:
        for each in _certain(factor, models.get(measure.name), TOO_SMALL_TO_TELL):
            if {each.level, each.other} != {pair.level, pair.other}:
                continue
            takes_more = (each.estimate.value > 0) == (each.level == pair.level)
            if said_more is not None:
                told += ", and " if takes_more == said_more else ", but "
            said_more = takes_more
            told += f"{_times(each)} {LESS_AND_MORE[measure.name][takes_more]}"
    return told


def _times(difference: Difference) -> str:
    """How many times as much the one with more takes, such as ``3.1 (2.6 to 3.7) times``."""
    estimate = (difference if difference.estimate.value > 0 else difference.turned()).estimate
    value, low, high = (
        three_digits(math.exp(limit or 0.0))
        for limit in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high}) times"


def _among(pair: Difference, levels: "Sequence[Level]") -> str:
    """How many runs the costs are about, where those are not all."""
    both = [levels[pair.level], levels[pair.other]]
    if all(each.reached == each.runs for each in both):
        return ""
    given_up = sum(each.given_up for each in both)
    left = f"; given up: {given_up}" if given_up else ""
    counts = " and ".join(f"{_count(each)} with {each.value or 'default'}" for each in both)
    return f" (of the runs, the target was reached by {counts}{left})"


def _count(level: "Level") -> str:
    return f"{level.reached} of {level.runs - level.given_up}"


def _named(factor: Factor, followers: Sequence[Factor], pair: Difference) -> tuple[str, str]:
    """The two levels, with what else changed between them."""
    changed = [
        follower
        for follower in followers
        if _followed(factor, follower, pair.level) != _followed(factor, follower, pair.other)
    ]
    names = []
    for level in (pair.level, pair.other):
        along = ", ".join(
            f"{_in_words(each.name)} {_followed(factor, each, level)}" for each in changed
        )
        names.append((factor.levels[level] or "default") + (f" ({along})" if along else ""))
    words = _in_words(factor.name)
    return f"{words[0].upper()}{words[1:]} {names[0]}", names[1]


def _followed(factor: Factor, follower: Factor, level: int) -> str:
    return follower.levels[follower.index[factor.index == level][0]] or "default"


def _in_words(parameter: str) -> str:
    return IN_WORDS.get(parameter, parameter.replace("_", " "))
