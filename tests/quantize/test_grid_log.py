"""A grid in MLflow: whole points, nothing at work for ever, and no training among them."""

import subprocess
import sys
import textwrap

import pytest

from pipeline import tracking
from pipeline.choice import comparable
from pipeline.tracking.grid_log import GridLog
from steps.configuration import Configuration
from steps.errors import InputError

FORMATS = {"data_width": 8, "data_fraction": 4, "weight_width": 4, "weight_fraction": 2}
METRICS = {"val_accuracy": 0.9, "average_bitwidth": 4.0}

KILLED = """\
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from pipeline.tracking.grid_log import GridLog

run_id, call, nth, when = sys.argv[1:]
def die():
    os.kill(os.getpid(), signal.SIGKILL)

original, calls = getattr(MlflowClient, call), []
def called(*args, **kwargs):
    calls.append(call)
    if len(calls) == int(nth) and when == "before":
        die()
    answer = original(*args, **kwargs)
    if len(calls) == int(nth):
        die()
    return answer

with GridLog.start(run_id, "grid", {}, Path("formats.yaml")) as log:
    setattr(MlflowClient, call, called)
    for name in ("first", "second"):
        log.point(name, {"data_width": 8}, {"val_accuracy": 0.9})
"""


@pytest.fixture
def trained(store, tmp_path):
    """Id of a run of a training (of which only the run is needed here), beside a space file."""
    (tmp_path / "formats.yaml").write_text("purpose: p\n")
    with tracking.RunLog.start(tracking.open_experiment("green"), Configuration()) as log:
        log.tag({"outcome": "REACHED", "dataset_digest": "d"})
    return log.run_id


@pytest.fixture
def grid(trained, tmp_path):
    return GridLog.start(trained, "grid", {"sampler": "tpe"}, tmp_path / "formats.yaml")


def others(store, run_id):
    """All runs but one, by name."""
    experiments = [each.experiment_id for each in store.search_experiments()]
    runs = store.search_runs(experiments)
    return {run.info.run_name: run for run in runs if run.info.run_id != run_id}


def test_a_point_is_a_finished_child_with_its_formats_and_figures(store, trained, grid):
    with grid:
        grid.point("fixed:8.4/4.2", FORMATS, METRICS)
    runs = others(store, trained)
    parent, child = runs["grid"], runs["fixed:8.4/4.2"]
    assert parent.info.status == child.info.status == "FINISHED"
    assert parent.info.experiment_id == store.get_run(trained).info.experiment_id
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {name: str(bits) for name, bits in FORMATS.items()}
    assert child.data.metrics == METRICS
    assert child.info.end_time is not None
    for run in (parent, child):
        assert run.data.tags["grid.run_id"] == trained
        assert "not a measure of time or energy" in run.data.tags["simulated"]
    assert parent.data.tags["grid.sampler"] == "tpe"
    assert [file.path for file in store.list_artifacts(parent.info.run_id)] == ["formats.yaml"]


def test_a_grid_is_no_training(store, trained, grid):
    with grid:
        grid.point("fixed:8.4/4.2", FORMATS, METRICS)
    runs, excluded = comparable(tracking.runs_of("green"))
    assert [run.run_id for run in runs] == [trained]
    assert {each.run.name for each in excluded} == {"grid", "fixed:8.4/4.2"}
    assert all(each.why for each in excluded)
    for run in others(store, trained).values():
        assert not {"config_id", "outcome", "search.key", "search.number"} & set(run.data.tags)
        with pytest.raises(InputError, match="is no run of Greenest"):
            tracking.EarlierSteps(run.info.run_id).configuration()


def test_a_grid_that_fails_says_why_and_keeps_its_points(store, trained, grid):
    with pytest.raises(RuntimeError), grid:
        grid.point("fixed:8.4/4.2", FORMATS, METRICS)
        raise RuntimeError("no memory")
    runs = others(store, trained)
    assert runs["grid"].info.status == "FAILED"
    assert runs["grid"].data.tags["failure"] == "no memory"
    assert runs["fixed:8.4/4.2"].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("call", "nth", "when", "second"),
    [
        ("set_terminated", 3, "before", "KILLED"),
        ("log_batch", 2, "after", "KILLED"),
        ("set_terminated", 4, "after", "FINISHED"),
    ],
)
def test_a_killed_grid_leaves_nothing_at_work(
    store, trained, project, tmp_path, call, nth, when, second
):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), trained, call, str(nth), when],
        cwd=tmp_path,
        env={"PYTHONPATH": str(project), "MLFLOW_TRACKING_URI": tracking.tracking_uri()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr
    tracking.close_abandoned_runs()
    runs = others(store, trained)
    assert runs["grid"].info.status == "KILLED"
    assert runs["first"].info.status == "FINISHED"
    assert runs["first"].data.metrics == {"val_accuracy": 0.9}
    assert runs["second"].info.status == second
    if second == "FINISHED":
        assert runs["second"].data.metrics == {"val_accuracy": 0.9}
    assert tracking.close_abandoned_runs() == []
