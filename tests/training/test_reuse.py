"""One graph for fits that differ in numbers only, and never one too many or too few."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from work import graph_fit, layers, mlp, same_state, state, table

from steps.train import fit
from steps.train.reuse import GRAPHS_KEPT, GraphCache

optimizers = keras.optimizers


class Count:
    """How often Python runs the model's training step: once per trace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.traces = 0
        original = keras.Sequential.train_step

        def counted(model: keras.Model, data: Any) -> Any:
            self.traces += 1
            return original(model, data)

        monkeypatch.setattr(keras.Sequential, "train_step", counted)


def test_no_epoch_retraces_whatever_callbacks_set(monkeypatch: pytest.MonkeyPatch) -> None:
    count = Count(monkeypatch)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    graph_fit(mlp(), table(), 8, callbacks=[schedule])
    assert count.traces == 1


FITS_OF_ONE_GRAPH = {
    "learning rate, momentum, weight decay": (
        lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1),
        lambda: optimizers.SGD(0.02, momentum=0.3, weight_decay=0.01),
    ),
    "rmsprop": (
        lambda: optimizers.RMSprop(0.1, momentum=0.9),
        lambda: optimizers.RMSprop(0.01, momentum=0.1),
    ),
    "adamw": (lambda: optimizers.AdamW(0.1), lambda: optimizers.AdamW(0.01, weight_decay=0.3)),
}


@pytest.mark.parametrize("name", FITS_OF_ONE_GRAPH)
def test_a_reused_graph_gives_the_state_of_a_fresh_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = FITS_OF_ONE_GRAPH[name]
    alone = mlp(second(), seed=2)
    fresh = graph_fit(alone, table(), 2, shuffle_seed=4, cache=GraphCache())
    count = Count(monkeypatch)
    other, model = mlp(first(), seed=1), mlp(second(), seed=2)
    paid = graph_fit(other, table(), 3)
    weights_of_other = state(other)
    report = graph_fit(model, table(), 2, shuffle_seed=4)
    assert count.traces == 1
    assert same_state(state(model), state(alone))
    assert same_state(state(other), weights_of_other)
    assert report.history == fresh.history
    assert (paid.graph_reused, report.graph_reused) == (False, True)
    assert report.compile_time_s == 0
    assert report.graph_compile_time_s == paid.compile_time_s
    assert report.graph_key == paid.graph_key is not None


def with_dropout(seed: int) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), layers.Dropout(0.5, seed=seed), layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


def test_dropout_in_a_reused_graph_follows_the_seed_of_its_own_model() -> None:
    (x, _), _ = table()
    data = (x, x[:, :3]), None
    fresh, model = with_dropout(5), with_dropout(5)
    graph_fit(fresh, data, 2, cache=GraphCache())
    graph_fit(with_dropout(4), data, 2)
    assert graph_fit(model, data, 2).graph_reused
    assert same_state(state(model), state(fresh))


DIFFERENT = {
    "width": (lambda: mlp(), lambda: mlp(width=9)),
    "optimizer": (lambda: mlp("adam"), lambda: mlp("nadam")),
    "momentum or none": (
        lambda: mlp(optimizers.SGD(0.1)),
        lambda: mlp(optimizers.SGD(0.1, momentum=0.9)),
    ),
    "a number inside the optimizer": (
        lambda: mlp(optimizers.Adam(0.1)),
        lambda: mlp(optimizers.Adam(0.1, beta_1=0.5)),
    ),
    "schedule": (
        lambda: mlp(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 10))),
        lambda: mlp(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 20))),
    ),
    "metrics": (
        lambda: mlp(),
        lambda: _recompiled(metrics=["accuracy", "sparse_top_k_categorical_accuracy"]),
    ),
}


def _recompiled(**compiled: Any) -> keras.Model:
    model = mlp()
    model.compile("adam", "sparse_categorical_crossentropy", **compiled)
    return model


