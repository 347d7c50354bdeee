"""Giving up: a search may end a training that can no longer win."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from steps.train.epochs import EpochRecorder
from steps.train.rule import TrainToAccuracy


@dataclass(frozen=True)
class Progress:
    """Where a training stands at the end of an epoch, or within it.

    Attributes:
        epoch: counted from 1.
        spent_s: seconds since the window was opened.
        spent_j: joules since then, between two readings at the mean power so far; None where
            nothing was measured.
        before_s: seconds of `spent_s` before the first epoch: of compiling, mostly.
        before_j: joules likewise.
        val_accuracy: after this epoch; None within it.
        streak: epochs in a row above the target, this one included where it has ended.
    """

    epoch: int
    spent_s: float
    spent_j: float | None
    before_s: float
    before_j: float | None
    val_accuracy: float | None
    streak: int


GiveUp = Callable[[Progress], bool]
"""Asked after each epoch, and in long ones twice a second: whether to end the training here."""


class GivingUp(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training when `give_up` says so; comes after the rule and before the recorder."""

    def __init__(self, rule: TrainToAccuracy, recorder: EpochRecorder, give_up: GiveUp) -> None:
        super().__init__()
        self.gave_up = False
        self._rule = rule
        self._recorder = recorder
        self._give_up = give_up
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note which."""
        self._epoch = epoch

    def within_epoch(self) -> bool:
        """Ask while an epoch is under way; it ends here if this is true."""
        reading = self._recorder.look()
        self.gave_up = self._ask(reading.duration_s, reading.energy_j, None)
        return self.gave_up

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Ask, unless the training ends anyway."""
        if self.model.stop_training:
            return
        reading, taken_at = self._recorder.latest_reading
        since_s = time.perf_counter() - taken_at
        spent_s = reading.duration_s + since_s
        spent_j = None
        if reading.energy_j is not None and reading.duration_s > 0:
            spent_j = reading.energy_j * spent_s / reading.duration_s
        self.gave_up = self._ask(spent_s, spent_j, (logs or {})[self._rule.monitor])
        self.model.stop_training = self.gave_up

    def _ask(self, spent_s: float, spent_j: float | None, val_accuracy: float | None) -> bool:
        before = self._recorder.first_reading
        progress = Progress(
            epoch=self._epoch + 1,
            spent_s=spent_s,
            spent_j=spent_j,
            before_s=before.duration_s,
            before_j=before.energy_j,
            val_accuracy=val_accuracy,
            streak=self._rule.streak,
        )
        return self._give_up(progress)
