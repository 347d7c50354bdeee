"""The parameters of a space: which values one may take, and under which condition it counts.

Samplers of Optuna are handed a parameter as one of Optuna's distributions. `optuna` is imported
where it is needed: reading a space takes none of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from steps.configuration import Configuration, as_text

if TYPE_CHECKING:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import BaseTrial

Value = str | int | float
"""Of a parameter: a text out of a list, or a number out of a range."""

Point = dict[str, Value]
"""By name, the value of each parameter that counts, as in the ``params`` of an Optuna trial."""

Condition = Mapping[str, tuple[str, ...]]
"""By the name of another parameter, the values with which the condition holds."""

STEP_TOLERANCE = 1e-8
"""Of a step, by which a number may miss its place; Optuna's distributions take the same."""


@dataclass(frozen=True)
class Choice:
    """One value of a list, which decides one hyperparameter or several at once.

    Attributes:
        name: of the parameter.
        settings: by value, the texts of the hyperparameters that it decides, the same ones for
            each value.
        line: of the space file, counted from 1.
        when: the parameter counts where all of this holds; always if empty.
    """

    name: str
    settings: Mapping[str, Mapping[str, str]]
    line: int
    when: Condition = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """All of them, in the order of the file."""
        return tuple(self.settings)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """Those that it decides."""
        return tuple(next(iter(self.settings.values())))

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.settings)

    def grid(self) -> Iterator[str]:
        """Every value."""
        return iter(self.settings)

    def hyperparameter_texts(self, value: Value) -> Mapping[str, str]:
        """What a value says of each hyperparameter. Raises: KeyError if it is not of the list."""
        return self.settings[str(value)]

    def value_in(self, configuration: Configuration) -> str | None:
        """The value that a configuration was made with; None if with none of these."""
        texts = configuration.parameters()
        for value, settings in self.settings.items():
            if all(texts[name] == text for name, text in settings.items()):
                return value
        return None

    def distribution(self) -> "CategoricalDistribution":
        """As Optuna writes it down."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def suggest(self, trial: "BaseTrial") -> str:
        """A value, chosen by the sampler of a trial."""
        return str(trial.suggest_categorical(self.name, self.values))


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both of them included.

    Attributes:
        name: of the hyperparameter.
        low: the smallest.
        high: none is above it.
        line: of the space file, counted from 1.
        log: whether samplers draw evenly from the logarithm.
        step: from one number to the next; None if every number in between will do.
        whole: whether only whole numbers will do; `low`, `high` and `step` are whole then, and the
            step is 1 where none was given.
        when: the parameter counts where all of this holds; always if empty.
    """

    name: str
    low: float
    high: float
    line: int
    log: bool = False
    step: float | None = None
    whole: bool = False
    when: Condition = field(default_factory=dict)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The one that it decides."""
        return (self.name,)

    @property
    def size(self) -> int | None:
        """How many numbers there are; None if the range is continuous."""
        if self.step is None:
            return 1 if self.low == self.high else None
        return int((_exact(self.high) - _exact(self.low)) / _exact(self.step)) + 1

    def grid(self) -> Iterator[float]:
        """Every number, from the smallest up. A continuous range has none: see `size`."""
        return (self._number(index) for index in range(self.size or 0))

    def hyperparameter_texts(self, value: Value) -> Mapping[str, str]:
        """What a number says of the hyperparameter; it is put in its place among the steps."""
        number = float(value)
        if self.step is not None:
            number = self._number(round((number - self.low) / self.step))
        return {self.name: as_text(number)}

    def value_in(self, configuration: Configuration) -> float | None:
        """The number that a configuration was made with; None if with none of these."""
        number = getattr(configuration, self.name)
        if not isinstance(number, int | float) or not self.low <= number <= self.high:
            return None
        if self.step is not None:
            place = (number - self.low) / self.step
            if abs(place - round(place)) > STEP_TOLERANCE:
                return None
        return number

    def distribution(self) -> "FloatDistribution | IntDistribution":
        """As Optuna writes it down."""
        from optuna.distributions import FloatDistribution, IntDistribution

        # Optuna warns of a `high` that no number of steps leads to.
        last = self.high if self.step is None else self._number((self.size or 1) - 1)
        if self.whole:
            return IntDistribution(int(self.low), int(last), self.log, int(self.step or 1))
        return FloatDistribution(self.low, last, self.log, self.step)

    def suggest(self, trial: "BaseTrial") -> float:
        """A number, chosen by the sampler of a trial."""
        from optuna.distributions import IntDistribution

        drawn = self.distribution()
        if isinstance(drawn, IntDistribution):
            return trial.suggest_int(
                self.name, drawn.low, drawn.high, step=drawn.step, log=drawn.log
            )
        return trial.suggest_float(self.name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)

    def _number(self, index: int) -> float:
        # In decimals, so that three steps of 0.1 are 0.3 and not 0.30000000000000004.
        number = _exact(self.low) + index * _exact(self.step or 0)
        return int(number) if self.whole else float(number)


Parameter = Choice | Range


def _exact(number: float) -> Decimal:
    return Decimal(str(number))
