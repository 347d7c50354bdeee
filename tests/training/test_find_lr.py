"""The learning-rate finder finds the descent, stops in time, and leaves no trace."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from work import (
    binary,
    cnn_with_batch_norm,
    graph_fit,
    images,
    layers,
    mlp,
    same_state,
    softmax_dtype,
    state,
    table,
)

from steps.train.find_lr import DIVERGED, LearningRateCurve, find_lr
from steps.train.rows import epoch_order

optimizers = keras.optimizers


def found(model: keras.Model, data: Any = None, **options: Any) -> LearningRateCurve:
    (x, y), _ = data or table()
    return find_lr(model, x, y, **{"batch_size": 16, **options})


def with_dropout(optimizer: Any = "adam") -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax", dtype=softmax_dtype()),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def everything(model: keras.Model) -> list[np.ndarray]:
    return [*state(model), *map(np.array, model.metrics_variables)]


OPTIMIZERS = {
    "variable": lambda: optimizers.Adam(0.01),
    "schedule": lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 100), momentum=0.9),
    "weight decay": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "averaged weights": lambda: optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "accumulated gradients": lambda: optimizers.RMSprop(0.01, gradient_accumulation_steps=3),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [with_dropout, cnn_with_batch_norm])
def test_a_trained_model_is_given_back_to_the_last_bit(make: Any, optimizer: str) -> None:
    data = images() if make is cnn_with_batch_norm else table()
    model = make(OPTIMIZERS[optimizer]())
    graph_fit(model, data, 2)
    variables, before = list(map(id, model.optimizer.variables)), everything(model)
    found(model, data, steps=200)
    assert same_state(before, everything(model))
    assert list(map(id, model.optimizer.variables)) == variables


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_as_if_nobody_had_looked(optimizer: str) -> None:
    looked_at, other = with_dropout(OPTIMIZERS[optimizer]()), with_dropout(OPTIMIZERS[optimizer]())
    found(looked_at)
    for model in (looked_at, other):
        model.fit(*table()[0], epochs=2, shuffle=False, verbose=0)
    assert same_state(state(looked_at), state(other))


def test_the_learning_rate_can_be_set_and_read_afterwards() -> None:
    model = mlp(optimizers.SGD(0.25))
    found(model)
    assert float(model.optimizer.learning_rate) == 0.25
    model.optimizer.learning_rate = 0.5
    assert float(model.optimizer.learning_rate) == 0.5
    assert model.optimizer.get_config()["learning_rate"] == 0.5


def test_loss_scaling_is_given_back_too() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = with_dropout()
    model.fit(*table()[0], verbose=0)
    before = everything(model)
    curve = found(model)
    assert curve.chosen > 1e-5
    assert same_state(before, everything(model))


def failing(_: Any, predicted: Any) -> Any:
    checked = tf.debugging.assert_less(tf.reduce_max(predicted), 0.99)
    with tf.control_dependencies([checked]):
        return tf.reduce_mean(-tf.math.log(predicted[:, 0]))


def test_an_error_half_way_leaves_no_trace() -> None:
    model = with_dropout()
    model.compile(optimizers.Adam(0.01), failing)
    model.build()
    model.optimizer.build(model.trainable_variables)
    before = everything(model)
    with pytest.raises(tf.errors.InvalidArgumentError):
        found(model)
    assert same_state(before[: len(state(model))], state(model))
    assert float(model.optimizer.learning_rate) == np.float32(0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "lion", "adagrad", "adadelta"])
def test_loss_falls_at_the_chosen_rate(optimizer: str) -> None:
    curve = found(mlp(optimizer), end_lr=100.0 if optimizer.startswith("ada") else 10.0)
    place = int(np.flatnonzero(curve.rates == curve.chosen)[0])
    assert curve.smoothed[place - 1] > curve.smoothed[place + 1]
    assert place <= curve.smoothed.argmin()
    model = mlp(optimizer)
    model.optimizer.learning_rate = curve.chosen
    losses = graph_fit(model, table(), 10).history["loss"]
    assert losses[-1] < losses[0]


def test_the_chosen_rate_is_the_steepest_point_of_the_smoothed_curve() -> None:
    curve = found(binary(), table(4, 2))
    lowest = curve.smoothed.argmin()
    slopes = np.gradient(curve.smoothed, np.log(curve.rates))[: lowest + 1]
    assert curve.chosen == curve.rates[slopes.argmin()]


def test_rates_grow_by_one_factor_from_start_to_end() -> None:
    curve = found(mlp(), start_lr=1e-4, end_lr=1e-1, steps=31)
    np.testing.assert_allclose(np.diff(np.log(curve.rates)), np.log(1e3) / 30)
    assert curve.rates[0] == pytest.approx(1e-4)
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed) == 31
    assert curve.rates[-1] == pytest.approx(1e-1)


def test_losses_are_those_of_train_on_batch_at_these_rates() -> None:
    curve = found(mlp(), start_lr=1e-3, end_lr=1e-1, steps=12, seed=4)
    model, ((x, y), _) = mlp(), table()
    order = np.concatenate([epoch_order(len(x), 4, epoch) for epoch in range(3)])
    for step, (rate, loss) in enumerate(zip(curve.rates, curve.losses, strict=True)):
        rows = order[16 * step : 16 * (step + 1)]
        model.optimizer.learning_rate = rate
        model.reset_metrics()
        assert model.train_on_batch(x[rows], y[rows])[0] == pytest.approx(loss, rel=1e-4)


def test_it_stops_before_the_loss_is_four_times_its_best() -> None:
    curve = found(mlp("sgd"), end_lr=1e6, steps=300, sma=1)
    assert len(curve.losses) < 300
    assert np.isfinite(curve.losses).all()
    best = np.minimum.accumulate(curve.losses)
    assert (curve.losses[1:] <= DIVERGED * best[:-1]).all()


def linear() -> keras.Model:
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_it_stops_at_a_loss_that_is_not_finite() -> None:
    (x, y), _ = table()
    y = y.astype(np.float32)
    y[epoch_order(len(x), 0, 0)[16 * 4]] = np.nan
    curve = find_lr(linear(), x, y, batch_size=16, start_lr=1e-3, end_lr=0.1, steps=5)
    assert len(curve.losses) == 4


def test_a_model_that_cannot_learn_gives_no_rate_and_says_what_was_tried() -> None:
    (x, y), _ = table()
    model = mlp()
    for layer in model.layers:
        layer.trainable = False
    model.layers[-1].trainable = True
    message = r"did not fall \(.* at best\) in 100 of 100 batches at learning rates 1e-12 to 1e-10"
    with pytest.raises(ValueError, match=message):
        find_lr(model, x, y, batch_size=16, start_lr=1e-12, end_lr=1e-10)


def test_data_that_is_not_finite_gives_no_rate() -> None:
    (x, y), _ = table()
    with pytest.raises(ValueError, match="not finite, or growing at once"):
        find_lr(linear(), x, y * np.nan, batch_size=16)


def test_batches_that_differ_in_difficulty_are_no_descent() -> None:
    # Losses that fall by the order of the batches alone: no weight can do anything about them.
    steps, rows = 20, 16
    order = epoch_order(steps * rows, 0, 0)
    y = np.empty((steps * rows, 1), np.float32)
    y[order, 0] = np.repeat(np.arange(steps, 0, -1), rows)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no learning rate found"):
        find_lr(model, y * 0, y, batch_size=rows, steps=steps, start_lr=1e-9, end_lr=1e-7)


@pytest.mark.parametrize("batch_size", [1, 16, 90, 500])
def test_any_batch_size_up_to_all_rows_and_beyond(batch_size: int) -> None:
    curve = found(mlp(), batch_size=batch_size)
    assert 1e-5 < curve.chosen < 10


def test_seed_alone_decides() -> None:
    one, same, other = (found(mlp(), seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.losses, same.losses)
    assert not np.array_equal(one.losses, other.losses)


def test_labels_may_be_one_hot() -> None:
    (x, y), _ = table()
    model = mlp()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    one_hot = find_lr(model, x, np.eye(3, dtype=np.float32)[y], batch_size=16)
    np.testing.assert_allclose(one_hot.losses, found(mlp()).losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0: must be 1 or more"),
        ({"start_lr": 0.0}, "start_lr 0.0: must be a number above 0"),
        ({"start_lr": float("nan")}, "start_lr nan: must be a number above 0"),
        ({"end_lr": 1e-7}, "end_lr 1e-07: must be a number above start_lr"),
        ({"steps": 1}, "steps 1: must be 2 or more"),
        ({"sma": 0}, "sma 0: must be 1 to 100"),
        ({"steps": 20, "sma": 21}, "sma 21: must be 1 to 20"),
    ],
)
def test_values_out_of_range_are_refused_by_name(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        found(mlp(), **options)
