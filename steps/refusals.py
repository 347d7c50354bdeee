"""Combinations of hyperparameters that cannot work, each with the reason, in one table.

They are refused before anything is measured. The facts about precision were seen on TensorFlow
2.21 with Keras 3.15. In float16, an epsilon of 1e-5 mended AdamW, but there is no option for it;
sgd, rmsprop, adagrad and adadelta learned digits as they do in float32. Where 16 bits are only
slow, `steps.train.precision` warns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps import quantization_modes

if TYPE_CHECKING:
    from steps.configuration import Configuration


@dataclass(frozen=True)
class Refusal:
    """A rule.

    Attributes:
        hyperparameter: the one to name in the message.
        applies: whether a configuration breaks the rule.
        reason: why it cannot work, and what would.
    """

    hyperparameter: str
    applies: "Callable[[Configuration], bool]"
    reason: str


TABLES = ("csv:", "parquet:", "openml:")
"""Beginnings of the names of datasets that are read column by column."""

ROWS = (*TABLES, "digits", "wine", "breast_cancer", "iris")
"""Those whose rows are no images in training; digits are images to a CNN's layers alone."""


def _only_with(
    hyperparameters: Sequence[str], holds: "Callable[[Configuration], bool]", reason: str
) -> Iterator[Refusal]:
    """One rule for each: it keeps its default unless the condition holds."""
    for hyperparameter in hyperparameters:

        def applies(given: "Configuration", name: str = hyperparameter) -> bool:
            default = type(given).__dataclass_fields__[name].default
            return getattr(given, name) != default and not holds(given)

        yield Refusal(hyperparameter, applies, reason)


REFUSALS = (
    Refusal(
        "momentum",
        lambda given: given.momentum > 0 and given.optimizer not in ("rmsprop", "sgd"),
        "works only with --optimizer rmsprop and sgd",
    ),
    *_only_with(
        ("label", "drop_columns", "categorical", "missing", "group"),
        lambda given: given.dataset.startswith(TABLES),
        "works only with --dataset csv:PATH, parquet:PATH and openml:NAME",
    ),
    *_only_with(
        ("test_csv",),
        lambda given: given.dataset.startswith("csv:"),
        "works only with --dataset csv:PATH",
    ),
    *_only_with(
        ("image_size", "color_mode"),
        lambda given: given.dataset.startswith("images:"),
        "works only with --dataset images:DIR",
    ),
    Refusal(
        "time_ordered",
        lambda given: given.time_ordered == "yes" and given.group != "",
        "does not go with --group: one or the other says where a row belongs",
    ),
    *_only_with(
        ("hidden", "activation", "dropout"),
        lambda given: given.model in ("mlp", "cnn"),
        "works only with --model mlp and cnn; the others have layers of their own",
    ),
    Refusal(
        "class_weights",
        lambda given: given.class_weights != "none" and given.augmentation in ("mixup", "cutmix"),
        "does not go with --augmentation mixup and cutmix, whose rows belong to two classes",
    ),
    Refusal(
        "precision",
        lambda given: (
            given.precision == "float16" and given.optimizer in ("adam", "adamw", "nadam", "lion")
        ),
        "with this --optimizer weights of 16 bits end at chance without an error; take "
        "mixed_float16, or sgd",
    ),
    Refusal(
        "precision",
        lambda given: given.precision == "float16" and given.optimizer == "adamax",
        "with --optimizer adamax weights of 16 bits become NaN; take mixed_float16, or sgd",
    ),
    Refusal(
        "quantization",
        lambda given: given.quantization != "none" and given.precision != "float32",
        "works only with --precision float32, which is what LiteRT's converter takes",
    ),
    *_only_with(
        ("qat_epochs",),
        lambda given: quantization_modes.is_trained(given.quantization),
        "works only with --quantization qat_int8 and fixed:",
    ),
    Refusal(
        "augmentation",
        lambda given: given.augmentation == "random" and given.dataset.startswith(ROWS),
        "flips, rotations and zooms need images, and this dataset is a table; take mixup or cutmix",
    ),
    Refusal(
        "warmup_epochs",
        lambda given: given.warmup_epochs >= given.max_epochs,
        "must be fewer than --max-epochs",
    ),
)
"""In the order in which they are checked."""
