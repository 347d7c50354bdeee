"""Eight processes write to one SQLite store at once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
from extent import LONG, TALLY
from mlflow.store.tracking.dbmodels.models import SqlDataset
from sqlalchemy import event
from sqlalchemy.orm import Session

from pipeline.journal import Letter
from pipeline.tracking import letters

CROWD = 8
PROGRAM = """
import json, os, sys
from pathlib import Path
import kill_commands as commands

started = []
for seed in range({crowd}):
    Path(str(seed)).mkdir()
    os.chdir(str(seed))
    words = commands.commands(seed, "")["run"]
    started.append((seed, commands.begin([*words, "--max-epochs", "5"])))
    os.chdir("..")
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for _, pid in started]
said = [Path(str(seed), "said.txt").read_text() for seed, _ in started]
print(json.dumps([codes, said]))
"""


def test_eight_processes_at_once_leave_eight_whole_runs(tmp_path, project, empty_database):
    if not LONG:
        # In the long form, they lay its tables at once, too.
        shutil.copy(empty_database, tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(crowd=CROWD)],
        cwd=tmp_path,
        env={
            "PYTHONPATH": f"{project}:{Path(__file__).parent}",
            "MLFLOW_TRACKING_URI": uri,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codes, said = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0] * CROWD, said
    assert not any("Traceback" in each for each in said)
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    TALLY["lost"] += CROWD - len(runs)
    assert sorted(int(run.data.params["seed"]) for run in runs) == list(range(CROWD))
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [point.step for point in history] == [1, 2, 3, 4, 5]


def test_a_dataset_that_another_process_writes_a_moment_earlier_is_shared(store):
    experiment = store.create_experiment("raced")
    ours, theirs = (store.create_run(experiment).info.run_id for _ in range(2))
    dataset = {"name": "iris", "digest": "1", "source_type": "local", "source": "{}"}
    letter = Letter(1, letters.INPUT, {"context": "training", "dataset": dataset})
    others = []

    @event.listens_for(Session, "before_flush")
    def another_is_faster(session, *_):
        """MLflow has looked for the row, and is about to write it."""
        if not others and any(isinstance(row, SqlDataset) for row in session.new):
            others.append(theirs)
            letters.deliver(mlflow.MlflowClient(), theirs, [letter])

    try:
        letters.deliver(store, ours, [letter])
    finally:
        event.remove(Session, "before_flush", another_is_faster)
    assert others
    for run_id in (ours, theirs):
        (found,) = store.get_run(run_id).inputs.dataset_inputs
        assert (found.dataset.name, found.dataset.digest) == ("iris", "1")
