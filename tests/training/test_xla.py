"""XLA: the same training within rounding, tried only where it can pay, and little."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import cnn_with_batch_norm, farthest, graph_fit, images, mlp, state, table

from steps.train import runner, xla

TOLERANCE = 1e-5
"""Of float32 weights of order 1 after 4 epochs of 6 batches."""


def test_with_xla_the_state_is_that_without_within_rounding() -> None:
    plain, compiled = mlp(), mlp()
    expected = graph_fit(plain, table(), 4)
    report = graph_fit(compiled, table(), 4, jit_compile="on")
    assert farthest(state(compiled), state(plain)) < TOLERANCE
    assert (report.jit_compile, report.engine) == ("on", "graph")
    for name, values in expected.history.items():
        assert report.history[name] == pytest.approx(values, abs=1e-5)
    assert expected.batch_losses is not None and report.batch_losses is not None
    np.testing.assert_allclose(report.batch_losses, expected.batch_losses, atol=1e-5)


@pytest.mark.parametrize("wins", [True, False])
def test_auto_keeps_the_faster_graph_and_its_trial_is_training(
    wins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xla, "COMPILE_TIMES", 0.0)
    monkeypatch.setattr(xla, "trial_steps", lambda step_time_s, steps: 2)
    original = runner.EpochRunner._stretch

    def timed(self: Any, graph: Any, *args: Any) -> Any:
        result, _ = original(self, graph, *args)
        return result, 1.0 if (graph is self._graphs.xla) == wins else 2.0

    monkeypatch.setattr(runner.EpochRunner, "_stretch", timed)
    plain, model = mlp(), mlp()
    expected = graph_fit(plain, table(), 6)
    report = graph_fit(model, table(), 6, jit_compile="auto")
    assert report.jit_compile == ("on" if wins else "off")
    assert "µs with XLA" in report.jit_compile_reason
    assert farthest(state(model), state(plain)) < TOLERANCE
    assert expected.batch_losses is not None and report.batch_losses is not None
    np.testing.assert_allclose(report.batch_losses, expected.batch_losses, atol=1e-5)
    assert report.history["loss"] == pytest.approx(expected.history["loss"], abs=1e-5)
    assert report.history["val_loss"] == pytest.approx(expected.history["val_loss"], abs=1e-5)


def test_auto_does_not_try_convolutions_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla, "COMPILE_TIMES", 0.0)
    monkeypatch.setattr(xla.tf.config, "list_logical_devices", lambda kind: [])
    report = graph_fit(cnn_with_batch_norm(), images(), 3, jit_compile="auto")
    assert report.jit_compile == "off"
    assert "Conv2D" in report.jit_compile_reason


def test_auto_does_not_compile_for_a_few_epochs() -> None:
    report = graph_fit(mlp(), table(), 3, jit_compile="auto")
    assert report.jit_compile == "off"
    assert "not expected" in report.jit_compile_reason


def test_auto_takes_up_what_an_earlier_fit_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla, "COMPILE_TIMES", 0.0)
    first = graph_fit(mlp(), table(), 4, jit_compile="auto")
    second = graph_fit(mlp(), table(), 1, jit_compile="auto")
    assert "µs with XLA" in first.jit_compile_reason
    assert second.jit_compile_reason == first.jit_compile_reason
    assert second.jit_compile == first.jit_compile
    assert second.graph_reused
    assert second.graph_compile_time_s == first.compile_time_s


@given(st.floats(1e-6, 1e3), st.integers(1, 10_000))
def test_a_trial_is_at_least_a_batch_and_at_most_an_epoch(step_time_s: float, steps: int) -> None:
    tried = xla.trial_steps(step_time_s, steps)
    assert 1 <= tried <= steps
    assert tried == 1 or (tried - 1) * step_time_s <= xla.TRIAL_S


@given(st.integers(0, 10_000), st.floats(1e-6, 10), st.integers(0, 10**6), st.floats(0.01, 100))
def test_a_trial_never_costs_more_than_all_the_time_that_remains(
    operations: int, step_time_s: float, steps: int, compile_time_s: float
) -> None:
    if xla.is_worth_a_trial(operations, step_time_s, steps, compile_time_s):
        assert xla.COMPILE_TIMES * compile_time_s < steps * step_time_s
