"""The modes of quantization, as typed; knows no TensorFlow."""

import re
from dataclasses import dataclass
from typing import Self

NONE, ALL = "none", "all"
FLOAT32 = "float32"
"""The model as it was trained, beside those that were made smaller."""

LITERT_MODES = ("dynamic", "float16", "int8", "int16x8", "int4", "qat_int8")
"""Those that make a file for LiteRT, in the order of tables."""

AWARE = "qat_int8"

WIDEST = 24
"""Bits of a fixed-point number: float32 holds all of those exactly."""

WRITTEN = "fixed:DW.DF/WW.WF[/BW.BF], such as fixed:8.4/4.2"

_FORMAT = r"(\d{1,9})\.(\d{1,9})"


@dataclass(frozen=True)
class FixedPoint:
    """Fixed-point numbers: so many bits in all, of which so many behind the point.

    Attributes:
        data_width: bits of each input of a layer, sign included.
        data_fraction: how many of them are behind the point; more than there are is allowed.
        weight_width: as `data_width`, of kernels.
        weight_fraction: as `data_fraction`, of kernels.
        bias_width: as `data_width`, of biases; None where they have the format of the kernels.
        bias_fraction: likewise.
    """

    data_width: int
    data_fraction: int
    weight_width: int
    weight_fraction: int
    bias_width: int | None = None
    bias_fraction: int | None = None

    def __post_init__(self) -> None:
        """Raises: ValueError if a number is out of range, or half a format of the bias is given."""
        if (self.bias_width is None) != (self.bias_fraction is None):
            raise ValueError(f"{self}: a bias needs both a width and a fraction")
        if self.bias == self.weights:
            # One spelling for one arithmetic, so that equal formats are equal.
            object.__setattr__(self, "bias_width", None)
            object.__setattr__(self, "bias_fraction", None)
        widths, fractions = zip(self.data, self.weights, self.bias, strict=True)
        if not all(2 <= width <= WIDEST for width in widths):
            raise ValueError(f"{self}: widths must be 2 to {WIDEST}")
        if not all(0 <= fraction <= WIDEST for fraction in fractions):
            raise ValueError(f"{self}: fractions must be 0 to {WIDEST}")

    @property
    def data(self) -> tuple[int, int]:
        """Width and fraction."""
        return self.data_width, self.data_fraction

    @property
    def weights(self) -> tuple[int, int]:
        """Width and fraction."""
        return self.weight_width, self.weight_fraction

    @property
    def bias(self) -> tuple[int, int]:
        """Width and fraction, that of the kernels where it has none of its own."""
        if self.bias_width is None or self.bias_fraction is None:
            return self.weights
        return self.bias_width, self.bias_fraction

    def __str__(self) -> str:
        formats = [self.data, self.weights, *([] if self.bias == self.weights else [self.bias])]
        return "fixed:" + "/".join(f"{width}.{fraction}" for width, fraction in formats)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``fixed:DW.DF/WW.WF``, such as ``fixed:8.4/4.2``, or ``.../BW.BF`` with the bias's.

        Raises:
            ValueError: it is not written so, or a number is out of range.
        """
        found = re.fullmatch(f"fixed:{_FORMAT}/{_FORMAT}(?:/{_FORMAT})?", text, re.ASCII)
        if found is None:
            raise ValueError(f"{text}: write {WRITTEN}")
        return cls(*(int(bits) for bits in found.groups() if bits is not None))


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
