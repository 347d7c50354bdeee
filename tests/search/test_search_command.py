"""A search as a user types it, on a real store and a machine on which only epochs cost."""

import json
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from searches import failing, recorded, seeds_by_configuration, trials

from steps.train import EpochRecorder, runner


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
        (("--prove", "-1"), "--prove -1: must be a whole number from 0"),
        (
            ("--objective", "energy,val_accuracy", "--prove", "2"),
            "--prove 2: a front such as energy,val_accuracy has no first",
        ),
        (("--repeats", "1", "--prove", "2"), "--prove 2: needs --repeats from 2"),
        (("--resume", "maybe"), "--resume maybe: choose yes or no"),
        (("--lr", "0.1"), "--lr 0.1: is decided by --space"),
        (("--resume",), "--resume yes: there is no such search"),
        (("--space", "nowhere.yaml"), "--space nowhere.yaml:"),
        (("--space", ""), "--space: is needed"),
        (("--dataset", "csv:nowhere.csv"), "--dataset csv:nowhere.csv"),
        (("--objective", "energy,test_accuracy"), "--objective energy,test_accuracy: test_acc"),
        (
            ("--objective", "energy,val_accuracy", "--pruning", "cap"),
            "--pruning cap: only a cost that grows tells early what cannot win",
        ),
        (
            ("--objective", "energy,latency"),
            "--objective energy,latency: latency_ms comes from the quantize step: give --quant",
        ),
        (
            ("--objective", "val_accuracy:1,quantized_energy_per_inference:-1"),
            "--objective val_accuracy:1,quantized_energy_per_inference:-1: quantized_energy_per_"
            "inference_j is not measured in a search",
        ),
    ],
)
def test_a_bad_option_is_one_line_and_leaves_no_run(search, store, words, told):
    code, out, err = search(*words)
    assert code == 2
    assert err.startswith(f"Error: {told}") and err.count("\n") == 1
    assert out == ""
    assert recorded(store) == ([], [])


def test_a_search_leaves_a_parent_with_the_answer_and_a_run_for_each_training(search, store):
    words = ("--trials", "4", "--repeats", "2", "--confirm-top", "2", "--prove", "0")
    code, out, err = search(*words)
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
    named = "First" if "Tied, within the noise" in out else "Greenest"
    assert winner in out and out.startswith(f"Ended by --trials 4.\n{named}: ")
    assert "ended before all its repeats" not in out
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


def test_the_cap_ends_a_training_within_an_epoch_that_costs_more_than_the_best(
    search, store, monkeypatch
):
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_QUESTIONS", 1e-9)
    dear = SimpleNamespace(duration_s=1e6, energy_j=1e6)
    monkeypatch.setattr(EpochRecorder, "look", lambda self: dear)
    code, _, err = search(
        "--trials", "3", "--sampler", "grid", "--pruning", "cap", "--repeats", "1"
    )
    assert code == 0, err
    _, (first, *others) = recorded(store)
    assert first.data.tags["outcome"] == "REACHED"  # there was nothing to compare it with
    for run in others:
        assert run.data.tags["outcome"] == "CAPPED"
        assert run.data.tags["search.given_up_by"] == "cap"
        assert run.data.tags["training.caution"] == "epoch 1 was given up before its end"
        assert 0 < run.data.metrics["energy_spent_j"] < 1e6


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
    assert "The search ended before all its repeats were done." in out
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


@pytest.mark.parametrize("space", ["learning_rate", "batch_size"])
def test_the_spaces_of_one_hyperparameter_are_trained_through_by_grid(
    search, store, project, space
):
    words = ("--sampler", "grid", "--max-epochs", "1", "--repeats", "1")
    code, _, err = search("--space", str(project / "spaces" / f"{space}.yaml"), *words)
    assert code == 0, err
    _, children = recorded(store)
    name = "lr" if space == "learning_rate" else "batch_size"
    trained = sorted(float(run.data.params[name]) for run in children)
    values = {
        "lr": [1e-4, 1e-3, 1e-2, 1e-1],
        "batch_size": [64, 128, 256, 512, 1024, 2048, 4096, 8192],
    }[name]
    assert trained == values


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


@pytest.mark.parametrize("objective", ["emissions", "time"])
def test_other_objectives_rank_by_their_own_metric(search, store, objective):
    code, out, err = search("--objective", objective, "--trials", "3", "--repeats", "1")
    assert code == 0, err
    assert {"emissions": " mg over", "time": " s over"}[objective] in out.splitlines()[1]


def test_where_a_name_does_not_tell_what_the_space_decided_the_answer_does(search, store, tmp_path):
    space = tmp_path / "hidden.yaml"
    space.write_text("purpose: Of a test.\nparameters:\n  activation: [relu, tanh]\n")
    code, out, err = search(
        "--space", str(space), "--sampler", "grid", "--lr", "0.05", "--batch-size", "16"
    )
    assert code == 0, err
    assert out.splitlines()[2] in {f"The space decided: activation {a}." for a in ("relu", "tanh")}
    (parent,), _ = recorded(store)
    note = parent.data.tags["mlflow.note.content"]
    assert "| activation relu |" in note and "| activation tanh |" in note


def test_leaders_that_train_alike_are_one_and_leave_room_for_others(search, store, tmp_path):
    space = tmp_path / "files.yaml"
    space.write_text(
        'purpose: "Of the test."\nparameters:\n  lr: [0.08, 0.05]\n'
        "  quantization: [none, int8, dynamic]\n"
    )
    words = ("--space", str(space), "--sampler", "random", "--trials", "6", "--pruning", "none")
    code, _, err = search(*words, "--repeats", "2", "--confirm-top", "2", "--prove", "0")
    assert code == 0, err
    _, children = recorded(store)
    assert len(trials(children)) == 6
    confirmed = [run for run in children if run.data.tags["search.role"] == "confirmation"]
    assert sorted(run.data.params["lr"] for run in confirmed) == ["0.05", "0.08"]
