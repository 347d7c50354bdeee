"""All that decides a training: the hyperparameters, their defaults and what each may be.

This is the one list of hyperparameters. The command line, the MLproject file and the run's
parameters in MLflow all follow it.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from steps.errors import InputError
from steps.refusals import REFUSALS

PREPROCESSINGS = ("none", "standardization", "robust_scaling", "minmax")
ACTIVATIONS = ("sigmoid", "relu", "tanh", "elu", "gelu", "selu", "silu", "leaky_relu", "linear")
OPTIMIZERS = (
    "adam",
    "adamw",
    "nadam",
    "adamax",
    "adagrad",
    "adadelta",
    "rmsprop",
    "sgd",
    "lion",
)
OPTIMIZERS_WITH_MOMENTUM = ("rmsprop", "sgd")
SCHEDULES = ("constant", "exponential", "polynomial", "cosine", "cosine_restarts", "cyclical")
PRECISIONS = ("float32", "float16", "float64", "mixed_float16", "mixed_bfloat16")
AUGMENTATIONS = ("none", "random", "mixup", "cutmix")
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")

WIDEST_LAYER = 65536
"""Wider ones are typing errors, and two of them would not fit in any memory."""

Parse = Callable[[str], Any]


def _text(value: str) -> str:
    return value


def _one_of(choices: tuple[str, ...]) -> Parse:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return value

    return parse


def _number(allowed: str, accepts: Callable[[float], bool]) -> Parse:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"must be {allowed}") from None
        if not (math.isfinite(number) and accepts(number)):
            raise ValueError(f"must be {allowed}")
        return number

    return parse


def _optional(parse: Parse) -> Parse:
    return lambda value: parse(value) if value else None


def _or_word(word: str, parse: Parse) -> Parse:
    def parse_either(value: str) -> Any:
        if value == word:
            return word
        try:
            return parse(value)
        except ValueError as problem:
            raise ValueError(f"{problem}, or {word}") from None

    return parse_either


def _early_stopping(value: str) -> str:
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


def _whole_number(minimum: int) -> Parse:
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


def _partitioning(value: str) -> str:
    shares = value.split("-")
    if len(shares) != 3 or not all(share.isdecimal() and int(share) > 0 for share in shares):
        raise ValueError("must be three whole numbers train-validation-test such as 80-10-10")
    if sum(map(int, shares)) != 100:
        raise ValueError(f"its parts must add to 100, these add to {sum(map(int, shares))}")
    return "-".join(str(int(share)) for share in shares)


def _hidden(value: str) -> str:
    widths = value.split(",")
    if not all(width.strip().isdecimal() and 0 < int(width) <= WIDEST_LAYER for width in widths):
        allowed = f"each from 1 to {WIDEST_LAYER}"
        raise ValueError(f"must be the widths of the hidden layers, {allowed}, such as 256 or 6,6")
    return ",".join(str(int(width)) for width in widths)


def _hyperparameter(default: object, parse: Parse, help_: str) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "help": help_})


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One point of the space that is searched, and the seed of one run of it."""

    dataset: str = _hyperparameter(
        "digits", _text, "digits, wine, breast_cancer, iris (scikit-learn's) or csv:PATH."
    )
    label: str = _hyperparameter(
        "", _text, "Label column of a CSV, by name or position from 0; default: the last."
    )
    preprocessing: str = _hyperparameter(
        "standardization", _one_of(PREPROCESSINGS), f"{', '.join(PREPROCESSINGS)}."
    )
    partitioning: str = _hyperparameter(
        "80-10-10", _partitioning, "Percent of the rows for training-validation-test."
    )
    hidden: str = _hyperparameter("256", _hidden, "Widths of the hidden layers, such as 6,6.")
    augmentation: str = _hyperparameter(
        "none", _one_of(AUGMENTATIONS), f"Of training rows: {', '.join(AUGMENTATIONS)}."
    )
    activation: str = _hyperparameter(
        "sigmoid", _one_of(ACTIVATIONS), f"Of the hidden layers: {', '.join(ACTIVATIONS)}."
    )
    optimizer: str = _hyperparameter("adam", _one_of(OPTIMIZERS), f"{', '.join(OPTIMIZERS)}.")
    lr: float | str = _hyperparameter(
        0.001,
        _or_word("auto", _number("a number above 0", lambda number: number > 0)),
        "Learning rate, or auto to find one first.",
    )
    lr_schedule: str = _hyperparameter(
        "constant", _one_of(SCHEDULES), f"Over the step budget: {', '.join(SCHEDULES)}."
    )
    warmup_epochs: int = _hyperparameter(
        0, _whole_number(0), "Epochs in which the learning rate rises to its value."
    )
    momentum: float = _hyperparameter(
        0.0,
        _number("a number from 0 up to, not including, 1", lambda number: 0 <= number < 1),
        f"Only with {' and '.join(OPTIMIZERS_WITH_MOMENTUM)}.",
    )
    weight_decay: float | None = _hyperparameter(
        None,
        _optional(_number("a number from 0", lambda number: number >= 0)),
        "Decoupled weight decay; default: the optimizer's own.",
    )
    batch_size: int | str = _hyperparameter(
        128, _or_word("full", _whole_number(1)), "Rows per gradient step, or full for all."
    )
    precision: str = _hyperparameter(
        "float32", _one_of(PRECISIONS), f"Of weights and arithmetic: {', '.join(PRECISIONS)}."
    )
    jit_compile: Literal["off", "on", "auto"] = _hyperparameter(
        "off",
        _one_of(("off", "on", "auto")),
        "Compile by XLA: off, on, or auto to find out whether it pays.",
    )
    power_limit_w: float | None = _hyperparameter(
        None,
        _optional(_number("a number of watts above 0", lambda number: number > 0)),
        "Power limit of each GPU while training, in watts; default: as it is.",
    )
    quantization: str = _hyperparameter(
        "none", _one_of(QUANTIZATIONS), f"After training: {', '.join(QUANTIZATIONS)}."
    )
    target_accuracy: float = _hyperparameter(
        0.95,
        _number("a number from 0 up to, not including, 1", lambda number: 0 <= number < 1),
        "Validation accuracy to exceed.",
    )
    patience: int = _hyperparameter(3, _whole_number(1), "Epochs in a row above the target.")
    max_epochs: int = _hyperparameter(500, _whole_number(1), "Give up after so many epochs.")

    early_stopping: str = _hyperparameter(
        "",
        _early_stopping,
        "MIN_DELTA,PATIENCE: give up when validation loss got no better by that in so many epochs.",
    )
    seed: int = _hyperparameter(0, _whole_number(0), "Of the split, the weights and the order.")

    def __post_init__(self) -> None:
        """Raises: InputError if hyperparameters contradict each other."""
        for rule in REFUSALS:
            if rule.applies(self):
                value = getattr(self, rule.hyperparameter)
                raise InputError(option_name(rule.hyperparameter), value, rule.reason)

    @property
    def config_id(self) -> str:
        """Short hash of everything but the seed, the same for all repeats."""
        decisive = {name: value for name, value in self.parameters().items() if name != "seed"}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]

    @property
    def run_name(self) -> str:
        """Readable name such as ``adam-lr0.001-bs128-s0``."""
        lr = self.lr if isinstance(self.lr, str) else f"{self.lr:g}"
        return f"{self.optimizer}-lr{lr}-bs{self.batch_size}-s{self.seed}"

    def parameters(self) -> dict[str, str]:
        """Every hyperparameter as text, as MLflow keeps it; `parse` is the way back."""
        return {name: as_text(getattr(self, name)) for name in FIELDS}


def as_text(value: object) -> str:
    """How a value of a hyperparameter is typed; None, which stands for "not given", is empty."""
    return "" if value is None else str(value)


FIELDS = {field.name: field for field in dataclasses.fields(Configuration)}


def parse(parameters: dict[str, str]) -> Configuration:
    """Configuration from texts, as typed or as read from a run; what is missing has its default.

    Raises:
        InputError: a value is not allowed, or two contradict each other.
    """
    return Configuration(**{name: parse_one(name, text) for name, text in parameters.items()})


def parse_one(name: str, text: str) -> Any:
    """The value of one hyperparameter.

    Raises:
        InputError: it is not allowed.
    """
    try:
        return FIELDS[name].metadata["parse"](text)
    except ValueError as problem:
        raise InputError(option_name(name), text or "''", str(problem)) from None


def option_name(hyperparameter: str) -> str:
    """``batch_size`` -> ``--batch-size``."""
    return "--" + hyperparameter.replace("_", "-")
