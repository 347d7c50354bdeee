"""A disk that fills up, and a database that another program holds: training goes on."""

import shutil
import sqlite3
import subprocess
import tempfile
import threading
from pathlib import Path

import mlflow
import pytest
from extent import LONG, TALLY

from pipeline.cache import JOURNALS
from pipeline.journal import Journal
from pipeline.tracking import patience

RUN = ("run", "--dataset", "iris", "--hidden", "6", "--max-epochs", "3", "--country", "FRA")
SMALL_DISK = "24M"


@pytest.fixture
def small_disk(tmp_path, monkeypatch, empty_database):
    """A working directory on a small disk of its own; gives a function that fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(disk))
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    monkeypatch.chdir(disk)
    shutil.copy(empty_database, disk)
    uri = f"sqlite:///{disk / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(patience, "SECONDS_BETWEEN_TRIES", 0.1)
    mlflow.set_tracking_uri(uri)

    def fill() -> None:
        TALLY["faults injected"] += 1
        with Path("filler").open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 10, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    yield fill
    mlflow.set_tracking_uri(None)
    monkeypatch.undo()
    subprocess.run(("umount", "--lazy", str(disk)), check=True)


def only_run():
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("green").experiment_id])
    return client, run


def curve(client, run):
    return [point.step for point in client.get_metric_history(run.info.run_id, "val_loss")]


@pytest.mark.parametrize("has_room_elsewhere", [True, False])
def test_a_disk_that_stays_full_costs_no_measurement(
    small_disk, greenest, after_epoch, monkeypatch, has_room_elsewhere
):
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
    if not has_room_elsewhere:
        monkeypatch.setattr(tempfile, "tempdir", str(Path.cwd()))
    after_epoch(1, small_disk)
    code, _, err = greenest(*RUN)
    assert code == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Error: MLflow")
    assert f"{JOURNALS} keeps run" in err.splitlines()[-1]
    Path("filler").unlink()
    code, out, _ = greenest("sync")
    assert code == 0, out
    client, run = only_run()
    assert run.data.tags["outcome"] == "BUDGET_EXHAUSTED"
    assert run.data.metrics["epochs"] == 3
    assert curve(client, run) == [1, 2, 3]
    if has_room_elsewhere:
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test_accuracy"] > 0
    else:
        assert run.info.status == "FAILED"
        assert "No space left" in run.data.tags["failure"]
    assert Journal.all() == []


def test_a_disk_that_somebody_makes_room_on_is_waited_for(
    small_disk, greenest, after_epoch, monkeypatch
):
    monkeypatch.setattr(patience, "PATIENCE_S", 60.0)

    def fill_for_a_while():
        small_disk()
        threading.Timer(2.0, Path("filler").absolute().unlink).start()

    after_epoch(1, fill_for_a_while)
    code, _, err = greenest(*RUN)
    assert code == 0, err
    client, run = only_run()
    assert (run.info.status, curve(client, run)) == ("FINISHED", [1, 2, 3])


@pytest.mark.parametrize("for_s", [3.0, *([40.0] if LONG else [])])
def test_a_database_that_another_program_writes_to_is_waited_for(
    store, greenest, after_epoch, for_s, tmp_path
):
    """MLflow itself waits for 20 s."""
    holding = sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)

    def lock():
        TALLY["faults injected"] += 1
        holding.execute("BEGIN EXCLUSIVE")
        threading.Timer(for_s, holding.rollback).start()

    after_epoch(1, lock)
    code, _, err = greenest(*RUN)
    assert code == 0, err
    assert "Traceback" not in err
    client, run = only_run()
    assert (run.info.status, curve(client, run)) == ("FINISHED", [1, 2, 3])


@pytest.mark.skipif(not LONG, reason="takes half a minute: TRUST=long")
def test_a_database_that_stays_locked_costs_no_measurement(
    store, greenest, after_epoch, tmp_path, monkeypatch
):
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
    holding = sqlite3.connect(tmp_path / "mlflow.db")
    TALLY["faults injected"] += 1
    after_epoch(1, lambda: holding.execute("BEGIN EXCLUSIVE"))
    code, out, err = greenest(*RUN)
    assert code == 1
    assert "BUDGET_EXHAUSTED" in out and "Traceback" not in err
    assert "MLflow did not take everything" in err.splitlines()[-1]
    holding.rollback()
    assert greenest("sync")[0] == 0
    client, run = only_run()
    assert (run.info.status, curve(client, run)) == ("FINISHED", [1, 2, 3])
