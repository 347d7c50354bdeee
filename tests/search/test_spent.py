"""What earlier sittings of a search have spent: nothing twice, and nothing left out."""

import time
from types import SimpleNamespace

import mlflow
import pytest
from paper_engine import Bench

from pipeline.search.spent import Spent, spent_before
from pipeline.tags import MACHINE, TRIAL
from pipeline.tracking import RecordedRun
from pipeline.tracking.search_log import BrokenOff, SearchLog
from steps import configuration as configurations


def broke_off(
    began: int, ended: int, cpu_j: float, gpu_j: float = 0.0, machine: str = "", share: float = 1.0
) -> BrokenOff:
    metrics = {
        "energy_spent_j": cpu_j + gpu_j,
        "gpu_energy_j": gpu_j,
        "emissions_kg": (cpu_j + gpu_j) / 1024,
        "time_spent_s": float(ended - began),
    }
    tags = {MACHINE: machine} if machine else {}
    return BrokenOff(RecordedRun("id", "name", "KILLED", began, {}, metrics, tags), ended, share)


def spent(*lost: BrokenOff, **told: float) -> Spent:
    log = SimpleNamespace(
        recorded=lambda: SimpleNamespace(metrics=told), unbilled=lambda: list(lost)
    )
    return spent_before(log)


def test_what_was_told_and_what_broke_off_since_add_up():
    told = {"search_energy_j": 16.0, "search_emissions_kg": 0.5, "search_time_s": 9.0}
    assert spent(**told) == Spent(16.0, 0.5, 9.0)
    assert spent(broke_off(0, 2, 4.0), **told) == Spent(20.0, 0.5 + 4 / 1024, 11.0)


def test_nothing_is_known_of_what_nobody_measured():
    assert spent() == Spent(None, None, 0.0)
    unmeasured = BrokenOff(RecordedRun("id", "name", "KILLED", 0, {}, {}, {}), 1, 1.0)
    assert spent(unmeasured) == Spent(None, None, 0.0)


def test_trainings_that_broke_off_one_after_the_other_all_count():
    assert spent(broke_off(0, 2, 4.0), broke_off(2, 5, 8.0)) == Spent(12.0, 12 / 1024, 5.0)


def test_workers_side_by_side_measured_one_cpu_and_each_its_own_gpu():
    lost = broke_off(0, 4, 8.0, 16.0, "here"), broke_off(1, 3, 4.0, 32.0, "here")
    assert spent(*lost) == Spent(8.0 + 16.0 + 32.0, 56 / 1024, 4.0)


def test_workers_on_two_machines_measured_two_cpus_at_the_same_time():
    lost = broke_off(0, 4, 8.0, machine="here"), broke_off(1, 3, 4.0, machine="there")
    assert spent(*lost) == Spent(12.0, 12 / 1024, 4.0)


def test_of_a_training_only_the_share_that_is_in_no_bill_counts():
    assert spent(broke_off(0, 4, 8.0, share=0.25)) == Spent(2.0, 2 / 1024, 1.0)


@pytest.fixture
def log(store, tmp_path):
    bench = Bench(tmp_path)
    return SearchLog(bench.search_id, bench.experiment_id)


def begin(log: SearchLog, lr: str, epochs: int, machine: str = "") -> str:
    """A training that has done some epochs of a second and 2 J each, and is not over."""
    configuration = configurations.parse({"dataset": "iris", "lr": lr})
    child = log.open_child(configuration, 0, TRIAL, {"lr": lr})
    child._begin()
    if machine:
        child.tag({MACHINE: machine})
    train(child.run_id, range(1, epochs + 1))
    return child.run_id


def train(run_id: str, epochs) -> None:
    client = mlflow.MlflowClient()
    for epoch in epochs:
        client.log_metric(run_id, "epoch_time_s", 1.0, step=epoch)
        client.log_metric(run_id, "energy_spent_j", 2.0 * epoch)
    time.sleep(0.005)


def bill(log: SearchLog) -> None:
    """The search says what it has spent, at a moment of its own."""
    time.sleep(0.005)
    log.figures({"search_time_s": 1.0})
    time.sleep(0.005)


def unbilled(log: SearchLog) -> dict[str, float]:
    return {each.run.run_id: each.spent("energy_spent_j") for each in log.unbilled()}


def test_what_broke_off_before_the_last_bill_is_in_it(log):
    log.broke_off(begin(log, "0.001", epochs=2))
    bill(log)
    assert unbilled(log) == {}


def test_of_what_was_under_way_at_the_last_bill_the_epochs_after_it_are_left(log):
    here, there = begin(log, "0.001", 3), begin(log, "0.002", 3, machine="of another")
    bill(log)
    for run_id in (here, there):
        train(run_id, [4])
    later = begin(log, "0.003", epochs=2)
    for run_id in (here, there, later):
        log.broke_off(run_id)
    # The search sees what its own machine does; of another one, only what has ended.
    assert unbilled(log) == {here: 2.0, there: 8.0, later: 4.0}


def test_of_what_did_nothing_since_the_last_bill_nothing_is_left(log):
    run_id = begin(log, "0.001", epochs=3)
    bill(log)
    log.broke_off(run_id)
    assert unbilled(log) == {run_id: 0.0}
