import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_runs import run_of

from pipeline.profiles import Profile, profiles_of
from pipeline.tracking import RecordedRun

DATASETS = ("digits", "iris", "wine")


def trained(dataset: str, lr: float, energy_j: float, **changes: object) -> RecordedRun:
    return run_of(
        {"dataset": dataset, "lr": lr, **changes.pop("parameters", {})},
        digest=changes.pop("digest", dataset),
        energy_per_epoch_j=(energy_j - 7.0) / 10,
        **changes,
    )


def profile_of(profiles: tuple[Profile, ...], name: str) -> Profile:
    return next(each for each in profiles if each.name == name)


def test_known_profiles_of_two_configurations_on_three_datasets():
    costs = {0.1: (100.0, 300.0, 500.0), 0.2: (200.0, 100.0, 2000.0)}
    runs = [
        trained(dataset, lr, energy_j)
        for lr, energies in costs.items()
        for dataset, energy_j in zip(DATASETS, energies, strict=True)
    ]
    told = profiles_of(runs)
    assert told.tasks == DATASETS
    assert told.left_out == ()
    first, second = told.profiles
    assert first.ratios == pytest.approx({"digits": 1.0, "iris": 3.0, "wine": 1.0})
    assert second.ratios == pytest.approx({"digits": 2.0, "iris": 1.0, "wine": 4.0})
    assert [first.within(factor) for factor in (1, 2.9, 3.01)] == pytest.approx([2 / 3, 2 / 3, 1])
    assert [second.within(factor) for factor in (1, 2.01, 4.01)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert (first.score, second.score) == pytest.approx(((3 + 1 + 3) / 9, (2 + 3 + 0) / 9))


def test_a_miss_costs_infinitely_much_and_is_within_no_factor():
    runs = [
        trained("digits", 0.1, 100.0, seed=0),
        trained("digits", 0.1, 100.0, seed=1, outcome="BUDGET_EXHAUSTED"),
        trained("digits", 0.2, 300.0),
        trained("iris", 0.1, 100.0),
        trained("iris", 0.2, 300.0),
    ]
    told = profiles_of(runs)
    assert profile_of(told.profiles, "lr 0.1").ratios == {"digits": math.inf, "iris": 1.0}
    assert profile_of(told.profiles, "lr 0.1").within(1e9) == 0.5
    assert profile_of(told.profiles, "lr 0.2").ratios == pytest.approx({"digits": 1, "iris": 3})


def test_a_dataset_that_nobody_managed_counts_against_all():
    runs = [trained("digits", lr, 100.0, outcome="DIVERGED") for lr in (0.1, 0.2)]
    runs += [trained("iris", lr, 100.0) for lr in (0.1, 0.2)]
    assert [each.within(4) for each in profiles_of(runs).profiles] == [0.5, 0.5]


def test_what_is_not_known_everywhere_is_left_out_and_said():
    runs = [trained(dataset, 0.1, 100.0) for dataset in ("digits", "iris")]
    runs += [trained("digits", 0.2, 1.0)]
    runs += [trained("digits", 0.3, 1.0), trained("iris", 0.3, 1.0, outcome="CAPPED")]
    unmeasured = run_of({"dataset": "iris", "lr": 0.4}, digest="iris", energy_per_epoch_j=None)
    runs += [trained("digits", 0.4, 1.0), unmeasured]
    told = profiles_of(runs)
    assert [each.name for each in told.profiles] == ["lr 0.1"]
    assert told.profiles[0].ratios == {"digits": 1.0, "iris": 1.0}
    assert set(told.left_out) == {
        ("lr 0.2", "not trained on iris"),
        ("lr 0.3", "given up on iris"),
        ("lr 0.4", "no energy_to_accuracy_j on iris"),
    }


def test_a_configuration_is_the_same_whatever_the_dataset_and_its_target():
    reading = {"label": "kind", "target_accuracy": 0.7, "patience": 5, "max_epochs": 50}
    runs = [
        trained("digits", 0.1, 100.0),
        trained("csv:a.csv", 0.1, 100.0, parameters=reading),
    ]
    told = profiles_of(runs)
    assert told.tasks == ("csv:a.csv", "digits")
    assert [each.parameters for each in told.profiles] == [{"lr": "0.1"}]


def test_two_targets_or_machines_on_one_dataset_are_tasks_of_their_own():
    runs = [
        trained("digits", 0.1, 100.0, parameters={"target_accuracy": target}, hardware=machine)
        for target in (0.9, 0.95)
        for machine in ("old", "new")
    ]
    assert profiles_of(runs).tasks == (
        "digits, target_accuracy 0.9, machine new",
        "digits, target_accuracy 0.9, machine old",
        "digits, target_accuracy 0.95, machine new",
        "digits, target_accuracy 0.95, machine old",
    )


def test_runs_of_one_seed_are_one_repeat():
    runs = [trained("digits", 0.1, 100.0, seed=0)] * 9 + [trained("digits", 0.1, 300.0, seed=1)]
    runs += [trained("digits", 0.2, 100.0)]
    ratios = profile_of(profiles_of(runs).profiles, "lr 0.1").ratios
    assert ratios == pytest.approx({"digits": 2.0})


def test_no_runs_no_profiles():
    told = profiles_of([])
    assert (told.tasks, told.profiles, told.left_out) == ((), (), ())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.floats(1, 10), st.just(math.inf)), min_size=1, max_size=5))
def test_score_is_the_mean_share_over_all_factors_from_1_to_4(ratios):
    profile = Profile("", {}, {str(place): ratio for place, ratio in enumerate(ratios)})
    factors = np.linspace(1, 4, 3001)
    shares = [profile.within(factor) for factor in factors]
    assert profile.score == pytest.approx(np.mean(shares), abs=2e-3)
    assert shares == sorted(shares)
