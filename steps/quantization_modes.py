"""The modes of quantization, as typed; knows no TensorFlow."""

import re
from dataclasses import dataclass
from typing import Self

NONE, ALL = "none", "all"
LITERT_MODES = ("dynamic", "float16", "int8", "int16x8", "int4", "qat_int8")
"""Those that make a file for LiteRT, in the order of tables."""

AWARE = "qat_int8"

WIDEST = 24
"""Bits of a fixed-point number: float32 holds all of those exactly."""

WRITTEN = "fixed:DW.DF/WW.WF, such as fixed:8.4/4.2"


@dataclass(frozen=True)
class FixedPoint:
    """Fixed-point numbers: so many bits in all, of which so many behind the point.

    Attributes:
        data_width: bits of each input of a layer, sign included.
        data_fraction: how many of them are behind the point; more than there are is allowed.
        weight_width: as `data_width`, of kernels and biases.
        weight_fraction: as `data_fraction`, of kernels and biases.
    """

    data_width: int
    data_fraction: int
    weight_width: int
    weight_fraction: int

    def __post_init__(self) -> None:
        """Raises: ValueError if a number is out of range."""
        widths = self.data_width, self.weight_width
        fractions = self.data_fraction, self.weight_fraction
        if not all(2 <= width <= WIDEST for width in widths):
            raise ValueError(f"{self}: widths must be 2 to {WIDEST}")
        if not all(0 <= fraction <= WIDEST for fraction in fractions):
            raise ValueError(f"{self}: fractions must be 0 to {WIDEST}")

    def __str__(self) -> str:
        data = f"{self.data_width}.{self.data_fraction}"
        return f"fixed:{data}/{self.weight_width}.{self.weight_fraction}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``fixed:DW.DF/WW.WF``, such as ``fixed:8.4/4.2``.

        Raises:
            ValueError: it is not written so, or a number is out of range.
        """
        found = re.fullmatch(r"fixed:(\d{1,9})\.(\d{1,9})/(\d{1,9})\.(\d{1,9})", text, re.ASCII)
        if found is None:
            raise ValueError(f"{text}: write {WRITTEN}")
        return cls(*map(int, found.groups()))


def modes(text: str) -> tuple[str | FixedPoint, ...]:
    """What ``--quantization`` asks for: names of `LITERT_MODES`, then fixed points as typed.

    Args:
        text: ``none``, or a comma list of names, ``all`` for all of them, and fixed points.

    Raises:
        ValueError: something in the list is no mode, or is there twice; one line says what.
    """
    if text == NONE:
        return ()
    names: list[str] = []
    fixed: list[FixedPoint] = []
    for item in (part.strip() for part in text.split(",")):
        if item.startswith("fixed:"):
            fixed.append(FixedPoint.parse(item))
        elif item == ALL:
            names.extend(LITERT_MODES)
        elif item in LITERT_MODES:
            names.append(item)
        else:
            choices = ", ".join((NONE, ALL, *LITERT_MODES))
            raise ValueError(f"choose one of {choices}, {WRITTEN}, or some with commas between")
    every: tuple[str | FixedPoint, ...] = (*sorted(names, key=LITERT_MODES.index), *fixed)
    for mode in every:
        if every.count(mode) > 1:
            raise ValueError(f"has {mode} twice")
    return every


def normalized(text: str) -> str:
    """The one spelling of what `modes` reads, so that equal configurations have one identity.

    Raises:
        ValueError: as `modes`.
    """
    return ",".join(map(str, modes(text))) or NONE


def is_trained(text: str) -> bool:
    """Whether a mode of the list can be fine-tuned by ``--qat-epochs``."""
    return any(mode == AWARE or isinstance(mode, FixedPoint) for mode in modes(text))
