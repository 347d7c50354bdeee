"""Curves reach MLflow while a long training goes on, and each point arrives once."""

import pytest
from mlflow.exceptions import MlflowException

from energy import Measurement
from pipeline import tracking
from pipeline.journal import Journal
from pipeline.tracking import run_log
from steps.configuration import Configuration
from steps.train.epochs import Epoch


def epoch(number: int) -> Epoch:
    reading = Measurement("training", duration_s=float(number))
    return Epoch(
        number, 1e9 + number, 1.0, None, 1 / number, 0.5, 1 / number, 0.5, 0.1, reading, None
    )


@pytest.fixture
def log(store):
    return tracking.RunLog.start(tracking.open_experiment("green"), Configuration())


def curve(store, log) -> list[tuple[int, float]]:
    history = store.get_metric_history(log.run_id, "val_loss")
    return [(point.step, point.value) for point in history]


def test_epochs_reach_mlflow_while_training_goes_on(store, log, monkeypatch):
    monkeypatch.setattr(run_log, "SECONDS_BETWEEN_DELIVERIES", 0.0)
    log.record([epoch(1), epoch(2)])
    log._delivery.join()
    assert curve(store, log) == [(1, 1.0), (2, 0.5)]
    monkeypatch.setattr(run_log, "SECONDS_BETWEEN_DELIVERIES", 1e9)
    log.record([epoch(3)])
    assert len(curve(store, log)) == 2
    log.deliver()
    assert curve(store, log) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_server_that_fails_meanwhile_costs_nothing_but_a_later_delivery(store, log, monkeypatch):
    monkeypatch.setattr(run_log, "SECONDS_BETWEEN_DELIVERIES", 0.0)
    answers = log._client.log_batch

    def away(*_, **__):
        raise MlflowException("no answer")

    monkeypatch.setattr(log._client, "log_batch", away)
    log.record([epoch(1)])
    log._delivery.join()
    assert curve(store, log) == []
    monkeypatch.setattr(log._client, "log_batch", answers)
    log.deliver()
    assert curve(store, log) == [(1, 1.0)]


def test_what_cannot_be_delivered_stays_in_the_journal(store, log, monkeypatch):
    def away(*_, **__):
        raise MlflowException("no answer")

    with pytest.raises(MlflowException), log:
        log.record([epoch(1)])
        monkeypatch.setattr(log._client, "log_batch", away)
        log.deliver()
    assert len(list(Journal(log.run_id).entries())) == 1
