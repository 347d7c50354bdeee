"""A space of fixed-point formats, for the data and the weights of a model's layers."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from pipeline.search.yaml_tree import meant, shown
from steps.errors import InputError
from steps.quantization_modes import FixedPoint

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Point = tuple[FixedPoint, ...]
"""One choice for each `Group` of a space, in their order."""


class Format(NamedTuple):
    """A fixed-point number: all of its bits, and how many of them stand behind the point."""

    width: int
    fraction: int

    def __str__(self) -> str:
        return f"{self.width}.{self.fraction}"


class Formats(Protocol):
    """What the data or the weights of some layers may be rounded to."""

    @property
    def all(self) -> tuple[Format, ...]:
        """Each of them once, in the order of the file."""

    def suggest(self, trial: "BaseTrial") -> Format:
        """One that the sampler of an Optuna trial chooses."""


@dataclass(frozen=True)
class Listed:
    """Formats one by one.

    Attributes:
        name: of the parameter that chooses one, unique in the space.
        all: to choose from.
    """

    name: str
    all: tuple[Format, ...]

    def suggest(self, trial: "BaseTrial") -> Format:
        """As `Formats`."""
        width, fraction = trial.suggest_categorical(self.name, list(map(str, self.all))).split(".")
        return Format(int(width), int(fraction))


@dataclass(frozen=True)
class Crossed:
    """Every width with every fraction: two parameters, each of which a sampler can learn about."""

    name: str
    widths: tuple[int, ...]
    fractions: tuple[int, ...]

    @property
    def all(self) -> tuple[Format, ...]:
        """As `Formats`."""
        return tuple(itertools.starmap(Format, itertools.product(self.widths, self.fractions)))

    def suggest(self, trial: "BaseTrial") -> Format:
        """As `Formats`."""
        return Format(
            trial.suggest_categorical(f"{self.name} width", self.widths),
            trial.suggest_categorical(f"{self.name} fraction", self.fractions),
        )


@dataclass(frozen=True)
class Group:
    """Layers that are rounded alike.

    Attributes:
        layer: the only one, by its name in the Keras model; empty for all that no other group has.
        data: formats of what goes into them.
        weights: formats of their kernels and biases.
        line: of the file, counted from 1.
    """

    layer: str
    data: Formats
    weights: Formats
    line: int

    @property
    def choices(self) -> list[FixedPoint]:
        """All of them, the weights varying fastest."""
        pairs = itertools.product(self.data.all, self.weights.all)
        return [FixedPoint(*data, *weights) for data, weights in pairs]


@dataclass(frozen=True)
class WidthSpace:
    """The points that a grid has.

    Attributes:
        path: of the file, for messages.
        purpose: in a line.
        groups: at least one, of different layers.
    """

    path: Path
    purpose: str
    groups: tuple[Group, ...]

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(len(group.data.all) * len(group.weights.all) for group in self.groups)

    def points(self) -> Iterator[Point]:
        """Every point, the last group varying fastest."""
        return itertools.product(*(group.choices for group in self.groups))

    def suggest(self, trial: "BaseTrial") -> Point:
        """The point that the sampler of an Optuna trial chooses."""
        return tuple(
            FixedPoint(*group.data.suggest(trial), *group.weights.suggest(trial))
            for group in self.groups
        )

    def layers_of_groups(self, layers: Iterable[str]) -> list[list[str]]:
        """Which of the layers of a model each group has; see `check_layers`."""
        known = list(layers)
        named = {group.layer for group in self.groups}
        others = [layer for layer in known if layer not in named]
        return [[group.layer] if group.layer else others for group in self.groups]

    def parameters(self, point: Point) -> dict[str, int]:
        """Bits by name: ``data_width``, for a layer of its own ``dense.data_width``."""
        return {
            f"{group.layer}.{name}" if group.layer else name: bits
            for group, widths in zip(self.groups, point, strict=True)
            for name, bits in asdict(widths).items()
        }

    def described(self, point: Point) -> str:
        """As ``--quantization`` has it: ``fixed:8.4/4.2``; of layers of their own behind a name."""
        return ", ".join(
            f"{group.layer} {widths}".strip()
            for group, widths in zip(self.groups, point, strict=True)
        )

    def check_layers(self, layers: Iterable[str]) -> None:
        """See that the space says what each layer of a model may be rounded to.

        Args:
            layers: those that can be rounded.

        Raises:
            InputError: it names another one, or says nothing of one of these.
        """
        known = list(layers)
        named = {group.layer for group in self.groups}
        for group in self.groups:
            if group.layer and group.layer not in known:
                problem = (
                    f"{shown(group.layer)} is no layer of the model that can be in fixed point"
                )
                self.refuse(group.line, f"{problem}; {meant(group.layer, known)}")
        left_out = [layer for layer in known if layer not in named]
        if left_out and "" not in named:
            problem = f"nothing is said of the layer {left_out[0]}"
            self.refuse(self.groups[0].line, f"{problem}; give data and weights for all others")
        if not left_out and "" in named:
            (group,) = (group for group in self.groups if not group.layer)
            self.refuse(
                group.line, "every layer of the model has formats of its own: leave these out"
            )

    def refuse(self, line: int, problem: str) -> NoReturn:
        """Raises: InputError that names the file and the line."""
        raise InputError("--space", self.path, f"line {line}: {problem}")


def formats_of(widths: FixedPoint) -> tuple[Format, Format]:
    """Of data and of weights."""
    return (
        Format(widths.data_width, widths.data_fraction),
        Format(widths.weight_width, widths.weight_fraction),
    )
