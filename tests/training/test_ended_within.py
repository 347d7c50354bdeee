"""An epoch that may end before its last batch: the same training until then, and validated."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from work import BATCH_SIZE, ROWS, graph_fit, mlp, same_state, state, table

from energy import EnergyMeter
from steps.configuration import Configuration
from steps.outcome import Outcome
from steps.partition import partition
from steps.preprocess import preprocess
from steps.train import Progress, runner, train

STEPS = 6


@pytest.fixture
def asked_after_each_batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_QUESTIONS", 1e-9)
    yield


@pytest.mark.usefixtures("asked_after_each_batch")
@pytest.mark.parametrize("jit_compile", ["off", "on"])
def test_asking_changes_nothing_that_is_learned_or_told(jit_compile: str) -> None:
    questions: list[int] = []
    plain, asked = mlp(), mlp()
    expected = graph_fit(plain, table(), 3, jit_compile=jit_compile)
    report = graph_fit(
        asked,
        table(),
        3,
        jit_compile=jit_compile,
        ends_within=lambda: bool(questions.append(1)),
    )
    assert len(questions) == 3 * (STEPS - 1)  # after the last batch the epoch is over anyway
    assert same_state(state(asked), state(plain))
    assert report.history == expected.history
    assert not report.ended_within
    np.testing.assert_array_equal(report.batch_losses, expected.batch_losses)


@pytest.mark.usefixtures("asked_after_each_batch")
@pytest.mark.parametrize("trained", [1, 4])
def test_an_ended_epoch_has_trained_its_first_batches_alone_and_is_validated(trained: int) -> None:
    questions: list[int] = []

    def enough() -> bool:
        questions.append(1)
        return len(questions) == trained

    (x, y), validation = table()
    model, reference = mlp(), mlp()
    report = graph_fit(model, ((x, y), validation), 3, shuffle_seed=None, ends_within=enough)
    rows = trained * BATCH_SIZE
    reference.fit(x[:rows], y[:rows], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    assert same_state(state(model), state(reference))
    assert report.ended_within
    assert len(report.epoch_times_s) == 1
    loss, accuracy = reference.evaluate(*validation, verbose=0)
    assert report.history["val_loss"] == pytest.approx([loss], rel=1e-5)
    assert report.history["val_accuracy"] == pytest.approx([accuracy])
    assert report.batch_losses is not None and report.batch_losses.shape == (1, STEPS)
    assert np.isfinite(report.batch_losses[0]).sum() == trained


def test_short_epochs_are_not_asked_about() -> None:
    def refused() -> bool:
        raise AssertionError("asked within an epoch of milliseconds")

    assert ROWS < 100
    graph_fit(mlp(), table(), 3, ends_within=refused)


def test_short_epochs_are_one_call_each_once_it_is_known_how_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[int, int]] = []
    original = runner.EpochRunner._run

    def counted(self: Any, graph: Any, order: Any, seed: Any, first: int, last: int, **more: Any):
        calls.append((first, last))
        return original(self, graph, order, seed, first, last, **more)

    monkeypatch.setattr(runner.EpochRunner, "_run", counted)
    graph_fit(mlp(), table(), 3, ends_within=lambda: False)
    assert calls[0] == (0, 1)
    assert calls[-2:] == [(0, STEPS)] * 2


@pytest.mark.usefixtures("asked_after_each_batch")
def test_a_training_given_up_within_an_epoch_is_capped_and_says_so() -> None:
    asked: list[Progress] = []

    def give_up(progress: Progress) -> bool:
        asked.append(progress)
        return len(asked) == 2

    configuration = dataclasses.replace(Configuration(), dataset="iris", batch_size=16)
    dataset = preprocess(configuration)
    parts = partition(dataset, "60-20-20", "standardization", 0)
    training = train(dataset, parts, configuration, EnergyMeter([]), give_up=give_up)
    assert training.outcome is Outcome.CAPPED
    assert training.epochs == 1
    assert training.caution == "epoch 1 was given up before its end"
    assert [(progress.epoch, progress.val_accuracy) for progress in asked] == [(1, None), (1, None)]
    assert asked[0].before_s <= asked[0].spent_s <= asked[1].spent_s
