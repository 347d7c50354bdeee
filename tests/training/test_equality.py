"""The same weights as `model.fit`: what the whole design rests on."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from work import (
    BATCH_SIZE,
    ROWS,
    binary,
    cnn_with_batch_norm,
    graph_fit,
    images,
    keras_fit,
    layers,
    mlp,
    same_state,
    state,
    table,
)

optimizers = keras.optimizers
schedules = optimizers.schedules

OPTIMIZERS: dict[str, Callable[[], keras.Optimizer]] = {
    "sgd": lambda: optimizers.SGD(0.1),
    "sgd_momentum": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5),
    "adam": lambda: optimizers.Adam(0.01, weight_decay=0.02),
    "adamw": lambda: optimizers.AdamW(0.01),
    "nadam": lambda: optimizers.Nadam(0.01),
    "adamax": lambda: optimizers.Adamax(0.01),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "lion": lambda: optimizers.Lion(0.01),
}

SCHEDULES: dict[str, Callable[[], Any]] = {
    "exponential": lambda: schedules.ExponentialDecay(0.1, 5, 0.9),
    "polynomial": lambda: schedules.PolynomialDecay(0.1, 12, 0.01),
    "cosine": lambda: schedules.CosineDecay(0.01, 12, warmup_target=0.1, warmup_steps=4),
    "cosine_restarts": lambda: schedules.CosineDecayRestarts(0.1, 5),
}


@pytest.mark.parametrize(
    ("build", "data"),
    [(mlp, table()), (cnn_with_batch_norm, images()), (binary, table(4, 2))],
    ids=["mlp", "cnn_with_batch_norm", "binary"],
)
def test_state_equals_that_of_model_fit_to_the_last_bit_after_1_2_and_7_epochs(
    build: Callable[[], keras.Model], data: Any
) -> None:
    reference = build()
    trained = 0
    for epochs in (1, 2, 7):
        keras_fit(reference, data, range(trained, epochs))
        trained = epochs
        model = build()
        graph_fit(model, data, epochs)
        assert same_state(state(model), state(reference)), f"after {epochs} epochs"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_gives_the_state_of_model_fit(name: str) -> None:
    reference, model = (mlp(OPTIMIZERS[name]()) for _ in range(2))
    keras_fit(reference, table(), range(2))
    graph_fit(model, table(), 2)
    assert same_state(state(model), state(reference))


def test_clipping_accumulation_and_moving_averages_of_weights_are_those_of_model_fit() -> None:
    def adam() -> keras.Optimizer:
        return optimizers.Adam(
            0.01, global_clipnorm=0.5, use_ema=True, gradient_accumulation_steps=2
        )

    (x, y), validation = table()
    reference, model = mlp(adam()), mlp(adam())
    reference.fit(x, y, batch_size=BATCH_SIZE, epochs=2, shuffle=False, verbose=0)
    graph_fit(model, ((x, y), validation), 2, shuffle_seed=None)
    assert same_state(state(model), state(reference))


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_learning_rate_schedule_gives_the_state_of_model_fit(name: str) -> None:
    reference, model = (mlp(optimizers.SGD(SCHEDULES[name]())) for _ in range(2))
    keras_fit(reference, table(), range(2))
    graph_fit(model, table(), 2)
    assert same_state(state(model), state(reference))
    assert float(model.optimizer.learning_rate) == float(reference.optimizer.learning_rate)


@pytest.mark.parametrize(
    ("policy", "floatx"),
    [
        ("float16", "float16"),
        ("float64", "float64"),
        ("mixed_float16", "float32"),
        ("mixed_bfloat16", "float32"),
    ],
)
def test_each_precision_gives_the_state_of_model_fit(policy: str, floatx: str) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    reference, model = (mlp(optimizers.SGD(0.1, momentum=0.9)) for _ in range(2))
    keras_fit(reference, table(), range(2))
    graph_fit(model, table(), 2)
    assert same_state(state(model), state(reference))


def test_loss_scaling_skips_the_batches_that_model_fit_skips() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    scaled = [
        optimizers.LossScaleOptimizer(
            optimizers.Adam(0.01), initial_scale=2.0**24, dynamic_growth_steps=3
        )
        for _ in range(2)
    ]
    reference, model = mlp(scaled[0]), mlp(scaled[1])
    keras_fit(reference, table(), range(2))
    graph_fit(model, table(), 2)
    assert float(model.optimizer.dynamic_scale) == float(reference.optimizer.dynamic_scale)
    assert float(model.optimizer.dynamic_scale) != 2.0**24
    assert int(model.optimizer.iterations) == int(reference.optimizer.iterations)
    assert same_state(state(model), state(reference))


def with_dropout_and_penalties() -> keras.Model:
    inputs = keras.Input((5,))
    hidden = layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    hidden = layers.ActivityRegularization(l1=0.001)(layers.Dropout(0.5, seed=3)(hidden))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    model.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    return model


def test_dropout_penalties_and_sample_weights_are_those_of_model_fit() -> None:
    keras.utils.set_random_seed(0)
    reference = with_dropout_and_penalties()
    model = with_dropout_and_penalties()
    model.set_weights(reference.get_weights())
    weights = np.linspace(0, 2, ROWS, dtype=np.float32)
    expected = keras_fit(reference, table(), range(3), sample_weight=weights)
    report = graph_fit(model, table(), 3, sample_weight=weights)
    assert same_state(state(model), state(reference))
    assert report.history["loss"] == expected["loss"]
    assert report.history["accuracy"] == expected["accuracy"]


def test_class_weights_are_those_of_model_fit() -> None:
    (x, y), validation = table()
    reference, model = mlp(), mlp()
    reference.fit(
        x,
        y,
        batch_size=BATCH_SIZE,
        epochs=2,
        class_weight={0: 3.0, 2: 0.5},
        shuffle=False,
        verbose=0,
    )
    graph_fit(model, ((x, y), validation), 2, class_weight={0: 3.0, 2: 0.5}, shuffle_seed=None)
    assert same_state(state(model), state(reference))


def test_metrics_over_the_epoch_are_those_of_model_fit() -> None:
    reference, model = mlp(), mlp()
    expected = keras_fit(reference, table(), range(3), validation_data=table()[1])
    report = graph_fit(model, table(), 3, validation_batch_size=BATCH_SIZE)
    assert report.history == expected


def test_batch_losses_are_those_of_each_batch_alone() -> None:
    (x, y), validation = table()
    still = optimizers.SGD(1e-30)
    model = mlp(still)
    report = graph_fit(model, ((x, y), validation), 2, shuffle_seed=None)
    alone = [
        model.evaluate(x[at : at + BATCH_SIZE], y[at : at + BATCH_SIZE], verbose=0)[0]
        for at in range(0, ROWS, BATCH_SIZE)
    ]
    assert report.batch_losses is not None
    assert report.batch_losses.shape == (2, len(alone))
    np.testing.assert_allclose(report.batch_losses, [alone, alone], rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, ROWS, 10 * ROWS], ids=["one", "full", "more_than_full"])
def test_batches_may_be_as_small_as_a_row_and_as_large_as_all(batch_size: int) -> None:
    (x, y), validation = table()
    reference, model = mlp(), mlp()
    reference.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
    graph_fit(model, ((x, y), validation), 1, batch_size=batch_size, shuffle_seed=None)
    assert same_state(state(model), state(reference))


def test_several_inputs_and_outputs_train_as_in_model_fit() -> None:
    def build() -> keras.Model:
        one, two = keras.Input((5,), name="one"), keras.Input((5,), name="two")
        both = layers.Concatenate()([one, two])
        outputs = {"a": layers.Dense(1, name="a")(both), "b": layers.Dense(3, name="b")(both)}
        model = keras.Model({"one": one, "two": two}, outputs)
        model.compile("sgd", {"a": "mse", "b": "mae"})
        return model

    (x, _), _ = table()
    inputs = {"one": x, "two": x[:, ::-1].copy()}
    targets = {"a": x[:, :1], "b": x[:, :3]}
    reference, model = build(), build()
    model.set_weights(reference.get_weights())
    expected = reference.fit(
        inputs, targets, batch_size=BATCH_SIZE, epochs=2, shuffle=False, verbose=0
    ).history
    report = graph_fit(model, ((inputs, targets), None), 2, shuffle_seed=None)
    assert same_state(state(model), state(reference))
    assert report.history == expected


def test_a_train_step_of_the_models_own_is_the_one_that_trains() -> None:
    class Signs(keras.Sequential):
        def train_step(self, data: Any) -> dict[str, Any]:
            x, _ = data
            self.layers[0].bias.assign_add(keras.ops.sum(x, axis=0)[:3])
            return {"loss": keras.ops.zeros(())}

    def build() -> keras.Model:
        random_free = keras.initializers.Constant(0.5)
        model = Signs([keras.Input((5,)), layers.Dense(3, kernel_initializer=random_free)])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    (x, y), validation = table()
    reference, model = build(), build()
    reference.fit(x, y, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    report = graph_fit(model, ((x, y), validation), 1, shuffle_seed=None)
    assert same_state(state(model), state(reference))
    assert report.batch_losses is not None and np.isnan(report.batch_losses).all()
