"""Whatever interrupts a search, it is taken up to the record of an undisturbed one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import epochs_as_energy
import mlflow
import pytest
from searches import LIMITS, SPACE, TRAINED, failing, interrupt_after, record_of, recorded

from pipeline.__main__ import cli
from pipeline.search import loop

KILLS = os.environ.get("GREENEST_KILLS", "3")
"""Of the test that kills a search; twenty take two minutes."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty_database):
    """Winner and record of a search that nobody interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        epochs_as_energy.install(patch.setattr)
        mlflow.set_tracking_uri(f"sqlite:///{shutil.copy(empty_database, folder)}")
        Path("small.yaml").write_text(SPACE)
        words = ["search", "--space", "small.yaml", *TRAINED, *LIMITS]
        cli.main(words, standalone_mode=False)
        (parent,), children = recorded(mlflow.MlflowClient())
        mlflow.set_tracking_uri(None)
    return parent.data.tags["search.greenest"], record_of(children)


@pytest.mark.parametrize("trainings", [0, 2, 4])
def test_after_ctrl_c_the_search_is_taken_up_where_it_stood(undisturbed, search, store, trainings):
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(patch, trainings)
        code, _, err = search(*LIMITS)
    (parent,), children = recorded(store)
    assert code == 130
    assert f"--resume goes on with search {parent.info.run_id}\n" in err
    assert err.endswith("\nError: interrupted\n") and "Traceback" not in err
    assert parent.info.status == "KILLED"
    assert parent.data.tags["failure"] == "interrupted by the user"
    assert [run.info.status for run in children].count("KILLED") == 1
    assert record_of(children) == undisturbed[1][:trainings]

    assert search(*LIMITS, "--resume")[0] == 0
    (resumed,), children = recorded(store)
    assert resumed.info.run_id == parent.info.run_id
    assert resumed.info.status == "FINISHED"
    assert "failure" not in resumed.data.tags
    assert (resumed.data.tags["search.greenest"], record_of(children)) == undisturbed
    spent = sum(run.data.metrics["energy_spent_j"] for run in children)
    assert resumed.data.metrics["search_energy_j"] == spent


def test_however_often_it_is_killed_the_record_is_that_of_an_undisturbed_search(
    undisturbed, store, project, tmp_path
):
    Path("small.yaml").write_text(SPACE)
    program = Path(__file__).parent / "kill_and_resume.py"
    done = subprocess.run(
        [
            *(sys.executable, str(program), KILLS, "0"),
            *("search", "--space", "small.yaml", *TRAINED, *LIMITS),
        ],
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (parent,), children = recorded(store)
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in children} <= {"FINISHED", "KILLED"}
    assert (parent.data.tags["search.greenest"], record_of(children)) == undisturbed


def test_a_search_that_is_finished_goes_on_only_as_far_as_the_limits_allow(search, store):
    words = ("--repeats", "1", "--confirm-top", "0")
    search("--trials", "2", *words)
    before = recorded(store)[1]
    assert search("--trials", "2", *words, "--resume")[0] == 0
    assert [run.info.run_id for run in recorded(store)[1]] == [run.info.run_id for run in before]
    assert search("--trials", "3", *words, "--resume")[0] == 0
    (parent,), after = recorded(store)
    assert parent.info.status == "FINISHED"
    assert [run.info.run_id for run in after[:2]] == [run.info.run_id for run in before]
    assert len(after) == 3


def test_a_search_that_is_at_work_is_not_taken_up_by_another_command(search, store, monkeypatch):
    told = []
    one = loop.Search._one

    def meanwhile(self, *given):
        from pipeline.tracking.search_log import SearchLog

        experiment = store.get_experiment_by_name("green").experiment_id
        with pytest.raises(ValueError, match="is still at work") as refusal:
            SearchLog.resume(experiment, self.plan.key)
        told.append(str(refusal.value))
        one(self, *given)

    monkeypatch.setattr(loop.Search, "_one", meanwhile)
    assert search("--trials", "1", "--repeats", "1")[0] == 0
    assert len(told) == 1


def test_what_the_store_broke_off_is_trained_again_on_resume(
    undisturbed, search, store, monkeypatch
):
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, OSError(28, "No space left on device"), times=1)
        code, _, err = search(*LIMITS)
    assert code == 1
    assert "No space left on device" in err and "Traceback" not in err
    (parent,), (child,) = recorded(store)
    assert (parent.info.status, child.info.status) == ("FAILED", "KILLED")
    assert search(*LIMITS, "--resume")[0] == 0
    (parent,), children = recorded(store)
    assert (parent.data.tags["search.greenest"], record_of(children)) == undisturbed


def test_rungs_of_halving_are_known_again_after_an_interruption(search, store):
    # On digits, other than on iris, rates of a millionth are seen to be hopeless from the start.
    words = ("--sampler", "grid", "--pruning", "halving", "--slack", "9", "--repeats", "1")
    words += ("--dataset", "digits")
    search(*words, "--experiment", "undisturbed")
    expected = record_of(recorded(store, "undisturbed")[1])
    assert [each[2] for each in expected].count("halving") >= 2
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(patch, 4)
        assert search(*words)[0] == 130
    assert search(*words, "--resume")[0] == 0
    assert record_of(recorded(store)[1]) == expected
