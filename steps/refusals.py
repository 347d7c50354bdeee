"""Combinations of hyperparameters that cannot work, each with the reason, in one table.

They are refused before anything is measured. The facts about precision were seen on TensorFlow
2.21 with Keras 3.15.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


REFUSALS = (
    Refusal(
        "momentum",
        lambda given: given.momentum > 0 and given.optimizer not in ("rmsprop", "sgd"),
        "works only with --optimizer rmsprop and sgd",
    ),
    Refusal(
        "label",
        lambda given: given.label != "" and not given.dataset.startswith("csv:"),
        "works only with --dataset csv:PATH",
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
    Refusal(
        "augmentation",
        lambda given: given.augmentation == "random",
        "flips, rotations and zooms need images, and this dataset is a table; take mixup or cutmix",
    ),
    Refusal(
        "warmup_epochs",
        lambda given: given.warmup_epochs >= given.max_epochs,
        "must be fewer than --max-epochs",
    ),
)
"""In the order in which they are checked."""
