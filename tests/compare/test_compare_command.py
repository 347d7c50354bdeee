"""The command, on a real store of runs that were planted there."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Metric, Param, RunTag
from recorded_runs import of_search, repeats, run_of

from pipeline.compare import table
from pipeline.compare.answer import as_text
from pipeline.tracking import RecordedRun


@pytest.fixture
def plant(store):
    """Puts runs into the experiment `green`; returns their ids."""
    experiment_id = store.create_experiment("green")

    def plant_(*runs: RecordedRun) -> list[str]:
        return [_planted(store, experiment_id, run) for run in runs]

    return plant_


def _planted(store, experiment_id: str, run: RecordedRun) -> str:
    run_id = store.create_run(experiment_id, run_name=run.name).info.run_id
    store.log_batch(
        run_id,
        metrics=[Metric(name, value, 0, 0) for name, value in run.metrics.items()],
        params=[Param(*item) for item in run.parameters.items()],
        tags=[RunTag(*item) for item in run.tags.items()],
    )
    store.set_terminated(run_id, run.status)
    return run_id


def test_a_winner_beyond_noise_is_named_and_said_to_be(plant, greenest):
    plant(*repeats(0.1, 90, 100, 110), *repeats(0.2, 900, 1000, 1100))
    code, out, _ = greenest("compare")
    assert code == 0
    assert "Greenest: adam-lr0.1-bs128 (" in out
    assert "beyond the noise of the repeats (95 %)" in out
    answer = json.loads(greenest("compare", "--json")[1])
    assert (answer["verdict"], answer["tied_with"]) == ("greenest", [])
    assert answer["greenest"]["energy_to_accuracy_j"]["low"] < 100


def test_where_noise_decides_nobody_is_named_and_the_repeats_that_would_are_told(plant, greenest):
    plant(*repeats(0.1, 90, 100, 110), *repeats(0.2, 95, 105, 115))
    code, out, _ = greenest("compare")
    assert code == 0
    assert "Greenest" not in out
    assert "Tied, within the noise of the repeats (95 %): adam-lr0.1-bs128 (" in out
    answer = json.loads(greenest("compare", "--json")[1])
    assert answer["verdict"] == "tied"
    assert f"{answer['repeats_to_decide']} more seeds for each of them" in out


def test_the_winner_alone_read_from_a_server_claims_nothing_of_ties(plant, greenest, monkeypatch):
    plant(*repeats(0.1, 90, 100, 110), *repeats(0.2, 95, 105, 115), *repeats(0.3, 900, 1000))
    whole = json.loads(greenest("compare", "--json")[1])
    # As where the runs are behind a tracking server.
    monkeypatch.setattr("pipeline.tracking.query._is_in_database", lambda: False)
    alone = json.loads(greenest("compare", "--top", "1", "--json")[1])
    assert alone["greenest"]["config_id"] == whole["greenest"]["config_id"]
    assert alone["greenest"]["n"] == 3
    energy = alone["greenest"]["energy_to_accuracy_j"]
    assert energy["mean"] == pytest.approx(whole["greenest"]["energy_to_accuracy_j"]["mean"])
    assert (energy["low"], energy["high"], alone["tied_with"]) == (None, None, None)
    assert alone["verdict"] == "first, and nothing is known of ties"
    assert len(alone["ranking"]) == 1


def test_another_objective_has_a_column_of_its_own(plant, greenest):
    runs = [*repeats(0.1, 1, 2), *repeats(0.2, 3, 4)]
    for run in runs:
        run.metrics["latency_ms"] = 0.25 if run.parameters["lr"] == "0.2" else 1.5
    plant(*runs)
    code, out, _ = greenest("compare", "--objective", "latency")
    assert code == 0
    assert "the least latency with a validation accuracy above 0.95 on digits" in out
    assert "Best: adam-lr0.2-bs128" in out and "0.25 ms" in out


def test_weights_take_the_place_of_the_objective(plant, greenest):
    plant(run_of(0.1, energy_j=1, val_accuracy=0.96), run_of(0.2, energy_j=9, val_accuracy=0.99))
    code, out, _ = greenest("compare", "--weights", "val_accuracy:1", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["greenest"]["params"]["lr"] == "0.2"
    assert answer["greenest"]["ranked_by"]["mean"] == 0.99
    code, _, err = greenest("compare", "--weights", "val_accuracy:1", "--objective", "time")
    assert (code, err) == (
        2,
        "Error: --weights val_accuracy:1: goes instead of --objective time\n",
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--objective", "test_accuracy"), "report and never decide"),
        (("--weights", "test_accuracy:1"), "report and never decide"),
        (("--where", "metrics.test_accuracy > 0.9"), "report and never decide"),
        (("--weights", "joy:1"), "no run has joy"),
        (("--hardware", "quantum"), "--hardware quantum: no run has it; choose one of one machine"),
        (("--min-success", "0"), "--min-success"),
        (("--min-success", "1.1"), "--min-success"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(plant, greenest, words, line):
    plant(run_of())
    code, _, err = greenest("compare", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err


def test_machines_are_not_mixed_until_one_is_picked(plant, greenest):
    plant(run_of(0.1, hardware="slow"), run_of(0.2, hardware="fast"))
    code, _, err = greenest("compare")
    assert (code, err.count("\n")) == (2, 1)
    assert "--hardware: is needed" in err and "fast | slow" in err
    code, out, _ = greenest("compare", "--hardware", "slow")
    assert code == 0
    assert "Left out, other --hardware: fast" in out
    assert greenest("compare", "--objective", "epochs")[0] == 0


def test_misses_that_are_allowed_are_counted_and_paid(plant, greenest):
    missed = run_of(0.1, seed=4, energy_j=300, outcome="BUDGET_EXHAUSTED")
    plant(*repeats(0.1, 100, 101, 99, 100), missed)
    assert greenest("compare")[0] == 3
    code, out, _ = greenest("compare", "--min-success", "0.8")
    assert code == 0
    assert "4 of 5" in out and "175 J" in out and "misses paid" in out
    answer = json.loads(greenest("compare", "--min-success", "0.8", "--json")[1])
    assert answer["greenest"]["share_reached"] == 0.8


def test_a_filter_picks_runs_and_is_cautioned_about_where_it_may_hide_misses(plant, greenest):
    plant(run_of(0.1, energy_j=1), run_of(0.2, energy_j=100))
    answer = json.loads(greenest("compare", "--where", "params.lr = '0.2'", "--json")[1])
    assert [each["params"]["lr"] for each in answer["ranking"]] == ["0.2"]
    assert answer["cautions"] == []
    by_result = ("--where", "metrics.energy_to_accuracy_j < 10")
    answer = json.loads(greenest("compare", *by_result, "--json")[1])
    assert [each["params"]["lr"] for each in answer["ranking"]] == ["0.1"]
    assert any("misses that it hides" in caution for caution in answer["cautions"])
    code, _, err = greenest("compare", "--where", "lr is nice")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("Error: --where lr is nice: ")


def test_a_deleted_run_is_not_ranked(plant, store, greenest):
    cheap, _ = plant(run_of(0.1, energy_j=1), run_of(0.2, energy_j=100))
    store.delete_run(cheap)
    answer = json.loads(greenest("compare", "--json")[1])
    assert [each["params"]["lr"] for each in answer["ranking"]] == ["0.2"]
    assert answer["excluded"] == []


def test_runs_of_other_authors_are_told_with_their_reason_and_few_lines(
    plant, greenest, store, monkeypatch
):
    plant(run_of(0.1), *(run_of(lr, seed=1, outcome="DIVERGED", val_accuracy=lr)
                         for lr in (0.2 + step / 100 for step in range(40))))  # fmt: skip
    experiment = store.get_experiment_by_name("green").experiment_id
    store.create_run(experiment, run_name="[red]theirs[/red]")
    code, out, _ = greenest("compare")
    assert code == 0
    assert "Left out, not a run of Greenest: [red]theirs[/red]" in out
    assert "Left out, missed its target (DIVERGED, validation accuracy ended at …)" in out
    assert out.count("Left out") == 2
    monkeypatch.setattr(table, "REASONS_SHOWN", 1)
    _, out, _ = greenest("compare")
    assert out.count("Left out") == 1
    assert "… and 1 more, each with its reason in --json" in out
    assert len(json.loads(greenest("compare", "--json")[1])["excluded"]) == 41


def test_searches_and_grids_of_another_version_do_not_keep_a_report_from_being_left(
    plant, greenest, store, tmp_path
):
    def without(run, *names):
        return replace(run, parameters={k: v for k, v in run.parameters.items() if k not in names})

    def tagged(run, **tags):
        return replace(run, tags={**run.tags, **tags})

    search = replace(
        run_of(0.9),
        name="a search",
        parameters={"fixed.an_option_that_was": "1"},
        metrics={"search_time_s": 3.0},
        tags={"search.key": "k"},
    )
    (parent,) = plant(search)
    of_search = {"mlflow.parentRunId": parent, "search.role": "trial"}
    given_up = tagged(run_of(0.3, outcome="CAPPED"), **of_search)
    point = replace(
        run_of(0.9),
        parameters={"data_width": "8"},
        tags={"grid.run_id": "gone", "mlflow.parentRunId": "gone"},
    )
    guessed = {"energy.gpu": "", "energy.cpu": "guessed"}
    first = tagged(run_of(0.1, energy_j=50.0, hidden="8"), **of_search, **guessed)
    second = without(tagged(run_of(0.2), **guessed), "hidden")
    plant(first, second, without(given_up, "max_epochs"), point)
    code, _, err = greenest("compare")
    assert code == 0, err
    assert "Traceback" not in err
    experiment = store.get_experiment_by_name("green").experiment_id
    (run,) = store.search_runs([experiment], "tags.`greenest.kind` = 'comparison'")
    report = Path(store.download_artifacts(run.info.run_id, "report.html", str(tmp_path)))
    text = report.read_text(encoding="utf-8")
    assert "given up, since they could no longer win" in text
    assert 'id="fixed-point"' not in text


def test_what_a_search_tried_once_comes_behind_and_is_not_what_the_winner_is_told_from(
    plant, greenest
):
    lucky = of_search(run_of(0.1, energy_j=5.0))
    leader = [
        of_search(run_of(0.2, seed, 6.0 + seed), "trial" if seed == 0 else "confirmation")
        for seed in range(3)
    ]
    plant(lucky, *leader)
    code, out, err = greenest("compare", "--record", "no")
    assert code == 0, err
    assert f"First: {leader[0].name.removesuffix('-s0')} ({leader[0].tags['config_id']})" in out
    told = " ".join(out.split())
    assert "Tried once by a search that trained others again" in told
    assert "one run may be lucky: the last of the ranking." in told
    assert "It is the only" not in out and "Greenest" not in out
    ranking = json.loads(greenest("compare", "--json")[1])["ranking"]
    assert [each["params"]["lr"] for each in ranking] == ["0.2", "0.1"]


def test_nothing_recorded_of_an_objective_is_told_as_such(plant, greenest):
    plant(run_of(0.1))
    code, _, err = greenest("compare", "--objective", "net_energy")
    assert code == 3
    assert "no net_energy was recorded" in err and "reached its target" not in err


def test_emissions_elsewhere_are_those_of_the_energy_that_was_ranked(plant, greenest):
    plant(run_of(0.1, energy_j=3.6e6))
    code, out, _ = greenest("compare", "--country", "FRA,POL", "--json")
    assert code == 0
    told = json.loads(out)["countries"]
    (france,), (poland,) = (list(told[place].values()) for place in ("FRA", "POL"))
    assert 0 < france < poland < 1
    assert "The same energy elsewhere" in greenest("compare", "--country", "FRA")[1]


def test_json_is_read_back_as_it_was_told():
    told = {"a": [{"b": "ä\n"}, {"c": None}], "d": [], "e": {"f": [1, 2.5]}, "g": "x"}
    assert json.loads(as_text(told)) == told
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_text({"a": float("nan")})


def test_compare_is_a_module_of_its_own(project):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.compare", "--help"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: python -m pipeline.compare [OPTIONS]" in done.stdout
    assert done.stderr == ""
