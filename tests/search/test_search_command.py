"""A search as a user types it, on a real store and a machine on which only epochs cost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import epochs_as_energy
import mlflow
import pytest

from pipeline.__main__ import cli
from pipeline.search import loop
from steps import train

SPACE = """\
purpose: "Of the test."
parameters:
  lr: [0.08, 0.05, 1e-6]
  batch_size: [16, 32]
"""
KILLS = os.environ.get("GREENEST_KILLS", "3")
"""Of the test that kills a search; twenty take two minutes."""

TRAINED = ("--dataset", "iris", "--hidden", "8", "--max-epochs", "20", "--target-accuracy", "0.8")


@pytest.fixture
def search(store, monkeypatch, greenest, tmp_path):
    """Type a search of the small space: exit code, standard output, error output."""
    epochs_as_energy.install(monkeypatch.setattr)
    space = tmp_path / "small.yaml"
    space.write_text(SPACE)

    def type_(*words: str) -> tuple[int, str, str]:
        return greenest("search", "--space", str(space), *TRAINED, *words)

    return type_


def recorded(store):
    """The parent runs, and the children by number."""
    experiment = store.get_experiment_by_name("green")
    runs = store.search_runs([experiment.experiment_id]) if experiment else []
    children = [run for run in runs if "search.number" in run.data.tags]
    parents = [run for run in runs if "search.key" in run.data.tags]
    assert len(children) + len(parents) == len(runs)
    return parents, sorted(children, key=lambda run: int(run.data.tags["search.number"]))


def trials(children):
    return [run for run in children if run.data.tags["search.role"] == "trial"]


def seeds_by_configuration(children):
    seeds = {}
    for run in children:
        seeds.setdefault(run.data.tags["config_id"], []).append(run.data.params["seed"])
    return seeds


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sampler", "tpee"), "--sampler tpee: choose one of tpe"),
        (("--pruning", "hard"), "--pruning hard: choose one of cap, halving, none"),
        (("--slack", "0.5"), "--slack 0.5: must be a number from 1"),
        (("--objective", "money"), "--objective money: choose one of energy"),
        (("--trials", "0"), "--trials 0: must be a number above 0"),
        (("--trials", "2.5"), "--trials 2.5: must be a whole number"),
        (("--budget-kj", "-1"), "--budget-kj -1: must be a number above 0"),
        (("--budget-g", "nan"), "--budget-g nan: must be a number above 0"),
        (("--timeout", "soon"), "--timeout soon: must be a number above 0"),
        (("--repeats", "0"), "--repeats 0: must be a whole number from 1"),
        (("--confirm-top", "-3"), "--confirm-top -3: must be a whole number from 0"),
        (("--resume", "maybe"), "--resume maybe: choose yes or no"),
        (("--lr", "0.1"), "--lr 0.1: is decided by --space"),
        (("--resume",), "--resume yes: there is no such search"),
        (("--space", "nowhere.yaml"), "--space nowhere.yaml:"),
        (("--space", ""), "--space: is needed"),
        (("--dataset", "csv:nowhere.csv"), "--dataset csv:nowhere.csv"),
    ],
)
def test_a_bad_option_is_one_line_and_leaves_no_run(search, store, words, told):
    code, out, err = search(*words)
    assert code == 2
    assert err.startswith(f"Error: {told}") and err.count("\n") == 1
    assert out == ""
    assert recorded(store) == ([], [])


@pytest.mark.parametrize("words", [("--budget-g", "5"), ("--objective", "emissions")])
def test_grams_of_an_unknown_carbon_intensity_are_refused(search, store, monkeypatch, words):
    from energy.carbon import UNKNOWN_CARBON
    from pipeline.search import command

    command.machine_meter(None).carbon = UNKNOWN_CARBON
    code, _, err = search(*words)
    assert code == 2
    assert f"{words[0]} {words[1]}: no carbon intensity is known here" in err
    assert recorded(store) == ([], [])


def test_a_search_leaves_a_parent_with_the_answer_and_a_run_for_each_training(search, store):
    code, out, err = search("--trials", "4", "--repeats", "2", "--confirm-top", "2")
    assert code == 0, err
    (parent,), children = recorded(store)
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert len(trials(children)) == 4
    numbers = [run.data.tags["search.number"] for run in children]
    assert numbers == [str(number) for number in range(len(children))]
    seeds = seeds_by_configuration(children)
    assert sorted(map(sorted, seeds.values())) == [["0"]] * 2 + [["0", "1"]] * 2
    for run in children:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        point = json.loads(run.data.tags["search.point"])
        assert {name: run.data.params[name] for name in point} == {
            name: str(value).replace("1e-6", "1e-06") for name, value in point.items()
        }
        assert run.data.params["dataset"] == "iris"
    winner = parent.data.tags["search.greenest"]
    assert winner in out and out.startswith("Ended by --trials 4.\nGreenest: ")
    assert winner in parent.data.tags["mlflow.note.content"]
    assert "probability of being the best" in parent.data.tags["mlflow.note.content"]
    assert parent.data.params["sampler"] == "tpe"
    page = Path(store.download_artifacts(parent.info.run_id, "search/best_so_far.html"))
    assert "plotly" in page.read_text()
    assert store.download_artifacts(parent.info.run_id, "small.yaml")
    lines = [line for line in err.splitlines() if line.startswith("#")]
    assert len(lines) == len(children)

    spent = sum(run.data.metrics["energy_spent_j"] for run in children)
    assert parent.data.metrics["search_energy_j"] == spent
    best = store.get_metric_history(parent.info.run_id, "best_so_far")
    values = [metric.value for metric in sorted(best, key=lambda metric: metric.step)]
    assert values == sorted(values, reverse=True)
    costs = [run.data.metrics.get("energy_to_accuracy_j") for run in trials(children)]
    assert values[-1] == min(cost for cost in costs if cost is not None)


def test_a_grid_trains_every_value_once_per_repeat_and_its_runs_are_found_by_parameters(
    search, store
):
    code, _, err = search("--sampler", "grid", "--repeats", "2")
    assert code == 0, err
    _, children = recorded(store)
    seeds = seeds_by_configuration(children)
    assert len(seeds) == 6
    assert all(sorted(each) == ["0", "1"] for each in seeds.values())
    found = store.search_runs(
        [children[0].info.experiment_id],
        "params.batch_size = '16' and metrics.energy_to_accuracy_j > 0",
    )
    assert {run.data.params["batch_size"] for run in found} == {"16"}
    assert {run.data.tags["outcome"] for run in children} == {"REACHED", "BUDGET_EXHAUSTED"}


def test_the_cap_ends_what_cannot_win_and_says_by_which_rule(search, store):
    search("--sampler", "grid", "--pruning", "cap", "--repeats", "1")
    _, children = recorded(store)
    capped = [run for run in children if run.data.tags["outcome"] == "CAPPED"]
    assert capped
    for run in capped:
        assert run.data.tags["search.given_up_by"] in ("cap", "streak", "envelope")
        assert "energy_to_accuracy_j" not in run.data.metrics
        assert run.data.metrics["epochs"] < 20


def test_runs_of_a_search_keep_a_model_where_they_reached_the_target_and_no_pictures(search, store):
    search("--trials", "3", "--sampler", "grid", "--repeats", "1")
    _, children = recorded(store)
    for run in children:
        kept = bool(
            mlflow.search_logged_models(
                experiment_ids=[run.info.experiment_id],
                filter_string=f"source_run_id = '{run.info.run_id}'",
                output_format="list",
            )
        )
        assert kept == (run.data.tags["outcome"] == "REACHED")
        artifacts = {
            each.path
            for folder in ("train", "evaluate")
            for each in store.list_artifacts(run.info.run_id, folder)
        }
        assert not any(path.endswith((".html", ".png")) for path in artifacts)


def test_the_energy_budget_ends_a_search_within_one_training(search, store):
    code, out, _ = search("--budget-kj", "0.1", "--repeats", "3")
    assert code == 0
    assert out.startswith("Ended by --budget-kj.")
    (parent,), children = recorded(store)
    last = children[-1].data.metrics["energy_spent_j"]
    spent = parent.data.metrics["search_energy_j"]
    assert spent - last < 100 <= spent


def test_the_time_limit_ends_a_search(search, store):
    code, out, _ = search("--timeout", "0.001")
    assert code == 0
    assert out.startswith("Ended by --timeout.")
    (parent,), children = recorded(store)
    assert children == []
    assert parent.info.status == "FINISHED"


def interrupt_after(monkeypatch, trainings: int) -> None:
    """Ctrl-C in the middle of the training that comes after so many."""
    one, count = loop.Search._one, iter(range(trainings + 1))
    epoch_end = train.EpochRecorder.on_epoch_end

    def counted(self, *given):
        if next(count, None) == trainings:

            def interrupted(self, epoch, logs=None):
                epoch_end(self, epoch, logs)
                raise KeyboardInterrupt

            monkeypatch.setattr(train.EpochRecorder, "on_epoch_end", interrupted)
        one(self, *given)

    monkeypatch.setattr(loop.Search, "_one", counted)


def record_of(children):
    ended = [run for run in children if run.info.status == "FINISHED"]
    return [
        (
            *(run.data.tags.get(f"search.{name}") for name in ("number", "role", "given_up_by")),
            *(run.data.tags[name] for name in ("config_id", "outcome")),
            run.data.params["seed"],
            run.data.metrics["energy_spent_j"],
        )
        for run in ended
    ]


LIMITS = ("--trials", "4", "--repeats", "2", "--confirm-top", "2")


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


def failing(monkeypatch, error, times: int) -> None:
    good, left = train.train, iter(range(times))

    def broken(*given, **named):
        if next(left, None) is not None:
            raise error
        return good(*given, **named)

    monkeypatch.setattr(train, "train", broken)


def test_a_training_that_fails_does_not_stop_the_search(search, store, monkeypatch):
    failing(monkeypatch, RuntimeError("out of\nmemory"), times=4)
    code, out, err = search("--trials", "6", "--repeats", "1")
    assert code == 0, err
    (parent,), children = recorded(store)
    assert [run.info.status for run in children] == ["FAILED"] * 4 + ["FINISHED"] * 2
    assert {run.data.tags["failure"] for run in children[:4]} == {"out of memory"}
    assert len(seeds_by_configuration(children)) == 6
    assert parent.info.status == "FINISHED"
    assert "4 FAILED" in out


def test_when_the_first_five_fail_the_search_says_why_and_stops(search, store, monkeypatch):
    failing(monkeypatch, RuntimeError("out of\nmemory"), times=99)
    code, _, err = search("--trials", "9")
    assert code == 1
    assert err.splitlines()[-1] == (
        "Error: the first 5 trainings all failed, the last one: out of memory"
    )
    (parent,), children = recorded(store)
    assert parent.info.status == "FAILED"
    assert len(children) == 5


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


@pytest.mark.parametrize("objective", ["emissions", "time"])
def test_other_objectives_rank_by_their_own_metric(search, store, objective):
    code, out, err = search("--objective", objective, "--trials", "3", "--repeats", "1")
    assert code == 0, err
    assert {"emissions": " mg over", "time": " s over"}[objective] in out.splitlines()[1]
