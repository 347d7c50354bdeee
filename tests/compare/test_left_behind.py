"""What a comparison leaves behind, and that nothing which goes wrong there eats the answer."""

from pathlib import Path

import mlflow
import pytest
import yaml

from pipeline import left_behind, tracking
from pipeline.choice import comparable
from pipeline.greenest_file import Winner
from pipeline.left_behind import leave_behind
from pipeline.tracking.comparison_log import LONGEST_NOTE, record_comparison
from steps.configuration import Configuration

FILES = {"table.csv": b"a,b\n1,2\n", "figures/energy.svg": b"<svg/>", "report.html": b"\xff\x00"}


def trained(experiment="green", **hyperparameters):
    configuration = Configuration(**hyperparameters)
    with tracking.RunLog.start(tracking.open_experiment(experiment), configuration) as log:
        log.tag({"outcome": "REACHED"})
        log.figures({"epochs": 5, "energy_to_accuracy_j": 2.0})
    return log.recorded()


def winner(run, experiment="green"):
    return Winner(experiment, run, "the least energy", "2 J", "It is beyond the noise.")


def marked(experiment="green"):
    runs = tracking.runs_of(experiment)
    return {run.run_id: run.tags["greenest"] for run in runs if "greenest" in run.tags}


def artifacts(run_id):
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id))
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_comparison_is_a_run_with_its_answer_its_question_and_its_files(store):
    run = trained()
    asked = {"objective": "energy", "where": "params.model = 'mlp'"}
    run_id = record_comparison("green", "compare-energy", "**It**", asked, FILES, run.run_id)
    recorded = store.get_run(run_id)
    assert (recorded.info.run_name, recorded.info.status) == ("compare-energy", "FINISHED")
    assert recorded.data.params == asked
    assert recorded.data.tags["greenest.kind"] == "comparison"
    assert recorded.data.tags["mlflow.note.content"] == "**It**"
    assert artifacts(run_id) == FILES


def test_names_are_no_html_in_the_description_of_a_version(store):
    told = left_behind._of_version(winner(trained(), "<img src=x>"))
    assert told.startswith("Of experiment \\<img src=x\\>, ")


def test_no_comparison_is_taken_for_a_training(store):
    run = trained()
    run_id = record_comparison("green", "c", "It.", {}, {}, run.run_id)
    runs, excluded = comparable(tracking.runs_of("green"))
    assert [each.run_id for each in runs] == [run.run_id]
    assert excluded == []
    recorded = store.get_run(run_id)
    assert "config_id" not in recorded.data.tags and recorded.data.metrics == {}


def test_the_mark_goes_from_the_former_winner_to_the_new_one_in_its_experiment_only(store):
    first, second, elsewhere = trained(seed=1), trained(seed=2), trained("other")
    record_comparison("other", "c", "", {}, {}, elsewhere.run_id)
    one = record_comparison("green", "c", "", {}, {}, first.run_id)
    assert marked() == {first.run_id: f"yes, by comparison {one}"}
    two = record_comparison("green", "c", "", {}, {}, second.run_id)
    assert marked() == {second.run_id: f"yes, by comparison {two}"}
    # Nothing reached its target this time: what won before has not lost to anything.
    record_comparison("green", "c", "", {}, {}, None)
    assert marked() == {second.run_id: f"yes, by comparison {two}"}
    assert list(marked("other")) == [elsewhere.run_id]


def test_an_answer_longer_than_mlflow_keeps_is_cut_at_the_end_of_a_line(store):
    answer = "\n".join(f"| row {number} | of a table |" for number in range(1000))
    run_id = record_comparison("green", "c", answer, {}, {}, None)
    kept = store.get_run(run_id).data.tags["mlflow.note.content"]
    lines = kept.removesuffix("\n\n…").splitlines()
    assert LONGEST_NOTE - 50 < len(kept) < 8000
    assert lines == answer.splitlines()[: len(lines)]


def test_the_file_lies_in_the_folder_and_in_the_run_which_links_to_the_winner(store):
    run = trained(lr=0.25)
    left = leave_behind("green", winner(run), "It.", {"objective": "energy"}, FILES)
    assert left.file == Path("greenest.yaml")
    content = left.file.read_bytes()
    assert yaml.safe_load(content)["lr"] == 0.25
    assert artifacts(left.run_id) == {**FILES, "greenest.yaml": content}
    assert store.get_run(left.run_id).data.tags["greenest.run"] == run.run_id
    assert list(marked()) == [run.run_id]
    # It has no model: the one thing that could not be done is told, in a line.
    assert left.model is None
    assert left.problems == (f"no model registered: run {run.run_id} keeps no model",)


def test_without_a_winner_the_comparison_is_recorded_and_nothing_else(store):
    left = leave_behind("green", None, "Nothing reached it.", {}, FILES)
    assert (left.file, left.model, left.problems) == (None, None, ())
    assert artifacts(left.run_id) == FILES
    assert not Path("greenest.yaml").exists()
    assert store.search_registered_models() == []


def test_a_file_of_the_users_own_stays_and_the_rest_is_written(store):
    Path("greenest.yaml").write_text("purpose: mine\n")
    left = leave_behind("green", winner(trained()), "It.", {}, {})
    assert left.file is None
    assert "greenest.yaml not written: greenest.yaml is there already" in left.problems[-1]
    assert Path("greenest.yaml").read_text() == "purpose: mine\n"
    assert list(artifacts(left.run_id)) == ["greenest.yaml"]


def test_a_server_that_is_gone_costs_a_line_for_each_thing_and_nothing_more(store, monkeypatch):
    run = trained()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    left = leave_behind("green", winner(run), "It.", {}, {})
    assert (left.model, left.run_id, left.file) == (None, None, Path("greenest.yaml"))
    model, comparison = left.problems
    assert model.startswith("no model registered: ")
    assert comparison.startswith("comparison not recorded in MLflow: ")
    assert all("\n" not in problem and "127.0.0.1" in problem for problem in left.problems)


def test_artifacts_that_cannot_be_written_leave_a_failed_run_and_the_mark_where_it_was(
    store, monkeypatch
):
    run, before = trained(seed=1), trained(seed=2)
    record_comparison("green", "c", "", {}, {}, before.run_id)
    # A folder cannot be made where a file is; root may write into any that is only read-only.
    experiment = store.get_experiment_by_name("green")
    blocked = Path(experiment.artifact_location.removeprefix("file://"))
    blocked.rename(blocked.with_name("aside"))
    blocked.write_text("in the way")
    left = leave_behind("green", winner(run), "It.", {}, FILES, file=None)
    assert left.run_id is None
    assert left.problems[-1].startswith("comparison not recorded in MLflow: ")
    failed = [run for run in tracking.runs_of("green") if run.status == "FAILED"]
    assert len(failed) == 1 and failed[0].tags["failure"]
    assert list(marked()) == [before.run_id]


def test_a_mistake_of_our_own_is_not_hidden(store, monkeypatch):
    def mistaken(*_):
        raise AttributeError("a bug")

    monkeypatch.setattr(left_behind.greenest_file, "written", mistaken)
    with pytest.raises(AttributeError, match="a bug"):
        leave_behind("green", winner(trained()), "It.", {}, {})
