"""Keras' callbacks do here what they do in `model.fit`."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from work import ROWS, graph_fit, keras_fit, mlp, same_state, state, table

from steps.train.rows import epoch_order

callbacks = keras.callbacks


class Log(callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.logs: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append("train begins")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"epoch {epoch} begins")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(f"batch {batch} ends")

    def on_test_end(self, logs: Any = None) -> None:
        self.calls.append("test ends")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"epoch {epoch} ends")
        self.logs.append(dict(logs))

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append("train ends")


def test_hooks_come_in_the_order_and_with_the_logs_of_model_fit_with_one_execution_per_epoch() -> (
    None
):
    data, seen, expected = table(), Log(), Log()
    graph_fit(mlp(), data, 2, callbacks=[seen], shuffle_seed=None, validation_batch_size=16)
    mlp(steps_per_execution=6).fit(
        *data[0],
        validation_data=data[1],
        batch_size=16,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[expected],
    )
    assert seen.calls == expected.calls
    assert seen.logs == expected.logs


def test_early_stopping_stops_and_gives_back_the_best_weights() -> None:
    first = mlp()
    graph_fit(first, table(), 1)
    model = mlp()
    stopping = callbacks.EarlyStopping(
        "val_loss", min_delta=1e9, patience=2, restore_best_weights=True
    )
    report = graph_fit(model, table(), 50, callbacks=[stopping])
    assert len(report.history["loss"]) == 3
    assert len(report.epoch_times_s) == 3
    assert same_state(model.get_weights(), first.get_weights())


def test_model_checkpoint_saves_what_the_model_is_after_the_epoch(tmp_path: Path) -> None:
    model = mlp()
    path = str(tmp_path / "best.weights.h5")
    graph_fit(
        model, table(), 2, callbacks=[callbacks.ModelCheckpoint(path, save_weights_only=True)]
    )
    saved = mlp(seed=5)
    saved.load_weights(path)
    assert same_state(saved.get_weights(), model.get_weights())


def test_reduce_lr_on_plateau_changes_the_rate_that_trains() -> None:
    model = mlp(keras.optimizers.SGD(0.1))
    plateau = callbacks.ReduceLROnPlateau("val_loss", factor=0.5, min_delta=1e9, patience=1)
    report = graph_fit(model, table(), 4, callbacks=[plateau])
    assert report.history["learning_rate"] == pytest.approx([0.1, 0.1, 0.05, 0.025])


def test_learning_rate_scheduler_gives_the_weights_of_model_fit() -> None:
    rates = [0.5, 0.1, 0.02]
    reference, model = (mlp(keras.optimizers.SGD(0.1)) for _ in range(2))
    for epoch, rate in enumerate(rates):
        reference.optimizer.learning_rate = rate
        keras_fit(reference, table(), range(epoch, epoch + 1))
    graph_fit(model, table(), 3, callbacks=[callbacks.LearningRateScheduler(lambda e: rates[e])])
    assert same_state(state(model), state(reference))


def test_terminate_on_nan_ends_at_the_epoch_of_the_first_nan() -> None:
    model = mlp(keras.optimizers.SGD(1e30))
    report = graph_fit(model, table(), 50, callbacks=[callbacks.TerminateOnNaN()])
    assert len(report.epoch_times_s) == 1
    assert report.batch_losses is not None and np.isfinite(report.batch_losses[0, 0])


class Interrupt(callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore_goes_on_to_the_weights_of_an_uninterrupted_fit(tmp_path: Path) -> None:
    whole = mlp()
    graph_fit(whole, table(), 4)
    broken = mlp()
    with pytest.raises(KeyboardInterrupt):
        backup = callbacks.BackupAndRestore(str(tmp_path / "backup"))
        graph_fit(broken, table(), 4, callbacks=[backup, Interrupt()])
    resumed = mlp(seed=1)
    backup = callbacks.BackupAndRestore(str(tmp_path / "backup"))
    report = graph_fit(resumed, table(), 4, callbacks=[backup])
    assert len(report.epoch_times_s) == 2
    assert same_state(state(resumed), state(whole))


def test_an_interrupted_fit_leaves_the_model_what_it_had_learnt() -> None:
    reference, model = mlp(), mlp()
    graph_fit(reference, table(), 2)
    with pytest.raises(KeyboardInterrupt):
        graph_fit(model, table(), 4, callbacks=[Interrupt()])
    assert same_state(state(model), state(reference))


def test_a_callback_may_predict_during_the_fit_and_after_it_the_model_still_predicts() -> None:
    (x, y), validation = table()
    model, during = mlp(), []
    predict = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: during.append(model.predict(x, verbose=0))
    )
    graph_fit(model, ((x, y), validation), 2, callbacks=[predict])
    after = model.predict(x, verbose=0)
    assert np.array_equal(during[-1], after)
    assert not np.array_equal(during[0], after)
    model.fit(x, y, epochs=1, batch_size=ROWS, verbose=0)
    assert not np.array_equal(model.predict(x, verbose=0), after)


def test_a_model_goes_on_in_model_fit_where_the_graph_left_it() -> None:
    reference, model = mlp(), mlp()
    keras_fit(reference, table(), range(3))
    graph_fit(model, table(), 2)
    keras_fit(model, table(), range(2, 3))
    assert same_state(state(model), state(reference))


def test_every_epoch_has_another_order_and_each_has_every_row() -> None:
    orders = [epoch_order(ROWS, 0, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(ROWS)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], epoch_order(ROWS, 1, 0))
