"""Curves reach MLflow while a long training goes on, and each point arrives once."""

import pytest
from mlflow.exceptions import MlflowException

from energy import Measurement
from pipeline import tracking
from pipeline.journal import Journal
from pipeline.tracking import patience, run_log
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


@pytest.fixture
def no_patience(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)


def away(*_, **__):
    raise MlflowException("no answer")


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


def test_what_training_cost_so_far_is_sent_once_per_delivery(store, log):
    for number in range(1, 9):
        log.record([epoch(number)])
    log.deliver()
    assert [each.value for each in store.get_metric_history(log.run_id, "epochs")] == [8.0]


@pytest.mark.parametrize("error", [MlflowException("no answer"), OSError(28, "no space")])
def test_server_that_fails_meanwhile_costs_nothing_but_a_later_delivery(
    store, log, monkeypatch, capfd, error
):
    monkeypatch.setattr(run_log, "SECONDS_BETWEEN_DELIVERIES", 0.0)
    with pytest.MonkeyPatch.context() as patch:

        def fails(*_, **__):
            raise error

        patch.setattr(log._outbox._client, "log_batch", fails)
        log.record([epoch(1)])
        log._delivery.join()
    assert curve(store, log) == []
    log.deliver()
    assert curve(store, log) == [(1, 1.0)]
    assert "Traceback" not in capfd.readouterr().err


def test_what_cannot_be_delivered_stays_in_the_journal(store, log, monkeypatch, no_patience):
    with log:
        log.record([epoch(1)])
        monkeypatch.setattr(log._outbox._client, "log_batch", away)
        log.deliver()
    assert [letter.kind for letter in Journal(log.run_id).letters()] == ["figures", "status"]


def test_a_run_whose_store_is_away_answers_for_itself(store, log, monkeypatch, no_patience):
    with log:
        monkeypatch.setattr(log._outbox._client, "log_batch", away)
        monkeypatch.setattr(log._client._client, "get_run", away)
        log.figures({"val_accuracy": 0.5})
        log.tag({"outcome": "REACHED"})
        known = log.recorded()
    assert known.parameters == Configuration().parameters()
    assert (known.metrics["val_accuracy"], known.tags["outcome"]) == (0.5, "REACHED")
    assert known.status == "RUNNING"


def test_what_mlflow_refuses_is_raised_and_keeps_nothing_else_from_it(store, log):
    with pytest.raises(MlflowException, match="exceeds the maximum"), log:
        log.tag({"x" * 300: "too long a name"})
    run = store.get_run(log.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"]
    assert Journal.all() == []


def test_a_later_figure_counts_although_the_clock_was_set_back(store, log, monkeypatch):
    with log:
        log.figures({"energy_spent_j": 5.0})
        monkeypatch.setattr("time.time", lambda: 1e9)
        log.figures({"energy_spent_j": 3.0})
    assert store.get_run(log.run_id).data.metrics["energy_spent_j"] == 3.0


def test_a_later_command_s_figure_counts_although_the_clock_was_set_back(store, log, monkeypatch):
    from pipeline.tracking import open_run

    with log:
        log.figures({"energy_spent_j": 5.0})
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: 1e9)
        monkeypatch.setattr(open_run, "_clock", open_run._Clock())
    with tracking.RunLog(log.run_id) as later:
        later.figures({"energy_spent_j": 3.0})
    assert store.get_run(log.run_id).data.metrics["energy_spent_j"] == 3.0
