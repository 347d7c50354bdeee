"""Workers in processes of their own, for real: killed, and left alone."""

import json
import os
import signal
import threading
import time

import mlflow
from paper_engine import SPACE, Bench, PaperEngine

from pipeline.journal import Journal
from pipeline.search.engines import LocalProcesses, end_of, start_worker
from pipeline.search.parallel import ParallelSearch
from pipeline.search.plan import Limits
from pipeline.tracking.search_log import SearchLog


def running_with_data(on: Bench):
    """The first training that is at work, its process, and nothing before its data are read."""
    while True:
        for run in on.runs("RUNNING"):
            entries = Journal(run.info.run_id)._lines()
            if entries and "hardware" in run.data.tags:
                return run, entries[0]["process"][0]
        time.sleep(0.05)


def slow_bench(tmp_path, epochs: str) -> Bench:
    """Epochs enough not to be over before the test has done what it is about."""
    fixed = {"dataset": "iris", "target_accuracy": "0.999", "max_epochs": epochs}
    two = Limits(2, None, None, None)
    return Bench(tmp_path, SPACE, fixed=fixed, limits=two, pruning="none")


def test_killed_worker_process_s_training_is_trained_again_in_another(store, tmp_path):
    on, killed = slow_bench(tmp_path, "500"), []

    def kill_one() -> None:
        run, process = running_with_data(on)
        os.kill(process, signal.SIGKILL)
        killed.append(run.info.run_id)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    on.run(LocalProcesses(2, energy_shared=True))
    killer.join()
    assert on.numbers("FINISHED") == [0, 1]
    assert [run.info.run_id for run in on.runs("KILLED")] == killed
    assert on.numbers("RUNNING") == on.numbers("FAILED") == []
    for run in on.runs("FINISHED"):
        assert "val_accuracy" in run.data.metrics
        assert run.data.tags["energy.shared"] == "up to 2 trainings at once on this machine"
        assert "shared_machine" in run.data.tags["energy.flags"]


def test_worker_ends_its_run_when_the_search_is_gone(store, tmp_path):
    on, engine = slow_bench(tmp_path, "5000"), PaperEngine()
    with SearchLog(on.search_id, on.experiment_id) as log:
        search: ParallelSearch = on.search(log, engine)
        search._under_way[0] = search._next_trial()
        search._start(0)
        worker = start_worker(engine.begun[0].to_json(), os.environ)
        running_with_data(on)
        worker.stdin.close()
        assert end_of(worker).startswith("ended with exit code 130")
    (run,) = on.runs("KILLED")
    assert json.loads(run.data.tags["search.point"]) == engine.begun[0].point
    assert mlflow.MlflowClient().get_run(on.search_id).info.status == "FINISHED"
