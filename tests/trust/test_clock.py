"""The clock is set in mid-run: neither what is measured nor its order hangs on it."""

import time

import mlflow
import pytest
from extent import TALLY

RUN = ("run", "--dataset", "iris", "--hidden", "6", "--max-epochs", "3", "--country", "FRA")
YEAR_S = 365 * 86400.0
MOST_POWER_W = 10_000.0


@pytest.mark.parametrize("jump_s", [-YEAR_S, YEAR_S])
def test_a_clock_that_jumps_changes_no_time_no_energy_and_no_order(
    store, greenest, after_epoch, monkeypatch, jump_s
):
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    def jump():
        TALLY["faults injected"] += 1
        ahead[0] += jump_s

    after_epoch(1, jump)
    began = time.monotonic()
    code, _, err = greenest(*RUN)
    took_s = time.monotonic() - began
    assert code == 0, err
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("green").experiment_id])
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "BUDGET_EXHAUSTED")
    metrics = run.data.metrics
    assert metrics["epochs"] == 3
    assert 0 < metrics["time_spent_s"] < took_s
    assert 0 < metrics["energy_spent_j"] < MOST_POWER_W * took_s
    for name, total in (("epoch_time_s", "time_spent_s"), ("epoch_energy_j", "energy_spent_j")):
        points = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in points] == [1, 2, 3]
        assert all(point.value >= 0 for point in points)
        assert sum(point.value for point in points) <= metrics[total] * 1.001
    # What is told of a run again and again keeps its last value.
    spent = client.get_metric_history(run.info.run_id, "energy_spent_j")
    assert metrics["energy_spent_j"] == max(point.value for point in spent)
    assert greenest("sync")[1] == "nothing waits: MLflow has everything\n"
