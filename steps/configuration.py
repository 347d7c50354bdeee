"""All that decides a training: the hyperparameters, their defaults and what each may be.

This is the one list of hyperparameters. The command line, the MLproject file and the run's
parameters in MLflow all follow it.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steps import parsing, quantization_modes
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
MODELS = ("mlp", "cnn", "resnet18", "resnet50", "mobilenet_v3_small")
MISSING = ("error", "drop", "median")
COLOR_MODES = ("rgb", "grayscale")
CLASS_WEIGHTS = ("none", "balanced")
AUGMENTATIONS = ("none", "random", "mixup", "cutmix")


def _hyperparameter(default: object, parse: parsing.Parse, help_: str) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "help": help_})


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One point of the space that is searched, and the seed of one run of it."""

    dataset: str = _hyperparameter(
        "digits",
        parsing.text,
        "digits, wine, breast_cancer, iris, csv:PATH, parquet:PATH, npz:PATH, npy:X.npy,Y.npy, "
        "images:DIR, openml:NAME_OR_ID or keras:NAME.",
    )
    label: str = _hyperparameter(
        "", parsing.text, "Label column of a table, by name or position from 0; default: the last."
    )
    test_csv: str = _hyperparameter(
        "", parsing.text, "File of the rows that the publisher set apart for testing."
    )
    drop_columns: str = _hyperparameter(
        "", parsing.column_list, "Columns of a table to leave out, by name or position: id,7."
    )
    categorical: str = _hyperparameter(
        "",
        parsing.column_list,
        "Columns to one-hot encode, by name or position, or auto for all of text.",
    )
    missing: str = _hyperparameter(
        "error",
        parsing.one_of(MISSING),
        "Cells without a value: error, drop their rows, or fill in the median of training rows.",
    )
    group: str = _hyperparameter(
        "", parsing.text, "Column whose equal values stay in one part, by name or position."
    )
    image_size: str = _hyperparameter(
        "",
        parsing.image_size,
        "HEIGHTxWIDTH to which image files are resized; default: as they are.",
    )
    color_mode: str = _hyperparameter(
        "",
        parsing.optional_text(parsing.one_of(COLOR_MODES)),
        f"Of image files: {' or '.join(COLOR_MODES)}; default: as they are.",
    )
    preprocessing: str = _hyperparameter(
        "standardization", parsing.one_of(PREPROCESSINGS), f"{', '.join(PREPROCESSINGS)}."
    )
    partitioning: str = _hyperparameter(
        "80-10-10", parsing.percents, "Percent of the rows for training-validation-test."
    )
    time_ordered: str = _hyperparameter(
        "no", parsing.one_of(("no", "yes")), "Train on the first rows, test on the last: no, yes."
    )
    class_weights: str = _hyperparameter(
        "none",
        parsing.one_of(CLASS_WEIGHTS),
        "balanced: a class counts the more the rarer it is; none.",
    )
    model: str = _hyperparameter(
        "mlp", parsing.model_name(MODELS), f"{', '.join(MODELS)} or file:PATH.py:FUNCTION."
    )
    hidden: str = _hyperparameter(
        "256",
        parsing.hidden_widths,
        "Widths of the hidden dense layers, such as 6,6; of mlp and cnn.",
    )
    dropout: float = _hyperparameter(
        0.0,
        parsing.number("a number from 0 up to, not including, 1", lambda number: 0 <= number < 1),
        "Share of each hidden dense layer to drop in training; of mlp and cnn.",
    )
    augmentation: str = _hyperparameter(
        "none", parsing.one_of(AUGMENTATIONS), f"Of training rows: {', '.join(AUGMENTATIONS)}."
    )
    activation: str = _hyperparameter(
        "sigmoid",
        parsing.one_of(ACTIVATIONS),
        f"Of the hidden layers of mlp and cnn: {', '.join(ACTIVATIONS)}.",
    )
    optimizer: str = _hyperparameter(
        "adam", parsing.one_of(OPTIMIZERS), f"{', '.join(OPTIMIZERS)}."
    )
    lr: float | str = _hyperparameter(
        0.001,
        parsing.or_word("auto", parsing.number("a number above 0", lambda number: number > 0)),
        "Learning rate, or auto to find one first.",
    )
    lr_schedule: str = _hyperparameter(
        "constant", parsing.one_of(SCHEDULES), f"Over the step budget: {', '.join(SCHEDULES)}."
    )
    warmup_epochs: int = _hyperparameter(
        0, parsing.whole_number(0), "Epochs in which the learning rate rises to its value."
    )
    momentum: float = _hyperparameter(
        0.0,
        parsing.number("a number from 0 up to, not including, 1", lambda number: 0 <= number < 1),
        f"Only with {' and '.join(OPTIMIZERS_WITH_MOMENTUM)}.",
    )
    weight_decay: float | None = _hyperparameter(
        None,
        parsing.optional(parsing.number("a number from 0", lambda number: number >= 0)),
        "Decoupled weight decay; default: the optimizer's own.",
    )
    batch_size: int | str = _hyperparameter(
        128,
        parsing.or_word("full", parsing.whole_number(1)),
        "Rows per gradient step, or full for all.",
    )
    precision: str = _hyperparameter(
        "float32",
        parsing.one_of(PRECISIONS),
        f"Of weights and arithmetic: {', '.join(PRECISIONS)}.",
    )
    jit_compile: Literal["off", "on", "auto"] = _hyperparameter(
        "off",
        parsing.one_of(("off", "on", "auto")),
        "Compile by XLA: off, on, or auto to find out whether it pays.",
    )
    power_limit_w: float | None = _hyperparameter(
        None,
        parsing.optional(parsing.number("a number of watts above 0", lambda number: number > 0)),
        "Power limit of each GPU while training, in watts; default: as it is.",
    )
    quantization: str = _hyperparameter(
        quantization_modes.NONE,
        quantization_modes.normalized,
        f"After training: none, all, or a comma list of "
        f"{', '.join(quantization_modes.LITERT_MODES)} and {quantization_modes.WRITTEN}.",
    )
    qat_epochs: int | None = _hyperparameter(
        None,
        parsing.optional(parsing.whole_number(1)),
        "Epochs of quantization-aware fine-tuning; default: 3 for qat_int8, none for fixed.",
    )
    target_accuracy: float = _hyperparameter(
        0.95,
        parsing.number("a number from 0 up to, not including, 1", lambda number: 0 <= number < 1),
        "Validation accuracy to exceed.",
    )
    patience: int = _hyperparameter(3, parsing.whole_number(1), "Epochs in a row above the target.")
    max_epochs: int = _hyperparameter(500, parsing.whole_number(1), "Give up after so many epochs.")

    early_stopping: str = _hyperparameter(
        "",
        parsing.early_stopping,
        "MIN_DELTA,PATIENCE: give up when validation loss got no better by that in so many epochs.",
    )
    seed: int = _hyperparameter(
        0, parsing.whole_number(0), "Of the split, the weights and the order."
    )

    def __post_init__(self) -> None:
        """Raises: InputError if hyperparameters contradict each other."""
        for rule in REFUSALS:
            if rule.applies(self):
                value = getattr(self, rule.hyperparameter)
                raise InputError(option_name(rule.hyperparameter), value, rule.reason)

    @property
    def config_id(self) -> str:
        """Short hash of everything but the seed, the same for all repeats.

        Raises: InputError if the user's own model file cannot be read.
        """
        decisive = {name: value for name, value in self.parameters().items() if name != "seed"}
        if self.model_file is not None:
            try:
                decisive["model"] += hashlib.sha256(self.model_file.read_bytes()).hexdigest()
            except OSError as error:
                raise InputError(
                    "--model",
                    self.model,
                    f"cannot be read ({(error.strerror or str(error)).lower()})",
                ) from None
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]

    @property
    def training_id(self) -> str:
        """The `config_id` that all share which train alike, whatever is made of the model after.

        Raises: as `config_id`.
        """
        made = quantization_modes.modes(self.quantization)
        if self.qat_epochs is not None or quantization_modes.AWARE in made:
            return self.config_id
        return dataclasses.replace(self, quantization=quantization_modes.NONE).config_id

    @property
    def model_file(self) -> Path | None:
        """The user's own file that builds the model; None for a model of ours."""
        path, _, _ = self.model.removeprefix("file:").rpartition(":")
        return Path(path) if self.model.startswith("file:") else None

    @property
    def run_name(self) -> str:
        """Readable name such as ``adam-lr0.001-bs128-s0``; `NAMED` says what it tells."""
        lr = self.lr if isinstance(self.lr, str) else f"{self.lr:g}"
        return f"{self.optimizer}-lr{lr}-bs{self.batch_size}-s{self.seed}"

    def parameters(self) -> dict[str, str]:
        """Every hyperparameter as text, as MLflow keeps it; `parse` is the way back."""
        return {name: as_text(getattr(self, name)) for name in FIELDS}


def as_text(value: object) -> str:
    """How a value of a hyperparameter is typed; None, which stands for "not given", is empty."""
    return "" if value is None else str(value)


NAMED = frozenset({"optimizer", "lr", "batch_size"})
"""Hyperparameters that the name of a run tells."""

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
