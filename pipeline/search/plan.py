"""What the user asked a search to do, checked before anything is measured."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pipeline.search.goal import Goal
from pipeline.search.pruning import PRUNINGS
from pipeline.search.sampling import Sampling
from pipeline.search.space import Space
from steps.errors import InputError
from steps.parsing import count

ALL = "all"
"""Typed for ``--confirm-top``: everything that was tried."""


@dataclass(frozen=True)
class Limits:
    """When a search ends, whichever comes first; None for no limit.

    Attributes:
        trials: configurations to train.
        energy_j: joules that the search itself may spend, all that it does included.
        emissions_kg: kilograms of CO2e, likewise.
        time_s: seconds.
    """

    trials: int | None
    energy_j: float | None
    emissions_kg: float | None
    time_s: float | None

    @classmethod
    def parse(cls, trials: str, budget_kj: str, budget_g: str, timeout: str) -> Self:
        """From texts as typed, empty for none.

        Raises:
            InputError: a value is no number above 0.
        """
        count = positive("--trials", trials)
        if count is not None and count != int(count):
            raise InputError("--trials", trials, "must be a whole number from 1")
        kilojoules = positive("--budget-kj", budget_kj)
        grams = positive("--budget-g", budget_g)
        return cls(
            trials=None if count is None else int(count),
            energy_j=None if kilojoules is None else 1000 * kilojoules,
            emissions_kg=None if grams is None else grams / 1000,
            time_s=positive("--timeout", timeout),
        )


@dataclass(frozen=True)
class Plan:
    """A search.

    Attributes:
        space: to choose from.
        fixed: texts of the hyperparameters that the user fixed.
        sampler: which configuration comes next.
        pruning: when a training is given up.
        slack: over the best cost, of the cap.
        goal: what is looked for.
        limits: when it ends.
        repeats: trainings of each leader, with as many seeds.
        confirm_top: how many leaders are trained again; None for all that was tried.
        prove: further trainings, with other seeds, that the first of them has to stand.
        seed: of the sampler, and the first of the trainings.
    """

    space: Space
    fixed: Mapping[str, str]
    sampler: str
    pruning: str
    slack: float
    goal: Goal
    limits: Limits
    repeats: int
    confirm_top: int | None
    prove: int
    seed: int

    def sampling(self) -> Sampling:
        """Ready to choose. Raises: InputError if that cannot be had."""
        figures = 0 if self.goal.cost is not None else len(self.goal.axes)
        return Sampling(self.space, dict(self.fixed), self.sampler, self.seed, self.slack, figures)

    @property
    def key(self) -> str:
        """What makes two searches the same one, so that the second can go on with the first.

        The limits do not: a search may be resumed with more trials.
        """
        decisive = {
            "space": self.space.path.read_text(encoding="utf-8"),
            "fixed": dict(self.fixed),
            "choices": [self.sampler, self.pruning, self.slack, self.goal.name, self.seed],
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def parameters(self) -> dict[str, str]:
        """As the parent run keeps them."""
        limits = {name: str(value) for name, value in vars(self.limits).items() if value}
        return {
            "space": str(self.space.path),
            "sampler": self.sampler,
            "pruning": self.pruning,
            "slack": f"{self.slack:g}",
            "objective": self.goal.name,
            "repeats": str(self.repeats),
            "confirm_top": ALL if self.confirm_top is None else str(self.confirm_top),
            "prove": str(self.prove),
            "seed": str(self.seed),
            **{f"limit.{name}": value for name, value in limits.items()},
            **{f"fixed.{name}": text for name, text in self.fixed.items()},
        }


def pruning_name(text: str, goal: Goal, *, exhaustive: bool) -> str:
    """One of `PRUNINGS`, as typed or by default.

    Args:
        text: as typed; empty for the default.
        goal: of the search.
        exhaustive: whether the user wants to see all of the space.

    Raises:
        InputError: it is none of them, or cannot judge a training that has not ended.
    """
    if not text:
        return "none" if exhaustive or goal.cost is None else "cap"
    if text not in PRUNINGS:
        raise InputError("--pruning", text, f"choose one of {', '.join(PRUNINGS)}")
    if text != "none" and goal.cost is None:
        problem = f"only a cost that grows tells early what cannot win, and {goal.name} is none"
        raise InputError("--pruning", text, f"{problem}; leave it out")
    return text


def prove(text: str, goal: Goal, repeats: int, *, exhaustive: bool) -> int:
    """As typed or by default.

    Args:
        text: as typed; empty for the default.
        goal: of the search.
        repeats: of each leader.
        exhaustive: whether the user wants to see all of the space.

    Raises:
        InputError: it is no whole number from 0, or there is no first that could be proven.
    """
    if not text:
        return 0 if exhaustive or repeats == 1 or goal.is_front else DEFAULT_PROVE
    number = whole("--prove", text, 0)
    if number and repeats == 1:
        raise InputError("--prove", text, "needs --repeats from 2, which tell the first")
    if number and goal.is_front:
        problem = f"a front such as {goal.name} has no first that could be proven; leave it out"
        raise InputError("--prove", text, problem)
    return number


DEFAULT_PROVE = 5


def slack(text: str) -> float:
    """From 1. Raises: InputError."""
    number = positive("--slack", text)
    if number is None or number < 1:
        raise InputError("--slack", text, "must be a number from 1: the cap over the best cost")
    return number


def whole(option: str, text: str, least: int) -> int:
    """A whole number from `least`. Raises: InputError."""
    number = count(text)
    if number is None or number < least:
        raise InputError(option, text, f"must be a whole number from {least}")
    return number


def positive(option: str, text: str) -> float | None:
    """A number above 0; None where nothing was typed.

    Raises:
        InputError: it is none.
    """
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InputError(option, text, "must be a number above 0")
    return number
