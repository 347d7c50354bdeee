"""From text to a value: a parser per kind of hyperparameter; a ValueError says what is allowed."""

import math
from collections.abc import Callable
from typing import Any

WIDEST_LAYER = 65536
"""Wider ones are typing errors, and two of them would not fit in any memory."""

LARGEST_IMAGE = 4096
"""Pixels on a side."""

MOST_DIGITS = 30
"""Of a count. Of some thousands of digits Python makes no number, but an exception."""

Parse = Callable[[str], Any]


def count(value: str) -> int | None:
    """A whole number from 0, written in digits alone; None where nothing has such a count."""
    return int(value) if value.isdecimal() and len(value) <= MOST_DIGITS else None


def text(value: str) -> str:
    """Anything."""
    return value


def one_of(choices: tuple[str, ...]) -> Parse:
    """A name of a list."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return value

    return parse


def number(allowed: str, accepts: Callable[[float], bool]) -> Parse:
    """A finite number that `accepts` is content with; `allowed` says which those are."""

    def parse(value: str) -> float:
        try:
            parsed = float(value)
        except ValueError:
            raise ValueError(f"must be {allowed}") from None
        if not (math.isfinite(parsed) and accepts(parsed)):
            raise ValueError(f"must be {allowed}")
        return parsed

    return parse


def optional(parse: Parse) -> Parse:
    """None where nothing was typed."""
    return lambda value: parse(value) if value else None


def optional_text(parse: Parse) -> Parse:
    """The empty text where nothing was typed."""
    return lambda value: parse(value) if value else ""


def or_word(word: str, parse: Parse) -> Parse:
    """That word, or what `parse` takes."""

    def parse_either(value: str) -> Any:
        if value == word:
            return word
        try:
            return parse(value)
        except ValueError as problem:
            raise ValueError(f"{problem}, or {word}") from None

    return parse_either


def early_stopping(value: str) -> str:
    """``MIN_DELTA,PATIENCE``, or empty."""
    if not value:
        return ""
    try:
        min_delta, patience = value.split(",")
        numbers = float(min_delta), int(patience)
    except ValueError:
        numbers = (math.nan, 0)
    if not (0 <= numbers[0] < math.inf and numbers[1] >= 1):
        raise ValueError("must be MIN_DELTA,PATIENCE such as 0.001,10")
    return f"{numbers[0]:g},{numbers[1]}"


def whole_number(minimum: int) -> Parse:
    """A whole number of 32 bits from `minimum`."""

    def parse(value: str) -> int:
        try:
            # MLflow knows no whole numbers but floats, and some tools write them as 64.0.
            number = int(value.removesuffix(".0"))
        except ValueError:
            number = minimum - 1
        # NumPy and Keras take seeds of 32 bits; no other count comes near that.
        if not minimum <= number < 2**32:
            raise ValueError(f"must be a whole number from {minimum} to {2**32 - 1}")
        return number

    return parse


def percents(value: str) -> str:
    """Three whole percents that add to 100."""
    shares = value.split("-")
    if len(shares) != 3 or not all(share.isdecimal() and int(share) > 0 for share in shares):
        raise ValueError("must be three whole numbers train-validation-test such as 80-10-10")
    if sum(map(int, shares)) != 100:
        raise ValueError(f"its parts must add to 100, these add to {sum(map(int, shares))}")
    return "-".join(str(int(share)) for share in shares)


def hidden_widths(value: str) -> str:
    """Widths of layers."""
    widths = value.split(",")
    if not all(width.strip().isdecimal() and 0 < int(width) <= WIDEST_LAYER for width in widths):
        allowed = f"each from 1 to {WIDEST_LAYER}"
        raise ValueError(f"must be the widths of the hidden layers, {allowed}, such as 256 or 6,6")
    return ",".join(str(int(width)) for width in widths)


def model_name(names: tuple[str, ...]) -> Parse:
    """One of `names`, or ``file:PATH.py:FUNCTION``."""

    def parse(value: str) -> str:
        path, _, function = value.removeprefix("file:").rpartition(":")
        is_file = value.startswith("file:") and path != "" and function.isidentifier()
        if value not in names and not is_file:
            raise ValueError(f"choose one of {', '.join(names)} or file:PATH.py:FUNCTION")
        return value

    return parse


def image_size(value: str) -> str:
    """``HEIGHTxWIDTH``; ``32`` stands for ``32x32``."""
    sides = value.lower().split("x")
    if not value:
        return ""
    if len(sides) > 2 or not all(s.isdecimal() and 0 < int(s) <= LARGEST_IMAGE for s in sides):
        allowed = f"each from 1 to {LARGEST_IMAGE}"
        raise ValueError(f"must be HEIGHTxWIDTH in pixels, {allowed}, such as 32x32 or 32")
    return f"{int(sides[0])}x{int(sides[-1])}"


def column_list(value: str) -> str:
    """Names or positions of columns."""
    return ",".join(column.strip() for column in value.split(",") if column.strip())