@pytest.mark.parametrize("difference", DIFFERENT)
def test_what_is_not_a_variable_of_the_graph_gets_a_graph_of_its_own(difference: str) -> None:
    one, other = (build() for build in DIFFERENT[difference])
    graph_fit(one, table(), 1)
    assert not graph_fit(other, table(), 1).graph_reused


@pytest.mark.parametrize("batch_size", [1, 17, 1000])
def test_other_batch_sizes_and_numbers_of_rows_share_a_graph_that_changes_no_bit(
    batch_size: int,
) -> None:
    (x, y), (x_val, y_val) = table()
    fewer = (x[:-7], y[:-7]), (x_val[:-3], y_val[:-3])
    alone, after = mlp(seed=2), mlp(seed=2)
    expected = graph_fit(alone, fewer, 2, batch_size=batch_size, cache=GraphCache())
    cache = GraphCache()
    graph_fit(mlp(), table(), 1, batch_size=32, cache=cache)
    report = graph_fit(after, fewer, 2, batch_size=batch_size, cache=cache)
    assert report.graph_reused
    assert same_state(state(alone), state(after))
    assert report.history == expected.history


def test_xla_compiles_for_each_batch_size() -> None:
    graph_fit(mlp(), table(), 1, jit_compile="on")
    assert not graph_fit(mlp(), table(), 1, batch_size=17, jit_compile="on").graph_reused


def test_precision_gets_graphs_of_its_own() -> None:
    graph_fit(mlp(), table(), 1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert not graph_fit(mlp(), table(), 1).graph_reused


def a_loss(target: Any, prediction: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(target, prediction)


def test_a_model_whose_configuration_may_not_say_all_never_shares_its_graph() -> None:
    def build() -> keras.Model:
        model = mlp()
        model.compile("sgd", a_loss)
        return model

    assert graph_fit(build(), table(), 1).graph_key is None
    assert not graph_fit(build(), table(), 1).graph_reused


def test_adapted_layers_never_share_a_graph_since_it_holds_what_they_learnt() -> None:
    (x, y), validation = table()
    predictions = []
    for scale in (1.0, 100.0):
        normalization = layers.Normalization()
        normalization.adapt(x * scale)
        model = keras.Sequential(
            [
                keras.Input((5,)),
                normalization,
                layers.Dense(3, "softmax", kernel_initializer="ones"),
            ]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        graph_fit(model, ((x * scale, y), validation), 1)
        predictions.append(model.get_weights()[-2])
    np.testing.assert_allclose(*predictions, rtol=1e-3)


def test_models_of_past_fits_are_let_go_and_few_graphs_are_kept() -> None:
    dead = []
    for width in range(2, 2 + GRAPHS_KEPT + 2):
        model = mlp(width=width)
        graph_fit(model, table(), 1)
        dead.append(weakref.ref(model))
        del model
    gc.collect()
    assert [reference() for reference in dead] == [None] * len(dead)
    assert len(fit.GRAPHS._kept) == GRAPHS_KEPT


def test_tracing_is_told_apart_and_a_reused_graph_has_none() -> None:
    entered: list[str] = []

    @contextmanager
    def compiling() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    report = graph_fit(mlp(), table(), 1, compiling=compiling)
    assert entered == ["in", "out"]
    assert report.compile_time_s is not None and report.compile_time_s > 0
    graph_fit(mlp(), table(), 1, compiling=compiling)
    assert entered == ["in", "out"]


def test_variables_of_the_model_are_its_own_again_after_the_fit() -> None:
    model = mlp()
    model.optimizer.build(model.trainable_variables)
    before = [v.value for v in (*model.variables, *model.optimizer.variables)]
    graph_fit(model, table(), 1)
    after = [v.value for v in (*model.variables, *model.optimizer.variables)]
    assert all(isinstance(v, tf.Variable) for v in after)
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert type(model.optimizer.weight_decay) in (float, type(None))
