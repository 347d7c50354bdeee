"""The stopping rules: until validation accuracy stays above the target, or to a fixed end."""

import math
from collections.abc import Mapping

import keras

from steps.configuration import Configuration
from steps.outcome import Outcome


class TrainToAccuracy(keras.callbacks.Callback):  # type: ignore[misc]
    """Stop when a metric was above `threshold` for `patience` epochs in a row.

    Works in any ``model.fit`` that has validation data, and anew in each: the streak and the
    outcome start from nothing whenever a fit begins. A loss that is not finite stops at once.

    Example::

        rule = TrainToAccuracy(threshold=0.95, patience=3)
        model.fit(x, y, validation_data=(x_val, y_val), epochs=500, callbacks=[rule])
        rule.outcome  # Outcome.REACHED or Outcome.BUDGET_EXHAUSTED

    The idea of benchmarking the cost to a validation target is AlgoPerf's (Dahl et al. 2023,
    "Benchmarking Neural Network Training Algorithms", arXiv:2306.07179).
    """

    def __init__(self, threshold: float, patience: int = 1, monitor: str = "val_accuracy") -> None:
        """Args: the value to exceed, the epochs in a row, and the metric to watch."""
        super().__init__()
        if patience < 1:
            raise ValueError(f"patience {patience}: must be 1 or more")
        if monitor.startswith("test"):
            raise ValueError(f"monitor {monitor}: the test part never decides")
        self.threshold = threshold
        self.patience = patience
        self.monitor = monitor
        self._start_over()

    def _start_over(self) -> None:
        self.streak = 0
        self.outcome = Outcome.BUDGET_EXHAUSTED

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Forget the previous fit."""
        self._start_over()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Count the streak.

        Raises:
            ValueError: the fit does not compute the metric to watch.
        """
        logs = logs or {}
        if self.monitor not in logs:
            known = ", ".join(logs) or "nothing"
            raise ValueError(f"monitor {self.monitor}: not computed by this fit, which has {known}")
        if not _is_finite(logs):
            self.outcome = Outcome.DIVERGED
            self.model.stop_training = True
            return
        self.streak = self.streak + 1 if logs[self.monitor] > self.threshold else 0
        if self.streak >= self.patience:
            self.outcome = Outcome.REACHED
            self.model.stop_training = True


class TrainToTheEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Nothing is validated, so that nothing but a loss that is not finite ends the fit early."""

    def __init__(self) -> None:
        super().__init__()
        self.outcome = Outcome.FINAL

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the loss."""
        if not _is_finite(logs or {}):
            self.outcome = Outcome.DIVERGED
            self.model.stop_training = True


def early_stopping(configuration: Configuration) -> list[keras.callbacks.EarlyStopping]:
    """Keras' own, as it was asked for; none if it was not."""
    if not configuration.early_stopping:
        return []
    min_delta, patience = configuration.early_stopping.split(",")
    return [
        keras.callbacks.EarlyStopping(
            monitor="val_loss", min_delta=float(min_delta), patience=int(patience)
        )
    ]


def _is_finite(logs: Mapping[str, float]) -> bool:
    return all(math.isfinite(logs[name]) for name in ("loss", "val_loss") if name in logs)
