"""``kill -9`` at whatever moment: nothing lost, nothing twice, nothing at work for ever."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from extent import LONG, TALLY

from pipeline.cache import STEPS
from pipeline.step_cache import ASIDE, StepCache, _is_sound

KILLS = "200" if LONG else "5"
SEED = os.environ.get("TRUST_SEED", "0")


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory, empty_database, project):
    """What the program saw, and the store that it left."""
    folder = tmp_path_factory.mktemp("killed")
    shutil.copy(empty_database, folder)
    kept = {name: told for name, told in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_commands.py")), KILLS, SEED],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    witness = json.loads(done.stdout.splitlines()[-1])
    TALLY["moments killed"] += witness["kills"]
    assert witness["kills"] == int(KILLS)
    return folder, witness, mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def runs(aftermath):
    _, _, client = aftermath
    experiment = client.get_experiment_by_name("killed").experiment_id
    return {run.info.run_id: run for run in client.search_runs([experiment], max_results=5000)}


def steps(client, run_id):
    return [point.step for point in client.get_metric_history(run_id, "val_loss")]


def test_each_command_that_was_left_in_peace_ended_well(aftermath):
    assert aftermath[1]["failed"] == []


def test_nothing_is_at_work_any_longer(aftermath, runs):
    folder, _, _ = aftermath
    stuck = [run_id for run_id, run in runs.items() if run.info.status == "RUNNING"]
    TALLY["stuck"] += len(stuck)
    assert stuck == []
    assert list((folder / ".cache" / "journal").iterdir()) == []


def test_no_epoch_and_no_outcome_that_was_measured_is_lost(aftermath, runs):
    _, witness, client = aftermath
    lost = [
        run_id
        for run_id, epochs in witness["measured"].items()
        if runs[run_id].data.metrics.get("epochs", 0) < epochs
        or len(set(steps(client, run_id))) < epochs
    ]
    lost += [
        run_id
        for run_id, outcome in witness["outcomes"].items()
        if runs[run_id].data.tags.get("outcome") != outcome
    ]
    TALLY["lost"] += len(lost)
    assert lost == []


def test_a_training_that_had_ended_stands_whatever_befell_later_steps(aftermath, runs):
    run = runs[aftermath[1]["trained"]]
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "REACHED")


def test_no_run_epoch_model_or_trial_counts_twice(aftermath, runs):
    _, witness, client = aftermath
    curves = {run_id: steps(client, run_id) for run_id in runs}
    doubled = [run_id for run_id, curve in curves.items() if len(curve) > len(set(curve))]
    models = Counter(
        model.source_run_id
        for model in client.search_logged_models(
            [next(iter(runs.values())).info.experiment_id], "name = 'model'", max_results=1000
        )
    )
    doubled += [run_id for run_id, kept in models.items() if kept > 1]
    counting = Counter(
        (run.data.tags["mlflow.parentRunId"], run.data.tags["search.number"])
        for run in runs.values()
        if "search.number" in run.data.tags and run.info.status != "KILLED"
    )
    doubled += [trial for trial, times in counting.items() if times > 1]
    alone = [
        run_id
        for run_id, run in runs.items()
        if "config_id" in run.data.tags and "search.number" not in run.data.tags
    ]
    doubled += alone[witness["trainings"] :]
    TALLY["doubled"] += len(doubled)
    assert doubled == []


def test_the_cache_holds_whole_entries_only(aftermath):
    folder = aftermath[0] / STEPS
    entries = StepCache(folder).entries()
    assert entries
    assert [entry for entry in entries if not _is_sound(entry.folder)] == []
    assert list(folder.glob(f"*{ASIDE}")) == []
