"""What a search is asked for: whether that can be told here, and what is told of it."""

from pathlib import Path

import pytest
from searches import LIMITS, interrupt_after, record_of, recorded


@pytest.mark.parametrize("words", [("--budget-g", "5"), ("--objective", "emissions")])
def test_grams_of_an_unknown_carbon_intensity_are_refused(search, store, monkeypatch, words):
    from energy.carbon import UNKNOWN_CARBON
    from pipeline.search import command

    command.machine_meter(None).carbon = UNKNOWN_CARBON
    code, _, err = search(*words)
    assert code == 2
    assert f"{words[0]} {words[1]}: no carbon intensity is known here" in err
    assert recorded(store) == ([], [])


@pytest.mark.parametrize(
    "words",
    [
        ("--budget-kj", "5"),
        ("--budget-g", "5"),
        ("--objective", "energy"),
        ("--objective", "time,energy"),
        ("--objective", "val_accuracy:100,net_energy:-1"),
    ],
)
def test_energy_that_nobody_measures_is_refused(search, store, monkeypatch, words):
    from energy import EnergyMeter
    from energy.carbon import Carbon
    from pipeline.search import command

    unmeasured = EnergyMeter([], carbon=Carbon(360.0, "given", "of a test"))
    monkeypatch.setattr(command, "machine_meter", lambda metering: unmeasured)
    code, _, err = search("--objective", "time", *words)
    assert code == 2
    assert f"{words[0]} {words[1]}: no energy is measured here" in err
    assert recorded(store) == ([], [])


def test_time_is_saved_where_nobody_measures_energy(search, store, monkeypatch):
    from energy import EnergyMeter
    from pipeline.search import command

    monkeypatch.setattr(command, "machine_meter", lambda metering: EnergyMeter([]))
    code, out, err = search("--objective", "time", "--trials", "1", "--repeats", "1")
    assert code == 0, err
    assert "energy not measured" in out


def test_a_front_is_told_confirmed_and_taken_up_again(search, store):
    words = ("--objective", "val_accuracy,energy,val_loss", "--sampler", "nsgaii", *LIMITS)
    search(*words, "--experiment", "undisturbed")
    (undisturbed,), expected = recorded(store, "undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(patch, 2)
        assert search(*words)[0] == 130
    code, out, err = search(*words, "--resume")
    assert code == 0, err
    (parent,), children = recorded(store)
    assert record_of(children) == record_of(expected)
    members = parent.data.tags["search.front"]
    assert members == undisturbed.data.tags["search.front"]
    assert "Pareto front of val_accuracy, energy_to_accuracy_j, val_loss: " in out
    again = {
        run.data.tags["config_id"]
        for run in children
        if run.data.tags["search.role"] == "confirmation"
    }
    assert 1 <= len(again) <= 2
    for config_id in members.split(", "):
        assert config_id in again
        assert config_id in out
        assert config_id in parent.data.tags["mlflow.note.content"]
    assert (
        "| configuration | seeds | val_accuracy | energy_to_accuracy_j |"
        in (parent.data.tags["mlflow.note.content"])
    )
    assert parent.data.metrics["front_size"] >= 1
    assert "best_so_far" not in parent.data.metrics
    page = Path(store.download_artifacts(parent.info.run_id, "search/front.html"))
    assert "val_loss" in page.read_text()


def test_a_weighted_sum_is_won_by_the_highest(search, store):
    typed = "val_accuracy:100,energy:-0.001"
    code, out, err = search("--objective", typed, "--sampler", "grid", "--repeats", "1")
    assert code == 0, err
    (parent,), children = recorded(store)
    scores = {
        run.data.tags["config_id"]: 100 * run.data.metrics["val_accuracy"]
        - 0.001 * run.data.metrics["energy_to_accuracy_j"]
        for run in children
        if run.data.tags["outcome"] == "REACHED"
    }
    assert parent.data.metrics["best_so_far"] == pytest.approx(max(scores.values()))
    winner = parent.data.tags["search.greenest"]
    assert scores[winner] == max(scores.values())
    assert out.splitlines()[1].startswith("First: ") and winner in out


def test_a_search_for_what_nothing_records_ends_with_the_first_that_reached_the_target(
    search, store
):
    code, _, err = search("--objective", "energy,net_energy", "--sampler", "grid")
    assert code == 1
    assert err.splitlines()[-1].startswith("Error: --objective energy,net_energy: adam-")
    assert "reached the target without net_energy_j, so nothing can be compared" in err
    assert len(recorded(store)[1]) == 1
