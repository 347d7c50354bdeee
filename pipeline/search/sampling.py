"""Which configuration to try next, by Optuna's samplers or along a grid.

`ask` is a function of what has been tried: a search that was interrupted asks the same questions
again that an undisturbed one would have asked, from the record in MLflow. What it keeps, Optuna's
study of the question before, only saves making that anew, which would take longer and longer.
"""

import importlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.search.parameters import Point
from pipeline.search.space import LARGEST_GRID, Space
from pipeline.search.trial import Trial, figures_told, values
from steps.configuration import Configuration
from steps.errors import InputError

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "random", "grid", "brute_force", "nsgaii", "gp", "qmc")

GENERATION = 10
"""Trials in a generation of NSGA-II: a search has tens of trials, not the thousands that Optuna's
fifty are made for."""

TRIES = 100
"""Of a sampler to come up with something new, before chance decides."""


@dataclass(frozen=True)
class Sampling:
    """How configurations are chosen.

    Attributes:
        space: to choose from.
        fixed: texts of hyperparameters by name, for all configurations.
        sampler: one of `SAMPLERS`.
        seed: of the choice.
        slack: of the pruning, over the best cost.
        figures: of a trial that the sampler is told; 0 where it is told what the trial cost.
    """

    space: Space
    fixed: dict[str, str]
    sampler: str
    seed: int
    slack: float
    figures: int = 0
    target: float = field(init=False)
    _kept: list["_Study"] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """See that the sampler can be had.

        Raises:
            InputError: it is unknown, needs a package, or a grid that the space does not have.
        """
        if self.sampler not in SAMPLERS:
            raise InputError("--sampler", self.sampler, f"choose one of {', '.join(SAMPLERS)}")
        if self.sampler in ("grid", "brute_force"):
            self.space.points(self.fixed)
        else:
            self.space.check_fixed(self.fixed)
            try:
                self._optuna_sampler(0)
            except ImportError as error:
                problem = f"needs a package that is not installed ({error.name})"
                raise InputError("--sampler", self.sampler, problem) from None
        texts = self.space.configuration(self._any_point(), self.fixed)
        object.__setattr__(self, "target", texts.target_accuracy)

    def ask(self, trials: Sequence[Trial]) -> Point | None:
        """A point that was not tried yet; None when there is none left.

        The default configuration comes first, if the space has it: what everybody would have
        taken is what a winner has to beat.

        Args:
            trials: all so far, those under way among them.
        """
        known = {trial.config_id for trial in trials}
        for point in self._candidates(trials):
            try:
                configuration = self.space.configuration(point, self.fixed)
            except InputError:
                continue
            if configuration.config_id not in known:
                return point
        return None

    def _candidates(self, trials: Sequence[Trial]) -> Iterator[Point]:
        if self.sampler == "grid":
            yield from self.space.points(self.fixed)
            return
        if self.sampler == "brute_force":
            points = list(self.space.points(self.fixed))
            random.Random(self.seed).shuffle(points)
            yield from points
            return
        default = self.space.point_of(self._default())
        if default is not None:
            yield default
        told = self._told(trials)
        study = self._study(trials, told)
        # As bad as the worst in everything.
        worst = [max(axis) for axis in zip(*filter(None, told), strict=True)]
        for _ in range(TRIES):
            trial = study.ask()
            yield self.space.suggest(trial)
            # Only a point that cannot be taken gets here. It is no news, or refused: told as bad
            # as the worst, so that the sampler looks elsewhere, in this question alone.
            self._kept.clear()
            study.tell(trial, worst or [0.0] * len(study.directions))
        yield from self._what_is_left()

    def _what_is_left(self) -> Iterator[Point]:
        """Of a grid all of it, of ranges and of what is too large what chance finds."""
        draw = random.Random(f"{self.seed} left")
        if self.space.size is not None and self.space.size <= LARGEST_GRID:
            points = list(self.space.points(self.fixed))
            draw.shuffle(points)
            yield from points
            return
        study = _quiet_study(_optuna().samplers.RandomSampler(seed=draw.getrandbits(32)))
        for _ in range(TRIES):
            yield self.space.suggest(study.ask())

    def _default(self) -> Configuration:
        from steps import configuration

        return configuration.parse(self.fixed)

    def _told(self, trials: Sequence[Trial]) -> "Sequence[tuple[float, ...] | None]":
        """What the sampler is told of each; None for one of which nothing can be said."""
        if self.figures:
            return figures_told(trials, self.figures, self.target)
        return [(value,) for value in values(trials, self.slack, self.target)]

    def _study(
        self, trials: Sequence[Trial], told: "Sequence[tuple[float, ...] | None]"
    ) -> "optuna.Study":
        sampler = self._optuna_sampler(len(trials))
        known = [(trial.config_id, figures) for trial, figures in zip(trials, told, strict=True)]
        kept = self._kept.pop() if self._kept else None
        if kept is not None and known[: len(kept.told)] == kept.told:
            study, already = kept.study, len(kept.told)
            study.sampler = sampler
            # What was asked for then is among what is told now.
            states = _optuna().trial.TrialState
            for asked in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                study.tell(asked.number, state=states.FAIL)
        else:
            study, already = _quiet_study(sampler, max(1, self.figures)), 0
        distributions = self.space.distributions()
        create = _optuna().trial.create_trial
        for index, (trial, figures) in enumerate(zip(trials, told, strict=True)):
            if index < already or figures is None:
                continue
            study.add_trial(
                create(
                    params=trial.point,
                    distributions={name: distributions[name] for name in trial.point},
                    values=figures,
                    # Where NSGA-II looks for the parents of the next ones.
                    system_attrs={"NSGAIISampler:generation": index // GENERATION},
                )
            )
        if self.sampler == "tpe":
            # Others count the questions that a study was asked, too.
            self._kept.append(_Study(study, known))
        return study

    def _optuna_sampler(self, trials: int) -> "optuna.samplers.BaseSampler":
        samplers = _optuna().samplers
        makers: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
            "tpe": samplers.TPESampler,
            "random": samplers.RandomSampler,
            "nsgaii": partial(samplers.NSGAIISampler, population_size=GENERATION),
            "gp": samplers.GPSampler,
            "qmc": partial(samplers.QMCSampler, scramble=True),
        }
        # Another seed for each trial, since a sampler that is made anew would repeat itself.
        seed = random.Random(f"{self.seed} {trials}").getrandbits(32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            if self.sampler == "gp":
                importlib.import_module("torch")  # which Optuna would miss only when it is asked
            return makers[self.sampler](seed=seed)

    def _any_point(self) -> Point:
        study = _quiet_study(_optuna().samplers.RandomSampler(seed=0))
        for _ in range(TRIES):
            point = self.space.suggest(study.ask())
            try:
                self.space.configuration(point, self.fixed)
            except InputError as refusal:
                refused = refusal
            else:
                return point
        raise refused


@dataclass(frozen=True)
class _Study:
    """Optuna's study of a question, and what it was told of each trial, by config_id."""

    study: "optuna.Study"
    told: "Sequence[tuple[str, tuple[float, ...] | None]]"


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _quiet_study(sampler: "optuna.samplers.BaseSampler", figures: int = 1) -> "optuna.Study":
    study: optuna.Study = _optuna().create_study(sampler=sampler, directions=["minimize"] * figures)
    return study
