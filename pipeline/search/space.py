"""The space of a search: the configurations that a space file allows.

A space file is YAML, read for its texts as if they had been typed on the command line:

    purpose: What the space is for, in a line.
    parameters:
      optimizer: [adam, sgd]                            # one of a list
      lr: {low: 0.0001, high: 0.1, log: true}           # any number of a range
      dropout: {low: 0, high: 0.5, step: 0.1}           # of steps, the last not above high
      max_epochs: 200                                   # one value
      momentum: {values: [0, 0.9], when: {optimizer: [sgd]}}
    bundles:
      compiling:                                        # decides several at once
        small: {batch_size: 32, jit_compile: on}
        large: {batch_size: 512}

A parameter whose ``when`` does not hold has its hyperparameter's default, and so has a
hyperparameter that a value of a bundle leaves out.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline.search.parameters import Parameter, Point, Value
from pipeline.search.space_file import read_space_file
from steps.configuration import FIELDS, Configuration, as_text, option_name, parse
from steps.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

LARGEST_GRID = 1_000_000
"""Points. Nobody trains so many; a larger grid is a typing error, or needs another sampler."""


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    Attributes:
        path: of the space file.
        purpose: one line.
        parameters: each after those that its condition asks about.
        line: of the file, counted from 1, where the parameters begin.
    """

    path: Path
    purpose: str
    parameters: tuple[Parameter, ...]
    line: int

    @classmethod
    def load(cls, path: Path) -> Self:
        """The space of a file.

        Raises:
            InputError: the file cannot be read, or something is wrong in one of its lines, whose
                number the message says.
        """
        file = read_space_file(path)
        return cls(path, file.purpose, file.parameters, file.line)

    @property
    def size(self) -> int | None:
        """Points of the grid, those that are refused included; None if a range is continuous.

        Above `LARGEST_GRID` it is what the number is at most, as if each condition always held.
        """
        sizes = [parameter.size for parameter in self.parameters]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        at_most = math.prod(known)
        return at_most if at_most > LARGEST_GRID else _number_of_combinations(self.parameters, {})

    def check_fixed(self, fixed: Mapping[str, str]) -> None:
        """See that what the user fixed by options is not for the space to decide.

        Raises:
            InputError: the space decides one of them.
        """
        for parameter in self.parameters:
            for name in parameter.hyperparameters:
                if name in fixed:
                    problem = f"is decided by --space {self.path}, line {parameter.line}, too"
                    raise InputError(option_name(name), fixed[name], f"{problem}; leave one out")

    def configuration(self, point: Mapping[str, Value], fixed: Mapping[str, str]) -> Configuration:
        """The configuration of a point.

        Args:
            point: at least the parameters that count, as from `points`, `suggest` or the
                ``params`` of an Optuna trial.
            fixed: texts of hyperparameters by name, for all configurations of the search.

        Raises:
            InputError: the combination is refused, or the space decides what is fixed.
            KeyError: a parameter that counts is missing.
        """
        self.check_fixed(fixed)
        texts = dict(fixed)
        counting = self._point(lambda parameter: point[parameter.name])
        for parameter in self.parameters:
            if parameter.name in counting:
                texts |= parameter.hyperparameter_texts(counting[parameter.name])
        return parse(texts)

    def point_of(self, configuration: Configuration) -> Point | None:
        """The point that a configuration is at; None if it is none of this space.

        Hyperparameters that the space does not decide may be anything.
        """
        texts = configuration.parameters()
        point: Point = {}
        for parameter in self.parameters:
            if _counts(parameter, point):
                value = parameter.value_in(configuration)
                if value is None:
                    return None
                point[parameter.name] = value
            elif any(texts[name] != _default(name) for name in parameter.hyperparameters):
                return None
        return point

    def contains(self, configuration: Configuration) -> bool:
        """Whether a configuration is one of the space: see `point_of`."""
        return self.point_of(configuration) is not None

    def points(self, fixed: Mapping[str, str]) -> "Grid":
        """Every point whose configuration is not refused, the last parameter varying fastest.

        Args:
            fixed: as for `configuration`.

        Raises:
            InputError: there is no grid, since a range is continuous; it has more than
                `LARGEST_GRID` points; or the space decides what is fixed.
        """
        self.check_fixed(fixed)
        for parameter in self.parameters:
            if parameter.size is None:
                self._refuse(parameter.line, f"a grid needs a step or a list for {parameter.name}")
        size = self.size or 0
        if size > LARGEST_GRID:
            problem = f"a grid of {Decimal(size):.3g} points is more than {LARGEST_GRID:,}"
            self._refuse(self.line, f"{problem}; take another --sampler, or shorter lists")
        return Grid(self, fixed)

    def suggest(self, trial: "BaseTrial") -> Point:
        """A point that the sampler of an Optuna trial chooses, asked only for what counts."""
        return self._point(lambda parameter: parameter.suggest(trial))

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Every parameter as Optuna's distribution, by name; a trial has those of its point."""
        return {parameter.name: parameter.distribution() for parameter in self.parameters}

    def _refuse(self, line: int, problem: str) -> None:
        raise InputError("--space", self.path, f"line {line}: {problem}")

    def _point(self, choose: Callable[[Parameter], Value]) -> Point:
        point: Point = {}
        for parameter in self.parameters:
            if _counts(parameter, point):
                point[parameter.name] = choose(parameter)
        return point


@dataclass
class Grid:
    """The points of a grid, made as they are asked for.

    Attributes:
        space: whose points they are.
        fixed: texts of hyperparameters by name, for all configurations.
        refused: by reason, the points that the last pass has left out so far.
    """

    space: Space
    fixed: Mapping[str, str]
    refused: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Point]:
        self.refused.clear()
        for point in _combinations(self.space.parameters, {}):
            try:
                self.space.configuration(point, self.fixed)
            except InputError as refusal:
                self.refused[str(refusal)] += 1
            else:
                yield point


def _combinations(parameters: Sequence[Parameter], before: Point) -> Iterator[Point]:
    if not parameters:
        yield before
        return
    first, *others = parameters
    if not _counts(first, before):
        yield from _combinations(others, before)
        return
    for value in first.grid():
        yield from _combinations(others, {**before, first.name: value})


def _number_of_combinations(parameters: Sequence[Parameter], before: Point) -> int:
    if not parameters:
        return 1
    first, *others = parameters
    if not _counts(first, before):
        return _number_of_combinations(others, before)
    if not any(first.name in other.when for other in others):
        return (first.size or 0) * _number_of_combinations(others, before)
    return sum(
        _number_of_combinations(others, {**before, first.name: value}) for value in first.grid()
    )


def _counts(parameter: Parameter, before: Point) -> bool:
    """Whether a parameter counts, given the values of those before it."""
    return all(
        (before[name] if name in before else _default(name)) in values
        for name, values in parameter.when.items()
    )


def _default(hyperparameter: str) -> str:
    return as_text(FIELDS[hyperparameter].default)
