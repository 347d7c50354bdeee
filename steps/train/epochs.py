"""What each epoch gave and what it cost."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras

from energy import Measurement, Window

SECONDS_BETWEEN_READINGS = 0.5
"""A reading costs about as much as a short epoch, so epochs in between share one by their time."""


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 1.

    Attributes:
        number: 1 for the first.
        ended_at: seconds since 1970.
        time_s: from the end of the epoch before.
        energy_j: its share of the reading that settled it; None where nothing was measured.
        reading: of the window from its opening, taken at the epoch's end or soon after.
        val_loss: None in a final training, which has no validation rows.
        val_accuracy: likewise.
        lap: of the time since the reading before; None if the training broke off.
        learning_rate: when the epoch ended; None for an epoch without a reading of its own.
    """

    number: int
    ended_at: float
    time_s: float
    energy_j: float | None
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float | None
    reading: Measurement
    lap: Measurement | None


Record = Callable[[Sequence[Epoch]], None]
"""Called inside the window, at most twice a second, with the epochs since the last call."""


class EpochRecorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Turns Keras' logs and the meter's readings into `Epoch`s and hands them on."""

    def __init__(self, window: Window, record: Record) -> None:
        """Args: the window that training runs in, and what takes the epochs as they settle."""
        super().__init__()
        self._window = window
        self._record = record
        self._pending: list[tuple[float, float, dict[str, float]]] = []
        self._energy_so_far_j: float | None = None
        self._recorded = 0
        self._last_lap: Measurement | None = None
        self._epoch_began = time.perf_counter()
        self.latest_reading: tuple[Measurement, float]
        """Since the window's opening, and when by `time.perf_counter` it was taken; there from the
        beginning of the first epoch on."""
        self.first_reading: Measurement
        """The one at the beginning of the first epoch."""

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """The first epoch begins now; what compilation took before is none of its energy."""
        self._window.lap()
        self.first_reading = self._read()
        self._energy_so_far_j = self.first_reading.energy_j
        self._epoch_began = self.latest_reading[1]

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note the epoch; settle all that are pending when a reading is due."""
        now = time.perf_counter()
        self._pending.append((time.time(), now - self._epoch_began, dict(logs or {})))
        self._epoch_began = now
        # The last epochs wait for the closed window: its edges are better than a look inside, and
        # their energies then add to its total.
        is_last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if not is_last and now - self.latest_reading[1] >= SECONDS_BETWEEN_READINGS:
            lap = self._window.lap()
            self._settle(self._read(), lap)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """The last look inside the window; the epochs that it is about wait for its closing."""
        self._last_lap = self._window.lap()

    def finish(self) -> None:
        """Settle what is pending when the window is closed, by its final measurement."""
        self._settle(self._window.measurement, self._last_lap)

    def look(self) -> Measurement:
        """At the window since its opening, now; settles nothing."""
        return self._window.read()

    def _read(self) -> Measurement:
        self.latest_reading = self._window.read(), time.perf_counter()
        return self.latest_reading[0]

    def _settle(self, reading: Measurement, lap: Measurement | None) -> None:
        """Share what `reading` has more than the last one among the pending epochs."""
        if not self._pending:
            return
        # A schedule is computed to tell its rate, which can take as long as a small epoch.
        rate = float(self.model.optimizer.learning_rate)
        before, after = self._energy_so_far_j, reading.energy_j
        total_time_s = sum(time_s for _, time_s, _ in self._pending)
        epochs: list[Epoch] = []
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
                    val_loss=values.get("val_loss"),
                    val_accuracy=values.get("val_accuracy"),
                    learning_rate=rate if len(epochs) + 1 == len(self._pending) else None,
                    reading=reading,
                    lap=lap,
                )
            )
        self._pending.clear()
        # A reading may fail in between: what the next one has then covers that time, too.
        self._energy_so_far_j = before if after is None else after
        self._record(epochs)
