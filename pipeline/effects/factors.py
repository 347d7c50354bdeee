"""Hyperparameters that differ, as factors of a few levels each."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

MACHINE = "hardware"
"""A factor that is no hyperparameter: joules of two machines differ whatever is trained."""

ASIDE = {"seed", "dataset", "target_accuracy", "patience"}
"""What a repeat changes, and what is the same wherever costs compare."""

MOST_LEVELS = 8
"""More values than that are grouped: numbers by quartiles, words by leaving the rare ones together.

Each level costs a degree of freedom, and a level of one configuration tells nothing.
"""

GROUPS = 4
OTHERS = "others"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Factor:
    """One parameter over the configurations.

    Attributes:
        name: of the parameter.
        levels: numbers ascending, then words; ranges where numbers were grouped.
        index: int, shape (configurations,): the level of each.
        is_ordered: whether all levels are numbers.
        follows: a parameter that alone decides this one, such as the optimizer where momentum is
            only ever set with sgd; empty if there is none.
    """

    name: str
    levels: tuple[str, ...]
    index: npt.NDArray[np.intp]
    is_ordered: bool
    follows: str = ""

    def within(self, configurations: npt.NDArray[np.intp]) -> Self:
        """The same over some of the configurations."""
        return replace(self, index=self.index[configurations])


def factors_of(configurations: Sequence[Mapping[str, str]]) -> list[Factor]:
    """The parameters that have more than one value, those that another one decides included.

    Args:
        configurations: parameters of each, the machine under `MACHINE`.
    """
    names = dict.fromkeys(name for each in configurations for name in each if name not in ASIDE)
    factors = []
    for name in names:
        values = [each.get(name, NOT_RECORDED) for each in configurations]
        if len(set(values)) > 1:
            factors.append(_factor(name, values))
    return _with_leaders(factors)


def _factor(name: str, values: Sequence[str]) -> Factor:
    level_of, ordered = _levels(values)
    levels = tuple(dict.fromkeys(level_of[value] for value in sorted(set(values), key=_by_number)))
    position = {level: place for place, level in enumerate(levels)}
    index = np.array([position[level_of[value]] for value in values], np.intp)
    return Factor(name, levels, index, ordered)


def _levels(values: Sequence[str]) -> tuple[dict[str, str], bool]:
    """The level that each value belongs to, and whether all are numbers."""
    counts = Counter(values)
    numbers = [value for value in counts if _number(value) is not None]
    words = [value for value in counts if _number(value) is None]
    level_of = {**_grouped_numbers(numbers, counts), **_grouped_words(words, counts)}
    return level_of, not words


def _grouped_numbers(numbers: Sequence[str], counts: Mapping[str, int]) -> dict[str, str]:
    if len(numbers) <= MOST_LEVELS:
        # Texts of one number, such as 1 and 1.0, are one level.
        first: dict[float | None, str] = {}
        return {text: first.setdefault(_number(text), text) for text in numbers}
    ascending = sorted(numbers, key=float)
    expanded = np.repeat([float(text) for text in ascending], [counts[text] for text in ascending])
    edges = np.unique(np.quantile(expanded, np.arange(1, GROUPS) / GROUPS))
    groups: dict[int, list[str]] = {}
    for text in ascending:
        groups.setdefault(int(np.searchsorted(edges, float(text))), []).append(text)
    return {text: _range(group) for group in groups.values() for text in group}


def _range(ascending: Sequence[str]) -> str:
    low, high = (f"{float(text):.3g}" for text in (ascending[0], ascending[-1]))
    return low if low == high else f"{low} to {high}"


def _grouped_words(words: Sequence[str], counts: Mapping[str, int]) -> dict[str, str]:
    if len(words) <= MOST_LEVELS:
        return {word: word for word in words}
    by_frequency = sorted(words, key=lambda word: (-counts[word], word))
    kept = set(by_frequency[: MOST_LEVELS - 1])
    return {word: word if word in kept else OTHERS for word in words}


def _by_number(text: str) -> tuple[bool, float, str]:
    number = _number(text)
    return number is None, number or 0.0, text


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _with_leaders(factors: Sequence[Factor]) -> list[Factor]:
    """Mark what follows another: the model holds the leader alone, which stands for both.

    The machine neither leads nor follows: a hyperparameter that changed only with the machine is
    to be seen as inseparable from it.
    """
    told: list[Factor] = []
    for factor in factors:
        leader = next((other for other in factors if _decides(other, factor, told)), None)
        told.append(factor if leader is None else replace(factor, follows=leader.name))
    return told


def _decides(leader: Factor, factor: Factor, told: Sequence[Factor]) -> bool:
    if leader is factor or MACHINE in (leader.name, factor.name):
        return False
    if any(each.name == leader.name and each.follows for each in told):
        return False
    if len(leader.levels) == len(factor.levels):
        # Each decides the other: the one that was named first leads.
        if not any(each.name == leader.name for each in told):
            return False
    elif len(leader.levels) < len(factor.levels):
        return False
    pairs = np.unique(leader.index * len(factor.levels) + factor.index)
    return len(pairs) == len(leader.levels)
