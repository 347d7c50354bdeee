"""How a training ended."""

from enum import StrEnum


class Outcome(StrEnum):
    """The end of one run. Only `REACHED` gives an energy to accuracy."""

    REACHED = "REACHED"
    """Validation accuracy stayed above the target for `patience` epochs in a row."""
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    """`max_epochs` were trained without reaching the target."""
    CAPPED = "CAPPED"
    """Stopped by a search because it could no longer win."""
    DIVERGED = "DIVERGED"
    """The loss was not finite."""
    FINAL = "FINAL"
    """Trained on the validation rows too, for a given number of epochs: no target was checked."""
    FAILED = "FAILED"
    """An error or an interruption ended it."""
