"""Which points a sampler asks for, and how soon it meets the best one."""

import warnings
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.quantize_grid.objective import Objective, Result
from pipeline.quantize_grid.space import Point, WidthSpace
from steps.errors import InputError

if TYPE_CHECKING:
    import optuna

BRUTE_FORCE = "brute_force"
SAMPLERS = (BRUTE_FORCE, "tpe", "random")

LARGEST_GRID = 1000
"""Points that brute force visits at most. Optuna's sampler takes 12 s for so many, and thrice that
for twice as many; a run for each takes as long again."""

QUESTIONS_PER_POINT = 20
"""At most: a sampler that asks for the same points again and again has ended."""


@dataclass(frozen=True)
class Walk:
    """What one sampler asked for, with one seed.

    Attributes:
        sampler: one of `SAMPLERS`.
        seed: of its choices.
        asked: answers in the order of the questions; those to the same question are the same.
    """

    sampler: str
    seed: int
    asked: tuple[Result, ...]

    @property
    def evaluations(self) -> int:
        """Different points among those asked for: the others were known."""
        return len({result.point for result in self.asked})

    def until(self, best: Set[tuple[float, ...]], objective: Objective) -> "Walk | None":
        """The walk up to where all values of the best had been met; None if that never was."""
        missing = set(best)
        for place, result in enumerate(self.asked, 1):
            missing.discard(objective.values(result.metrics))
            if not missing:
                return Walk(self.sampler, self.seed, self.asked[:place])
        return None


def parse_samplers(text: str) -> tuple[str, ...]:
    """One or several of `SAMPLERS`, with commas between them.

    Raises:
        InputError: one of them is unknown, or there twice.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in SAMPLERS:
            raise InputError("--sampler", text, f"choose of {', '.join(SAMPLERS)}")
    if len(set(names)) < len(names):
        raise InputError("--sampler", text, "names one of them twice")
    return names


def require_walkable(space: WidthSpace, points: Mapping[str, int]) -> None:
    """See that brute force is not to take too many points.

    Args:
        space: of the points.
        points: to take, by sampler.

    Raises:
        InputError: it is.
    """
    if min(space.size, points.get(BRUTE_FORCE, 0)) > LARGEST_GRID:
        problem = f"a grid of {space.size:,} points is more than {LARGEST_GRID:,}"
        raise InputError("--sampler", BRUTE_FORCE, f"{problem}; take tpe, or give --trials")


def walk(
    space: WidthSpace,
    sampler: str,
    seed: int,
    objective: Objective,
    answer: Callable[[Point], Result],
    points: int,
) -> Walk:
    """Ask for points until enough different ones are known, by one of Optuna's samplers.

    Args:
        space: to choose from.
        sampler: one of `SAMPLERS`, with Optuna's own defaults.
        seed: of its choices.
        objective: what it learns by.
        answer: evaluates a point, or knows it already.
        points: different ones to ask for; all there are if that is fewer.
    """
    study = _study(sampler, seed, objective)
    wanted = min(points, space.size)
    asked: list[Result] = []
    different: set[Point] = set()
    while len(asked) < QUESTIONS_PER_POINT * wanted:
        trial = study.ask()
        result = answer(space.suggest(trial))
        asked.append(result)
        different.add(result.point)
        # Before the study is told: brute force takes its last point as the end of the program.
        if len(different) == wanted:
            break
        study.tell(trial, list(objective.values(result.metrics)))
    return Walk(sampler, seed, tuple(asked))


def _study(sampler: str, seed: int, objective: Objective) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makers: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
        BRUTE_FORCE: optuna.samplers.BruteForceSampler,
        "tpe": optuna.samplers.TPESampler,
        "random": optuna.samplers.RandomSampler,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made = makers[sampler](seed=seed)
    return optuna.create_study(directions=["maximize"] * objective.count, sampler=made)
