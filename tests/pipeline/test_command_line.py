"""What a user types and gets back, in this process on a real store."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

FAST = ("--dataset", "iris", "--hidden", "16", "--lr", "0.05", "--batch-size", "16")
REACHED = (*FAST, "--target-accuracy", "0.9", "--country", "FRA")


def all_runs(client):
    return [
        run
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
    ]


BAD_VALUES = {
    "lr of zero": (("--lr", "0"), "--lr 0: must be a number above 0"),
    "lr that is no number": (("--lr", "abc"), "--lr abc: must be a number above 0"),
    "lr that is NaN": (("--lr", "nan"), "--lr nan: must be a number above 0"),
    "batch size of zero": (("--batch-size", "0"), "--batch-size 0: must be a whole number from 1"),
    "batch size with a fraction": (("--batch-size", "1.5"), "--batch-size 1.5: must be a whole"),
    "two parts": (("--partitioning", "50-50"), "--partitioning 50-50: must be three whole numbers"),
    "parts of 110": (("--partitioning", "80-20-10"), "these add to 110"),
    "empty part": (("--partitioning", "100-0-0"), "--partitioning 100-0-0: must be three whole"),
    "unknown dataset": (("--dataset", "nope"), "--dataset nope: choose one of digits, wine"),
    "missing file": (("--dataset", "csv:gone.csv"), "--dataset csv:gone.csv: cannot be read"),
    "label of no CSV": (("--label", "species"), "--label species: works only with --dataset csv"),
    "country of two letters": (("--country", "XX"), "--country XX: no ISO 3166 alpha-3 code"),
    "target above one": (("--target-accuracy", "1.5"), "--target-accuracy 1.5: must be a number"),
    "unknown preprocessing": (("--preprocessing", "x"), "--preprocessing x: choose one of none"),
    "unknown optimizer": (("--optimizer", "x"), "--optimizer x: choose one of adam"),
    "unknown activation": (("--activation", "x"), "--activation x: choose one of sigmoid"),
    "unknown quantization": (("--quantization", "x"), "--quantization x: choose one of none"),
    "momentum of adam": (
        ("--momentum", "0.9"),
        "--momentum 0.9: works only with --optimizer rmsprop and sgd",
    ),
    "momentum of one": (("--momentum", "1", "--optimizer", "sgd"), "--momentum 1: must be a"),
    "hidden of zero": (("--hidden", "6,0"), "--hidden 6,0: must be the widths"),
    "patience of zero": (("--patience", "0"), "--patience 0: must be a whole number from 1"),
    "no epochs": (("--max-epochs", "0"), "--max-epochs 0: must be a whole number from 1"),
    "negative seed": (("--seed", "-1"), "--seed -1: must be a whole number from 0"),
    "unknown option": (("--learning-rate", "1"), "No such option"),
    "experiment without a name": (("--experiment", ""), "--experiment"),
}


@pytest.mark.parametrize(("words", "line"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_value_is_one_line_and_exit_code_2_and_leaves_no_run(store, greenest, words, line):
    code, out, err = greenest("run", *words)
    assert code == 2
    assert err.startswith("Error: ") and line in err
    assert err.count("\n") == 1 and out == ""
    assert all_runs(store) == []


@pytest.mark.parametrize("step", ["partition", "train", "evaluate", "quantize"])
@pytest.mark.parametrize(
    ("words", "line"),
    [((), "--run-id: is needed"), (("--run-id", "nope"), "--run-id nope: there is no such run")],
)
def test_step_without_its_run_is_one_line_and_exit_code_2(store, greenest, step, words, line):
    code, _, err = greenest(step, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err


def test_step_whose_predecessor_is_missing_names_it_and_leaves_the_run_alone(store, greenest):
    greenest("preprocess", *FAST)
    (run,) = all_runs(store)
    for step, missing in (("train", "partition"), ("evaluate", "partition")):
        code, _, err = greenest(step, "--run-id", run.info.run_id)
        assert code == 2
        assert f"has nothing from the {missing} step" in err
    assert store.get_run(run.info.run_id).info.status == "FINISHED"


def test_option_that_contradicts_the_run_is_refused(store, greenest):
    greenest("preprocess", *FAST)
    (run,) = all_runs(store)
    code, _, err = greenest("preprocess", "--run-id", run.info.run_id, "--lr", "0.5")
    assert code == 2
    assert "--lr 0.5: the run was opened with 0.05" in err


def test_data_that_changed_since_preprocess_are_refused(store, greenest, tmp_path):
    path = tmp_path / "rows.csv"
    rows = "".join(f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in range(60))
    path.write_text(rows)
    greenest("preprocess", "--dataset", f"csv:{path}")
    (run,) = all_runs(store)
    path.write_text(rows.replace("6,", "9,"))
    code, _, err = greenest("partition", "--run-id", run.info.run_id)
    assert code == 2
    assert "has changed since the run preprocessed it" in err


def test_five_steps_one_by_one_give_what_run_gives_with_equal_weights(store, greenest):
    import mlflow

    options = (*FAST, "--target-accuracy", "0.9", "--quantization", "int8")
    # Whether joules of inference stand is chance on a busy machine, and they are metrics, too.
    unmeasured = ("--inference-window", "0")
    assert greenest("run", *options, *unmeasured, "--country", "FRA")[0] == 0
    (whole,) = all_runs(store)
    assert greenest("preprocess", *options)[0] == 0
    (single,) = [run for run in all_runs(store) if run.info.run_id != whole.info.run_id]
    run_id = single.info.run_id
    assert greenest("partition", "--run-id", run_id)[0] == 0
    assert greenest("train", "--run-id", run_id, "--country", "FRA")[0] == 0
    assert greenest("evaluate", "--run-id", run_id)[0] == 0
    assert greenest("quantize", "--run-id", run_id, *unmeasured)[0] == 0

    whole, single = (store.get_run(run.info.run_id) for run in (whole, single))
    assert set(whole.data.metrics) == set(single.data.metrics)
    for name in ("epochs", "val_accuracy", "val_loss", "test_accuracy", "test_loss",
                 "quantized_test_accuracy", "quantized_model_size_bytes"):  # fmt: skip
        assert single.data.metrics[name] == whole.data.metrics[name], name
    assert single.data.params == whole.data.params
    weights = [
        mlflow.tensorflow.load_model(f"runs:/{run.info.run_id}/model").get_weights()
        for run in (whole, single)
    ]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def test_each_step_again_on_a_finished_run_gives_the_same_metrics(store, greenest):
    assert greenest("run", *REACHED)[0] == 0
    (before,) = all_runs(store)
    run_id = before.info.run_id
    assert greenest("preprocess", "--run-id", run_id)[0] == 0
    assert greenest("partition", "--run-id", run_id)[0] == 0
    assert greenest("train", "--run-id", run_id, "--country", "FRA")[0] == 0
    assert greenest("evaluate", "--run-id", run_id)[0] == 0
    after = store.get_run(run_id)
    assert after.info.status == "FINISHED"
    for name in ("epochs", "val_loss", "test_accuracy", "test_loss"):
        assert after.data.metrics[name] == before.data.metrics[name]


def test_compare_names_the_cheaper_of_two_and_json_agrees(store, greenest):
    for lr in ("0.05", "0.01"):
        assert greenest("run", *REACHED, "--lr", lr)[0] == 0
    runs = all_runs(store)
    cheaper = min(runs, key=lambda run: run.data.metrics["energy_to_accuracy_j"])
    code, out, _ = greenest("compare")
    assert code == 0
    name = cheaper.info.run_name.removesuffix("-s0")
    assert f"First: {name} ({cheaper.data.tags['config_id']})" in out
    assert "may be luck" in out
    code, out, _ = greenest("compare", "--json")
    answer = json.loads(out)
    assert list(answer)[:5] == ["experiment", "objective", "greenest", "tied_with", "ranking"]
    assert answer["provenance"]["cpu"] == [cheaper.data.tags["energy.cpu"]]
    greenest_one = answer["greenest"]
    assert greenest_one["config_id"] == cheaper.data.tags["config_id"]
    assert greenest_one["runs"] == [cheaper.info.run_id]
    assert greenest_one["energy_to_accuracy_j"] == {
        "mean": cheaper.data.metrics["energy_to_accuracy_j"],
        "low": None,
        "high": None,
    }
    assert answer["tied_with"] is None
    assert [each["n"] for each in answer["ranking"]] == [1, 1]
    assert answer["excluded"] == []


def test_compare_without_a_run_that_reached_exits_3_and_names_the_closest(store, greenest):
    for lr in ("1e-6", "1e-5"):
        greenest("run", *REACHED, "--lr", lr, "--max-epochs", "2")
    closest = max(all_runs(store), key=lambda run: run.data.metrics["val_accuracy"])
    code, out, err = greenest("compare")
    assert code == 3
    assert "Left out, missed its target (BUDGET_EXHAUSTED" in out
    assert closest.info.run_id in err
    code, out, _ = greenest("compare", "--json")
    assert code == 3
    answer = json.loads(out)
    assert (answer["greenest"], answer["ranking"]) == (None, [])
    assert {each["run_id"] for each in answer["excluded"]} == {
        r.info.run_id for r in all_runs(store)
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--experiment", "nope"), "--experiment nope: there is none"),
        (("--objective", "joy"), "--objective joy: choose one of energy, emissions, time"),
        (("--top", "0"), "--top"),
        (("--target-accuracy", "x"), "--target-accuracy x: must be a number"),
    ],
)
def test_bad_option_of_compare_is_one_line_and_exit_code_2(store, greenest, words, line):
    store.create_experiment("green")
    code, _, err = greenest("compare", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err


def test_compare_of_two_targets_tells_the_user_to_pick(store, greenest):
    greenest("run", *REACHED)
    greenest("run", *FAST, "--target-accuracy", "0.5", "--country", "FRA")
    code, _, err = greenest("compare")
    assert code == 2
    assert "--target-accuracy" in err and "choose one of 0.5, 0.9" in err
    code, out, _ = greenest("compare", "--target-accuracy", "0.9", "--json")
    assert code == 0
    assert len(json.loads(out)["ranking"]) == 1
    assert "another" not in out and "other --target-accuracy: 0.5" in out


def test_tracking_server_that_does_not_answer_is_one_line_and_exit_code_1(greenest, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    try:
        code, _, err = greenest("compare")
    finally:
        mlflow.set_tracking_uri(None)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("Error: MLflow: ") and "127.0.0.1" in err


def test_summary_shows_outcome_energy_and_what_it_is_worth(store, greenest):
    _, out, _ = greenest("run", *REACHED)
    (run,) = all_runs(store)
    assert "REACHED" in out
    assert run.data.tags["energy.cpu"].split(" (")[0] in out
    assert run.info.run_id in out
    assert math.isfinite(run.data.metrics["energy_spent_j"])


def test_emissions_of_different_places_are_not_ranked_against_each_other(store, greenest):
    greenest("run", *FAST, "--target-accuracy", "0.9", "--country", "FRA")
    greenest("run", *FAST, "--target-accuracy", "0.9", "--country", "POL", "--lr", "0.04")
    code, _, err = greenest("compare", "--objective", "emissions")
    assert (code, err.count("\n")) == (2, 1)
    assert "FRA at" in err and "POL at" in err
    code, out, _ = greenest("compare", "--json")
    assert code == 0
    assert any("CO2e was recorded at" in caution for caution in json.loads(out)["cautions"])


def test_deleted_experiment_is_one_line_that_tells_how_to_get_it_back(store, greenest):
    store.delete_experiment(store.create_experiment("green"))
    for command in ("compare", "run"):
        code, _, err = greenest(command)
        assert (code, err.count("\n")) == (2, 1)
        assert "--experiment green: was deleted" in err and "experiments restore" in err


def test_command_line_without_a_command_shows_the_commands(greenest):
    code, out, err = greenest()
    assert code == 2
    assert "find-lr" in out and err == ""


def test_training_again_that_fails_leaves_no_cost_that_could_win(store, greenest, monkeypatch):
    from steps import train

    assert greenest("run", *REACHED)[0] == 0
    (run,) = all_runs(store)

    def broken(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit_in_graph", broken)
    assert greenest("train", "--run-id", run.info.run_id, "--country", "FRA")[0] == 130
    again = store.get_run(run.info.run_id)
    assert again.info.status == "KILLED"
    assert again.data.metrics["energy_to_accuracy_j"] > 1e300
    assert greenest("compare")[0] == 3


def test_find_lr_leaves_its_curve_and_the_rate_that_it_chose(store, greenest):
    code, out, _ = greenest("find-lr", *FAST[:4], "--batch-size", "16", "--country", "FRA")
    assert code == 0
    (run,) = all_runs(store)
    assert run.data.tags["mlflow.note.content"].startswith("Found the **learning rate")
    assert f"{run.data.metrics['found_lr']:.3g}" in out
    page = store.download_artifacts(run.info.run_id, "find_lr/curve.html")
    assert Path(page).stat().st_size > 10_000
    assert greenest("compare")[0] == 3


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--lr", "0.5"), "--lr 0.5: is what this command looks for"),
        (("--steps", "x"), "--steps x: must be a whole number from 1"),
        (("--end-lr", "1e-9"), "--end-lr 1e-09: must be above --start-lr 1e-07"),
    ],
)
def test_bad_option_of_find_lr_is_one_line_and_leaves_no_run(store, greenest, words, line):
    code, _, err = greenest("find-lr", "--dataset", "iris", "--country", "FRA", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err
    assert all_runs(store) == []


def test_what_the_reader_left_out_is_told_in_the_run(store, greenest, tmp_path):
    path = tmp_path / "rows.csv"
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(40)]
    path.write_text("\n".join([",x,kind", *rows]))
    assert greenest("preprocess", "--dataset", f"csv:{path}")[0] == 0
    (run,) = store.search_runs(["1"])
    assert run.data.tags["dataset.reading"] == "columns left out: ['Unnamed: 0']"
    assert "Reading: `columns left out: ['Unnamed: 0']`." in run.data.tags["mlflow.note.content"]
    assert run.data.tags["dataset.classes"] == "2, of 20 to 20 rows"
