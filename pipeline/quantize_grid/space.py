"""A space of fixed-point formats, for the data and the weights of a model's layers."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
        name: of a layer in the Keras model, or of a kind of layers; empty for all that no other
            group has.
        data: formats of what goes into them.
        weights: formats of their kernels.
        line: of the file, counted from 1.
        bias: formats of their biases; None where each has the format of its kernel.
        is_kind: whether the name is that of a class of Keras, such as ``Dense``: then the group has
            all layers of it that have no group of their own.
    """

    name: str
    data: Formats
    weights: Formats
    line: int
    bias: Formats | None = None
    is_kind: bool = False

    @property
    def formats(self) -> list[Formats]:
        """Those that are chosen: of data, weights and perhaps biases."""
        return [self.data, self.weights, *([self.bias] if self.bias is not None else [])]

    @property
    def choices(self) -> list[FixedPoint]:
        """All of them, the last format varying fastest."""
        chosen = itertools.product(*(each.all for each in self.formats))
        return [_fixed_point(formats) for formats in chosen]

    def suggest(self, trial: "BaseTrial") -> FixedPoint:
        """The one that the sampler of an Optuna trial chooses."""
        return _fixed_point([each.suggest(trial) for each in self.formats])

    def parameters(self, widths: FixedPoint) -> dict[str, int]:
        """Bits by name, those of the bias where it is chosen."""
        told = {"data": widths.data, "weight": widths.weights}
        told |= {} if self.bias is None else {"bias": widths.bias}
        whose = f"{self.name}." if self.name else ""
        return {
            f"{whose}{what}_{part}": bits
            for what, numbers in told.items()
            for part, bits in zip(("width", "fraction"), numbers, strict=True)
        }


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
        return math.prod(len(each.all) for group in self.groups for each in group.formats)

    def points(self) -> Iterator[Point]:
        """Every point, the last group varying fastest."""
        return itertools.product(*(group.choices for group in self.groups))

    def suggest(self, trial: "BaseTrial") -> Point:
        """The point that the sampler of an Optuna trial chooses."""
        return tuple(group.suggest(trial) for group in self.groups)

    def layers_of_groups(self, kinds: Mapping[str, str]) -> list[list[str]]:
        """Which of the layers of a model each group has: those of its name, its kind, or the rest.

        Args:
            kinds: the class of each layer that can be rounded, by the layer's name.

        Raises:
            InputError: a group has none of them, or one of them is in no group.
        """
        left, of_groups = dict(kinds), dict[str, list[str]]()
        for group in sorted(self.groups, key=lambda group: (not group.name, group.is_kind)):
            of_groups[group.name] = [
                layer
                for layer, kind in left.items()
                if group.name in ("", kind if group.is_kind else layer)
            ]
            if not of_groups[group.name]:
                self.refuse(group.line, _why_empty(group, kinds))
            left = {
                layer: kind for layer, kind in left.items() if layer not in of_groups[group.name]
            }
        if left:
            problem = f"nothing is said of the layer {next(iter(left))}"
            self.refuse(self.groups[0].line, f"{problem}; give data and weights for all others")
        return [of_groups[group.name] for group in self.groups]

    def parameters(self, point: Point) -> dict[str, int]:
        """Bits by name: ``data_width``, for a layer or kind of its own ``dense.data_width``."""
        return {
            name: bits
            for group, widths in zip(self.groups, point, strict=True)
            for name, bits in group.parameters(widths).items()
        }

    def described(self, point: Point) -> str:
        """As ``--quantization`` has it: ``fixed:8.4/4.2``; of layers of their own behind a name."""
        return ", ".join(
            f"{group.name} {widths}".strip()
            for group, widths in zip(self.groups, point, strict=True)
        )

    def refuse(self, line: int, problem: str) -> NoReturn:
        """Raises: InputError that names the file and the line."""
        raise InputError("--space", self.path, f"line {line}: {problem}")


def _fixed_point(formats: Sequence[Format]) -> FixedPoint:
    """Of data, weights and, where it has one of its own, bias."""
    return FixedPoint(*(bits for each in formats for bits in each))


def _why_empty(group: Group, kinds: Mapping[str, str]) -> str:
    known = kinds.values() if group.is_kind else kinds
    if group.name and group.name not in known:
        what = "kind of layer" if group.is_kind else "layer"
        problem = f"{shown(group.name)} is no {what} of the model that can be in fixed point"
        return f"{problem}; {meant(group.name, list(dict.fromkeys(known)))}"
    which = f"every {group.name}" if group.name else "every layer of the model"
    return f"{which} has formats of its own: leave these out"
