"""What each epoch gave and what it cost."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras

from energy import Measurement

SECONDS_BETWEEN_READINGS = 0.5
"""A reading costs about as much as a short epoch, so epochs in between share one by their time."""


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 1; `reading` is cumulative, taken at its end or soon after.

    `energy_j` is None where nothing was measured or estimated.
    """

    number: int
    ended_at: float
    """Seconds since 1970."""
    time_s: float
    energy_j: float | None
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    reading: Measurement


Record = Callable[[Sequence[Epoch]], None]
"""Called inside the window, at most twice a second, with the epochs since the last call."""


class EpochRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Turns Keras' logs and the meter's readings into `Epoch`s and hands them on."""

    def __init__(self, read: Callable[[], Measurement], record: Record) -> None:
        """Args: takes a cumulative reading of the open window, takes the epochs that it settles."""
        super().__init__()
        self._read = read
        self._record = record
        self._pending: list[tuple[float, float, dict[str, float]]] = []
        self._energy_so_far_j: float | None = None
        self._recorded = 0
        self._epoch_began = self._last_reading = time.perf_counter()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """The first epoch begins now."""
        self._epoch_began = self._last_reading = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note the epoch; settle all that are pending when a reading is due."""
        now = time.perf_counter()
        values = dict(logs or {})
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        self._pending.append((time.time(), now - self._epoch_began, values))
        self._epoch_began = now
        # The last epochs wait for the closed window: its edges are better than a look inside, and
        # their energies then add to its total.
        is_last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if not is_last and now - self._last_reading >= SECONDS_BETWEEN_READINGS:
            self._last_reading = now
            self.settle(self._read())

    def settle(self, reading: Measurement) -> None:
        """Share what `reading` has more than the last one among the pending epochs."""
        before, after = self._energy_so_far_j, reading.energy_j
        total_time_s = sum(time_s for _, time_s, _ in self._pending)
        epochs = []
        for ended_at, time_s, values in self._pending:
            self._recorded += 1
            share = time_s / total_time_s if total_time_s else 1 / len(self._pending)
            epochs.append(
                Epoch(
                    number=self._recorded,
                    ended_at=ended_at,
                    time_s=time_s,
                    energy_j=None if after is None else (after - (before or 0)) * share,
                    train_loss=values["loss"],
                    train_accuracy=values["accuracy"],
                    val_loss=values["val_loss"],
                    val_accuracy=values["val_accuracy"],
                    learning_rate=values["learning_rate"],
                    reading=reading,
                )
            )
        self._pending.clear()
        if epochs:
            # A reading may fail in between: what the next one has then covers that time, too.
            self._energy_so_far_j = before if after is None else after
            self._record(epochs)
