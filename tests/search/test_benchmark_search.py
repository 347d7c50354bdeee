"""The replay of benchmarks/search.py, on a table small enough to know what must come out."""

import dataclasses
import math
import sys

import numpy as np
import pytest

from pipeline.search.pruning import Standing, Unpruned
from pipeline.search.space import Space
from pipeline.search.trial import Trial

EPOCHS = 10
SPACE = """
    purpose: Four configurations, none of them the default.
    parameters:
      optimizer: [adam, sgd]
      lr: [0.01, 0.02]
    """
FIXED = {"target_accuracy": "0.9", "patience": "1", "max_epochs": str(EPOCHS)}
REACHED_AFTER = {("adam", "0.01"): 2, ("adam", "0.02"): 8, ("sgd", "0.01"): 2}
"""Epochs to the target, by optimizer and rate; the fourth configuration misses it."""

EPOCH_J, COMPILE_J = 1.0, {"adam": 3.0, "sgd": 4.0}


@pytest.fixture
def tables(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    import tables.replay

    yield tables.replay
    for name in ("tables", "tables.replay"):
        sys.modules.pop(name, None)


@pytest.fixture
def table(tables, space):
    """Of one seed: adam costs 5 J with 0.01 and 11 J with 0.02, sgd 6 J with 0.01."""
    given = space(SPACE)
    points = list(given.points(FIXED))
    optimizers = [str(point["optimizer"]) for point in points]
    epochs = [REACHED_AFTER.get((str(p["optimizer"]), str(p["lr"]))) for p in points]
    return tables.Table(
        space=given,
        fixed=FIXED,
        points=points,
        graphs=np.array([optimizers.index(name) for name in optimizers]),
        outcomes=np.array([["REACHED" if each else "BUDGET_EXHAUSTED"] for each in epochs]),
        accuracies=[[[0.5] * (each - 1) + [0.95] if each else [0.5] * EPOCHS] for each in epochs],
        epoch_j=np.full(len(points), EPOCH_J),
        compile_j=np.array([COMPILE_J[name] for name in optimizers]),
    )


def replayed(tables, table, sampler="grid", pruning="none", trials=99, **more):
    return tables.replay(table, sampler, pruning, 0, trials, **more)


def test_a_graph_is_charged_to_every_trial_and_paid_for_once(tables, table):
    search = replayed(tables, table)
    assert [trial.spent for trial in search.trials] == [5, 11, 6, 14]
    assert list(search.spent_j) == [5, 5 + 8, 5 + 8 + 6, 5 + 8 + 6 + 10]


def test_a_training_that_missed_costs_infinitely_much_in_truth(tables, table):
    assert list(table.above_best) == [1, 11 / 5, 6 / 5, math.inf]
    assert list(replayed(tables, table).above_best) == list(table.above_best)


def test_the_cap_ends_a_training_at_the_epoch_that_the_real_rule_says(tables, table):
    search = replayed(tables, table, pruning="cap")
    # The limit is 1.2 x 5 J. After 3 epochs 6 J are spent and an epoch above the target is missing:
    # adam has paid its 3 J for compiling, sgd is charged the cheapest known until it has ended.
    assert [trial.outcome for trial in search.trials] == ["REACHED", "CAPPED", "REACHED", "CAPPED"]
    assert [trial.spent for trial in search.trials] == [5, 3 + 3, 6, 4 + 3]


def test_what_a_trial_had_to_compile_is_known_to_the_rule_before_its_end(tables, table):
    class Witness(Unpruned):
        def __init__(self) -> None:
            self.seen: list[Standing] = []

        def gives_up(self, standing: Standing) -> str:
            self.seen.append(standing)
            return ""

    witness = Witness()
    shelf = tables._Shelf(table, 0)
    for number, point in enumerate(table.points):
        shelf.train(number, point, witness)
    first_epochs = [each for each in witness.seen if each.epochs == 1]
    assert [each.before for each in first_epochs] == [3, 3, 4, 3]


def test_energy_until_there_counts_what_was_spent_up_to_the_first_good_leader(tables, table):
    search = replayed(tables, table, sampler="brute_force")
    good = [place for place, above in enumerate(search.above_best) if above <= 1.1]
    assert search.until(1.1, leaders=1) == search.spent_j[good[0]]
    assert search.until(0.9, leaders=4) is None


def test_a_lucky_training_hides_the_greenest_from_one_run_but_not_from_the_leaders(tables):
    trials = [Trial(0, {}, "lucky", "REACHED", 9.0), Trial(1, {}, "greenest", "REACHED", 10.0)]
    search = tables.Replay(trials, spent_j=[9.0, 19.0], above_best=[3.0, 1.0])
    assert search.leaders(1, after=2) == [0]
    assert search.until(1.2, leaders=1) is None
    assert search.until(1.2, leaders=2) == 19


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii"])
def test_every_sampler_tries_each_configuration_once_on_a_table(tables, table, sampler):
    search = replayed(tables, table, sampler, "cap")
    assert sorted(trial.config_id for trial in search.trials) == sorted(table.places)


def test_a_replay_ends_when_the_greenest_was_found_but_not_before_it_may(tables, table):
    assert len(replayed(tables, table, enough=1.0).trials) == 1
    assert len(replayed(tables, table, enough=1.0, enough_after=3).trials) == 3


def test_repeats_undo_the_luck_of_a_leader(tables, table):
    two_seeds = dataclasses.replace(
        table,
        outcomes=np.tile(table.outcomes, 2),
        # With the second seed, adam with 0.01 takes 9 epochs instead of 2.
        accuracies=[
            [seeds[0], [0.5] * 8 + [0.95] if place == 0 else seeds[0]]
            for place, seeds in enumerate(table.accuracies)
        ],
    )
    search = replayed(tables, two_seeds)
    assert tables.confirmed(two_seeds, search, 0, after=1, top=1, repeats=2) == 8.5 / 6
    assert tables.confirmed(two_seeds, search, 0, after=4, top=3, repeats=2) == 1


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_the_shipped_tables_hold_all_of_their_space(tables, name):
    file = tables.TABLES / f"{name}.npz"
    table = tables.Table.load(file)
    assert table.fixed["dataset"] == name
    assert table.points == list(Space.load(tables.SPACE).points(table.fixed))
    assert len(table.places) == len(table.points) >= 150
    assert table.seeds == 5
    assert (table.epoch_j > 0).all() and (table.compile_j > 0).all()
    reached = table.outcomes == "REACHED"
    target = float(table.fixed["target_accuracy"])
    for place, seed in np.argwhere(reached):
        assert min(table.accuracies[place][seed][-3:]) > target
    assert file.stat().st_size < 300_000
