from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steps.outcome import Outcome
from steps.train import TrainToAccuracy


def epochs_until_stop(rule: TrainToAccuracy, values: list[float], **more: float) -> int:
    """Lead the rule through a fit with these values, as Keras does; how many epochs it took."""
    fit = SimpleNamespace(stop_training=False)
    rule.set_model(fit)
    rule.on_train_begin()
    for epoch, value in enumerate(values):
        rule.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.5, rule.monitor: value, **more})
        if fit.stop_training:
            return epoch + 1
    return len(values)


def model_that_says(told: int) -> keras.Sequential:
    """Two classes, of which it always tells the one."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
    model.set_weights([np.zeros((1, 2)), np.eye(2)[told]])
    optimizer = keras.optimizers.SGD(1e-6)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


X, Y = np.ones((8, 1), np.float32), np.zeros(8, np.int64)


def fit(model: keras.Model, rule: TrainToAccuracy, epochs: int, **changed: object) -> int:
    options = {"x": X, "y": Y, "validation_data": (X, Y), **changed}
    history = model.fit(**options, epochs=epochs, callbacks=[rule], verbose=0)
    return len(history.epoch)


@pytest.fixture(scope="module")
def always_right() -> keras.Sequential:
    return model_that_says(0)


@pytest.fixture(scope="module")
def always_wrong() -> keras.Sequential:
    return model_that_says(1)


def test_it_stops_after_patience_epochs_in_a_row_above_the_target():
    rule = TrainToAccuracy(0.9, patience=3)
    assert epochs_until_stop(rule, [0.5, 0.91, 0.92, 0.93, 0.99]) == 4
    assert rule.outcome is Outcome.REACHED


def test_equal_to_the_target_is_not_above_it():
    rule = TrainToAccuracy(0.9, patience=1)
    assert epochs_until_stop(rule, [0.9, 0.9, 0.9]) == 3
    assert rule.outcome is Outcome.BUDGET_EXHAUSTED


def test_a_miss_breaks_the_streak():
    rule = TrainToAccuracy(0.9, patience=2)
    assert epochs_until_stop(rule, [0.95, 0.9, 0.95, 0.89, 0.95]) == 5
    assert rule.outcome is Outcome.BUDGET_EXHAUSTED
    assert epochs_until_stop(rule, [0.95, 0.9, 0.95, 0.95, 0.5]) == 4
    assert rule.outcome is Outcome.REACHED


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 0.8, 0.9, np.nextafter(0.9, 1), 1.0]), max_size=12),
    st.integers(1, 4),
)
@example([1.0, 1.0], 2)
def test_it_stops_at_the_first_epoch_that_ends_a_long_enough_streak(values, patience):
    rule = TrainToAccuracy(0.9, patience)
    streaks = [
        end
        for end in range(patience, len(values) + 1)
        if all(value > 0.9 for value in values[end - patience : end])
    ]
    assert epochs_until_stop(rule, values) == (streaks[0] if streaks else len(values))
    assert rule.outcome is (Outcome.REACHED if streaks else Outcome.BUDGET_EXHAUSTED)


@pytest.mark.parametrize("name", ["loss", "val_loss"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_told_as_diverged_at_once(name, value):
    rule = TrainToAccuracy(0.9, patience=1)
    assert epochs_until_stop(rule, [0.99, 0.99], **{name: value}) == 1
    assert rule.outcome is Outcome.DIVERGED


def test_in_a_real_fit_it_stops_and_tells_the_outcome(always_right, always_wrong):
    rule = TrainToAccuracy(0.9, patience=3)
    assert fit(always_right, rule, epochs=10) == 3
    assert rule.outcome is Outcome.REACHED
    assert fit(always_wrong, rule, epochs=5) == 5
    assert rule.outcome is Outcome.BUDGET_EXHAUSTED


def test_a_second_fit_with_the_same_instance_starts_from_nothing(always_right):
    rule = TrainToAccuracy(0.9, patience=3)
    assert fit(always_right, rule, epochs=2) == 2
    assert rule.outcome is Outcome.BUDGET_EXHAUSTED
    assert fit(always_right, rule, epochs=10) == 3
    assert fit(always_right, rule, epochs=10) == 3
    assert rule.outcome is Outcome.REACHED


def test_a_real_fit_whose_loss_becomes_nan_is_stopped_as_diverged_and_the_next_is_not(
    always_right,
):
    rule = TrainToAccuracy(0.9, patience=3)
    assert fit(model_that_says(0), rule, epochs=10, x=X * np.nan) == 1
    assert rule.outcome is Outcome.DIVERGED
    assert fit(always_right, rule, epochs=10) == 3
    assert rule.outcome is Outcome.REACHED


def test_a_fit_that_does_not_compute_the_metric_is_told_what_there_is(always_right):
    rule = TrainToAccuracy(0.9)
    with pytest.raises(ValueError, match=r"^monitor val_accuracy: not computed .* accuracy, loss"):
        fit(always_right, rule, epochs=2, validation_data=None)


def test_it_can_watch_another_metric():
    rule = TrainToAccuracy(0.9, patience=2, monitor="val_auc")
    assert epochs_until_stop(rule, [0.95, 0.95, 0.95], val_accuracy=0.1) == 2


@pytest.mark.parametrize("patience", [0, -1])
def test_a_patience_below_one_is_refused(patience):
    with pytest.raises(ValueError, match=rf"^patience {patience}: must be 1 or more$"):
        TrainToAccuracy(0.9, patience)


def test_the_test_part_never_decides():
    with pytest.raises(ValueError, match=r"^monitor test_accuracy: the test part never decides$"):
        TrainToAccuracy(0.9, monitor="test_accuracy")
