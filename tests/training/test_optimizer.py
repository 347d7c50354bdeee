"""Optimizers by name, and learning-rate schedules over the step budget of the run."""

import keras
import numpy as np
import pytest

from steps.configuration import OPTIMIZERS, SCHEDULES, Configuration
from steps.train.optimizer import build_optimizer, build_schedule

STEPS, EPOCHS = 10, 40
TOP = 0.1


def rates(**given) -> np.ndarray:
    configuration = Configuration(max_epochs=EPOCHS, **given)
    schedule = build_schedule(configuration, TOP, STEPS)
    if not callable(schedule):
        return np.full(STEPS * EPOCHS, schedule)
    return np.array([float(schedule(step)) for step in range(STEPS * EPOCHS)])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_keras_own_with_the_rate_and_the_decay_that_were_asked_for(name):
    built = build_optimizer(Configuration(optimizer=name, weight_decay=0.01), TOP, STEPS)
    assert type(built).__name__.lower() == name
    assert float(built.learning_rate) == pytest.approx(TOP)
    assert built.weight_decay == 0.01


def test_without_a_weight_decay_each_optimizer_keeps_its_own_default():
    for name in ("adam", "adamw"):
        built = build_optimizer(Configuration(optimizer=name), TOP, STEPS)
        assert built.weight_decay == getattr(keras.optimizers, type(built).__name__)().weight_decay


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_momentum_reaches_the_optimizers_that_have_one(name):
    built = build_optimizer(Configuration(optimizer=name, momentum=0.9), TOP, STEPS)
    assert built.momentum == 0.9


def test_constant_schedule_is_a_plain_number_so_that_runs_can_share_a_graph():
    assert build_schedule(Configuration(), TOP, STEPS) == TOP


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_schedule_exceeds_the_rate_or_falls_below_zero(name):
    told = rates(lr_schedule=name)
    assert told.max() <= TOP * (1 + 1e-6)
    assert told.min() >= 0
    assert told[0] == pytest.approx(0.025 if name == "cyclical" else TOP)


def test_exponential_falls_by_the_same_factor_at_each_step_to_a_hundredth_at_the_horizon():
    told = rates(lr_schedule="exponential")
    steps = np.arange(STEPS * EPOCHS)
    np.testing.assert_allclose(told, TOP * 0.01 ** (steps / (STEPS * EPOCHS)), rtol=1e-4)


def test_polynomial_falls_in_a_line_to_a_hundredth_at_the_horizon():
    told = rates(lr_schedule="polynomial")
    steps = np.arange(STEPS * EPOCHS) / (STEPS * EPOCHS)
    np.testing.assert_allclose(told, TOP * (1 - 0.99 * steps), rtol=1e-4)


def test_cosine_falls_to_nothing_at_the_horizon_whatever_the_batch_size():
    steps = np.arange(STEPS * EPOCHS) / (STEPS * EPOCHS)
    np.testing.assert_allclose(
        rates(lr_schedule="cosine"), TOP * (1 + np.cos(np.pi * steps)) / 2, atol=1e-6
    )


def test_cosine_restarts_comes_back_twice_each_cycle_twice_as_long():
    told = rates(lr_schedule="cosine_restarts")
    restarts = [step for step in range(1, len(told)) if told[step] > told[step - 1]]
    assert len(restarts) == 2
    assert restarts[1] - restarts[0] == pytest.approx(2 * restarts[0], abs=2)


def test_cyclical_is_a_triangle_of_eight_epochs():
    told = rates(lr_schedule="cyclical")
    period = 8 * STEPS
    np.testing.assert_allclose(told[:period], told[period : 2 * period], rtol=1e-4)
    assert told.argmax() == period // 2
    np.testing.assert_allclose(np.abs(np.diff(told[:period])), 0.075 / (period // 2), rtol=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_rises_in_a_line_and_then_follows_the_schedule_from_its_start(name):
    told = rates(lr_schedule=name, warmup_epochs=4)
    warm = 4 * STEPS
    np.testing.assert_allclose(told[:warm], TOP * np.arange(1, warm + 1) / warm, rtol=1e-5)
    assert told[warm] == pytest.approx(0.025 if name == "cyclical" else TOP)
    if name == "cosine":
        assert told[-1] < 0.01 * TOP
