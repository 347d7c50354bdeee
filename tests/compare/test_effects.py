"""What each hyperparameter does, and what of it the data carry."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_runs import COMPILE_J, COMPILE_S, NOISE, noisy, run_of, scattered

import pipeline.effects
from pipeline.effects import Effect, Effects, effects_of
from pipeline.effects.additive import AdditiveModel, Repeats
from pipeline.effects.factors import Factor, factors_of
from pipeline.tracking import RecordedRun

Runs = list[RecordedRun]
Planter = Callable[[np.random.Generator], Runs]


@pytest.fixture
def unweighed(monkeypatch):
    """Without importances, which take longer than all the rest."""
    monkeypatch.setattr(pipeline.effects, "importances", lambda *given: {})


def effect_of(effects: Effects, parameter: str) -> Effect:
    return next(each for each in effects.effects if each.parameter == parameter)


def values(effect: Effect) -> list[str]:
    return [level.value for level in effect.levels]


def means(effect: Effect, metric: str) -> list[float]:
    return [level.means[metric].mean for level in effect.levels]


def null_grid(generator: np.random.Generator) -> Runs:
    """Nothing matters; three seeds of each."""
    return [
        run_of({"lr": lr, "activation": activation}, seed=seed, **noisy(generator))
        for lr in (0.1, 0.01)
        for activation in ("relu", "tanh", "elu")
        for seed in range(3)
    ]


def null_grid_of_moody_configurations(generator: np.random.Generator) -> Runs:
    """Nothing matters by itself, but each combination has a cost of its own."""
    runs = []
    for lr in (0.1, 0.01, 0.001):
        for activation in ("relu", "tanh", "elu"):
            own = 2.0 * scattered(generator, NOISE)
            together = {"lr": lr, "activation": activation}
            runs += [run_of(together, seed=seed, **noisy(generator, own)) for seed in range(3)]
    return runs


def null_search(generator: np.random.Generator) -> Runs:
    """Nothing matters, for the cost or for reaching the target."""
    return [
        run_of(
            {
                "lr": 10 ** generator.uniform(-3, -1),
                "batch_size": int(generator.choice([64, 128, 256])),
                "optimizer": str(generator.choice(["adam", "sgd"])),
            },
            outcome="REACHED" if generator.random() < 0.7 else "BUDGET_EXHAUSTED",
            **noisy(generator),
        )
        for _ in range(30)
    ]


@pytest.mark.parametrize(
    "planted", [null_grid, null_grid_of_moody_configurations, null_search], ids=lambda p: p.__name__
)
def test_where_there_is_no_effect_hardly_a_sentence_claims_one(planted: Planter, unweighed):
    effects = [
        effect
        for simulation in range(150)
        for effect in effects_of(planted(np.random.default_rng(simulation))).effects
    ]
    assert len(effects) >= 300
    assert sum(effect.sentence is not None for effect in effects) <= 0.05 * len(effects)


def planted_grid(generator: np.random.Generator, seeds: int, moods: float) -> Runs:
    """Batch size b takes 40 / sqrt(b) J per epoch and sqrt(b) epochs, about a hidden layer."""
    runs = []
    for size in (64, 256, 1024):
        for hidden in (6, 24):
            own = scattered(generator, moods)
            planted = {
                "energy_j": 40 / size**0.5 * own * (hidden / 12),
                "epochs": 10 * size**0.5 * scattered(generator, moods) * (12 / hidden),
            }
            both = {"batch_size": size, "hidden": hidden}
            runs += [
                run_of(both, seed=seed, **noisy(generator, **planted)) for seed in range(seeds)
            ]
    return runs


@pytest.mark.parametrize(("seeds", "moods"), [(3, 0.0), (1, 0.0), (3, 0.1), (3, 0.3)])
def test_interval_of_a_value_covers_what_was_planted(seeds, moods, unweighed):
    covered = []
    for simulation in range(150):
        runs = planted_grid(np.random.default_rng(simulation), seeds, moods)
        for level in effect_of(effects_of(runs), "batch_size").levels:
            root = float(level.value) ** 0.5
            for metric, truth in (("energy_per_epoch_j", 40 / root), ("epochs", 10 * root)):
                interval = level.means[metric]
                covered.append(interval.low <= truth <= interval.high)
    assert 0.925 <= np.mean(covered) <= 0.985


def test_sentence_tells_apart_what_moves_in_opposite_directions():
    generator = np.random.default_rng(0)
    runs = [
        run_of(
            {"batch_size": size, "hidden": hidden},
            seed=seed,
            energy_per_epoch_j={64: 9.0, 512: 3.0}[size] * scattered(generator, 0.02),
            epochs={64: 100, 512: 200}[size] * scattered(generator, 0.02),
        )
        for size in (512, 64)
        for hidden in (6, 12, 24, 48)
        for seed in range(3)
    ]
    effects = effects_of(runs)
    assert effect_of(effects, "hidden").sentence is None
    told = re.fullmatch(
        r"Batch size 512 instead of 64 takes "
        r"([\d.]+) \(([\d.]+) to ([\d.]+)\) times less energy to the target, "
        r"and ([\d.]+) \(([\d.]+) to ([\d.]+)\) times less energy per epoch, "
        r"but ([\d.]+) \(([\d.]+) to ([\d.]+)\) times more epochs\.",
        effect_of(effects, "batch_size").sentence,
    )
    figures = [float(figure) for figure in told.groups()]
    for value, low, high, truth in zip(*[iter(figures)] * 3, (1.5, 3.0, 2.0), strict=True):
        assert low < value < high
        assert low < truth < high


def test_cheap_company_does_not_make_a_value_look_cheap(unweighed):
    """Mostly tried with the small layer, lr 0.1 has the lower raw mean, for no merit of its own."""
    generator = np.random.default_rng(1)
    runs = []
    for trial in range(80):
        hidden = (16, 256)[trial % 2]
        lr = {16: 0.1, 256: 0.01}[hidden] if trial % 5 else {16: 0.01, 256: 0.1}[hidden]
        planted = noisy(generator, 0.1 * hidden)
        runs.append(
            run_of({"lr": lr, "hidden": hidden, "trial": trial // 40}, seed=trial, **planted)
        )
    raw = {
        lr: np.log([r.metrics["energy_spent_j"] for r in runs if r.parameters["lr"] == lr]).mean()
        for lr in ("0.1", "0.01")
    }
    effects = effects_of(runs)
    low, high = (level.means["energy_to_accuracy_j"] for level in effect_of(effects, "lr").levels)
    assert raw["0.01"] - raw["0.1"] > math.log(2)
    assert abs(math.log(high.mean / low.mean)) < math.log(1.2)
    assert effect_of(effects, "lr").sentence is None
    assert "times less energy to the target" in effect_of(effects, "hidden").sentence


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.floats(0.1, 1e4), min_size=3, max_size=3), min_size=2, max_size=4),
)
def test_in_a_full_grid_marginal_means_are_the_plain_ones(costs):
    """Known answer: a balanced design needs no adjustment."""
    size, width = np.array(costs).shape
    index = np.indices((size, width)).reshape(2, -1)
    factors = [
        Factor(name, tuple(map(str, range(each.max() + 1))), each, True)
        for name, each in zip("ab", index, strict=True)
    ]
    logs = np.log(np.array(costs))
    model = AdditiveModel(factors, Repeats(logs.ravel(), np.ones(logs.size), 0.0))
    assert [each.value for each in model.means("a").values()] == pytest.approx(logs.mean(axis=1))
    assert [each.value for each in model.means("b").values()] == pytest.approx(logs.mean(axis=0))


@settings(max_examples=200, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_levels_compare_just_where_the_design_connects_them(cells):
    """Two-way designs: levels compare where a path of shared configurations joins them."""
    index = np.array(sorted(cells)).T
    factors = [
        Factor(name, tuple("01234"), row, True) for name, row in zip("ab", index, strict=True)
    ]
    model = AdditiveModel(factors, Repeats(np.ones(len(cells)), np.ones(len(cells)), 0.0))
    joined = {level: {level} for level in index[0].tolist()}
    for _ in range(5):
        for one, group in joined.items():
            columns = {b for a, b in cells if a in group}
            joined[one] = group | {a for a, b in cells if b in columns}
    expected = sorted({tuple(sorted(group)) for group in joined.values()})
    assert sorted(map(tuple, model.connected("a"))) == expected
    assert model.inseparable_from("a") == (("b",) if len(expected) > 1 else ())


def test_what_always_changed_together_is_named_together():
    generator = np.random.default_rng(2)
    runs = [
        run_of({"optimizer": name, "momentum": momentum}, seed=seed, **noisy(generator, joules))
        for name, momentum, joules in (("adam", 0.0, 2.0), ("lion", 0.0, 2.0), ("sgd", 0.9, 20.0))
        for seed in range(6)
    ]
    effects = effects_of(runs)
    optimizer, momentum = effect_of(effects, "optimizer"), effect_of(effects, "momentum")
    assert " instead of sgd (momentum 0.9) takes " in optimizer.sentence
    assert "(momentum 0.0)" in optimizer.sentence
    assert optimizer.inseparable_from == ("momentum",)
    assert momentum.sentence is None
    assert momentum.inseparable_from == ("optimizer",)
    low, high = means(momentum, "energy_per_epoch_j")
    assert 5 < high / low < 20


def test_what_changed_only_with_the_machine_is_not_told_from_it():
    generator = np.random.default_rng(3)
    runs = [
        run_of(
            {"jit_compile": jit, "lr": lr},
            seed=seed,
            hardware=machine,
            **noisy(generator, joules),
        )
        for jit, machine, joules in (("off", "slow", 20.0), ("on", "fast", 2.0))
        for lr in (0.1, 0.03, 0.01, 0.003)
        for seed in range(5)
    ]
    effects = effects_of(runs)
    assert [effect.parameter for effect in effects.effects] == ["jit_compile", "lr"]
    assert effect_of(effects, "jit_compile").inseparable_from == ("hardware",)
    assert effect_of(effects, "jit_compile").sentence is None


def test_machines_that_all_ran_do_not_hide_an_effect():
    generator = np.random.default_rng(4)
    runs = [
        run_of({"lr": lr}, seed=seed, hardware=machine, **noisy(generator, joules * cheaper))
        for machine, joules in (("slow", 200.0), ("fast", 2.0))
        for lr, cheaper in ((0.1, 0.25), (0.01, 1.0))
        for seed in range(5)
    ]
    effects = effects_of(runs)
    assert effects.configurations == 4
    assert effect_of(effects, "lr").sentence.startswith("Learning rate 0.1 instead of 0.01 takes ")


def test_an_epoch_costs_the_same_however_many_share_the_compilation():
    runs = [run_of({"lr": lr}, epochs=epochs) for lr, epochs in ((0.1, 1.0), (0.01, 1000.0))]
    shared = replace(
        runs[0],
        metrics={**runs[0].metrics, "energy_spent_j": 2.0, "time_spent_s": 0.1},
        tags={**runs[0].tags, "training.graph": "compiled by an earlier run of the process"},
    )
    missed = {
        k: v for k, v in shared.metrics.items() if not k.endswith(("accuracy_j", "accuracy_s"))
    }
    capped = replace(shared, metrics=missed, tags={**shared.tags, "outcome": "CAPPED"})
    for first in (runs[0], shared, capped):
        effect = effect_of(effects_of([first, runs[1]]), "lr")
        assert means(effect, "energy_per_epoch_j") == pytest.approx([2.0, 2.0])
        assert means(effect, "time_per_epoch_s") == pytest.approx([0.1, 0.1])
    assert COMPILE_J > 0 < COMPILE_S


def test_finding_a_learning_rate_is_no_part_of_an_epoch():
    found = run_of({"lr": "auto"}, epochs=10.0, find_lr_energy_j=5.0, find_lr_time_s=0.2)
    effect = effect_of(effects_of([found, run_of({"lr": 0.1}, epochs=10.0)]), "lr")
    assert means(effect, "energy_per_epoch_j") == pytest.approx([2.0, 1.5])
    assert means(effect, "time_per_epoch_s") == pytest.approx([0.1, 0.08])


def test_misses_are_counted_and_their_cost_is_no_cost_to_the_target():
    runs = [
        run_of({"lr": 0.1}, seed=0, epochs=10.0),
        run_of({"lr": 0.1}, seed=1, epochs=500.0, outcome="BUDGET_EXHAUSTED", val_accuracy=0.5),
        run_of({"lr": 0.1}, seed=2, epochs=3.0, outcome="CAPPED", val_accuracy=0.1),
        run_of({"lr": 0.2}, seed=0, epochs=3.0, outcome="DIVERGED", val_accuracy=math.nan),
    ]
    effects = effects_of(runs)
    assert (effects.configurations, effects.runs, effects.reached, effects.given_up) == (2, 4, 1, 1)
    good, bad = effect_of(effects, "lr").levels
    assert (good.runs, good.reached, good.given_up, good.share_reached) == (3, 1, 1, 0.5)
    assert (bad.runs, bad.reached, bad.given_up, bad.share_reached) == (1, 0, 0, 0.0)
    assert good.means["epochs"].mean == pytest.approx(10)
    assert good.means["energy_to_accuracy_j"].mean == pytest.approx(20 + COMPILE_J)
    assert good.means["val_accuracy"].mean == pytest.approx(0.73)
    assert bad.means.keys() == {"energy_per_epoch_j", "time_per_epoch_s"}


def test_sentence_says_how_many_runs_the_costs_leave_out():
    generator = np.random.default_rng(5)
    runs = [
        run_of(
            {"lr": lr},
            seed=seed,
            outcome=("BUDGET_EXHAUSTED", "CAPPED", "REACHED")[min(seed, 2)]
            if lr == 1.0
            else "REACHED",
            **noisy(generator, 20.0 * lr),
        )
        for lr in (0.1, 1.0)
        for seed in range(8)
    ]
    assert effect_of(effects_of(runs), "lr").sentence.endswith(
        "(of the runs, the target was reached by 8 of 8 with 0.1 and 6 of 7 with 1.0; given up: 1)."
    )


def test_reaching_the_target_more_often_is_said_where_costs_say_nothing():
    generator = np.random.default_rng(6)
    runs = [
        run_of(
            {"optimizer": name, "lr": 10 ** generator.uniform(-3, -1)},
            outcome="REACHED" if name == "adam" or generator.random() < 0.3 else "BUDGET_EXHAUSTED",
            **noisy(generator),
        )
        for name in ("adam", "sgd")
        for _ in range(20)
    ]
    effects = effects_of(runs)
    assert re.fullmatch(
        r"Optimizer adam instead of sgd reaches the target in 20 of 20 runs, not in \d of 20\.",
        effect_of(effects, "optimizer").sentence,
    )
    assert effect_of(effects, "optimizer").importance_for_reaching > 0.5


@pytest.mark.parametrize(("configurations", "is_said"), [(2, False), (10, True)])
def test_all_against_none_is_certain_only_where_there_are_enough(configurations, is_said):
    runs = [
        run_of({"optimizer": name, "lr": lr}, outcome=outcome)
        for name, outcome in (("adam", "REACHED"), ("sgd", "DIVERGED"))
        for lr in range(configurations)
    ]
    assert (effect_of(effects_of(runs), "optimizer").sentence is not None) == is_said


def test_where_no_energy_was_measured_time_is_told():
    generator = np.random.default_rng(7)
    runs = [
        run_of(
            {"lr": lr},
            seed=seed,
            energy_per_epoch_j=None,
            epochs=epochs * scattered(generator, 0.1),
        )
        for lr, epochs in ((0.1, 10.0), (0.01, 1000.0))
        for seed in range(5)
    ]
    effect = effect_of(effects_of(runs), "lr")
    assert "energy" not in effect.sentence
    assert "times less time to the target, and" in effect.sentence
    assert "energy_per_epoch_j" not in effect.levels[0].means


def test_the_same_seed_again_is_no_further_repeat():
    generator = np.random.default_rng(8)
    runs = [
        run_of({"lr": lr}, seed=seed, **noisy(generator)) for lr in (0.1, 0.2) for seed in range(3)
    ]
    again = [replace(run, run_id=f"{run.run_id}-again") for run in runs]
    once, twice = effects_of(runs), effects_of([*runs, *again])
    for level, doubled in zip(once.effects[0].levels, twice.effects[0].levels, strict=True):
        for metric, interval in level.means.items():
            assert vars(doubled.means[metric]) == pytest.approx(vars(interval))


def test_numbers_that_never_scatter_have_no_interval():
    runs = [run_of({"lr": lr}, seed=seed) for lr in (0.1, 0.2) for seed in range(3)]
    effect = effects_of(runs).effects[0]
    assert all(each.low is each.high is None for each in effect.levels[0].means.values())
    assert effect.sentence is None


def test_the_test_part_decides_nothing():
    generator = np.random.default_rng(9)
    runs = null_search(generator)
    scored = [
        replace(run, metrics={**run.metrics, "test_accuracy": generator.random()}) for run in runs
    ]
    assert effects_of(scored) == effects_of(runs)
    assert not any("test" in metric for metric in effects_of(scored).effects[0].levels[0].means)


def test_order_of_the_runs_does_not_matter():
    runs = null_search(np.random.default_rng(10))
    one, other = effects_of(runs), effects_of(runs[::-1])
    assert [each.parameter for each in one.effects] == [each.parameter for each in other.effects]
    for effect, same in zip(one.effects, other.effects, strict=True):
        assert values(effect) == values(same)
        assert effect.importance == pytest.approx(same.importance)
        assert means(effect, "epochs") == pytest.approx(means(same, "epochs"))


def test_values_are_in_the_order_of_numbers_and_words_come_last():
    sizes = ["512", "64", "full", "128", "1024"]
    runs = [run_of({"batch_size": size, "lr": 0.1}) for size in sizes]
    assert values(effects_of(runs).effects[0]) == ["64", "128", "512", "1024", "full"]


def test_many_numbers_are_grouped_by_quartiles_and_rare_words_together():
    configurations = [
        {"lr": str(lr), "hidden": hidden}
        for lr, hidden in zip(
            range(1, 101), [*["256,256"] * 80, *[f"{n},{n}" for n in range(20)]], strict=True
        )
    ]
    lr, hidden = factors_of(configurations)
    assert lr.levels == ("1 to 25", "26 to 50", "51 to 75", "76 to 100")
    assert np.bincount(lr.index).tolist() == [25, 25, 25, 25]
    assert len(hidden.levels) == 8
    assert {"256,256", "others"} < set(hidden.levels)


def test_what_no_repeat_decides_is_no_parameter():
    runs = [run_of({"lr": lr}, seed=seed) for lr in (0.1,) for seed in range(3)]
    renamed = replace(runs[0], parameters={**runs[0].parameters, "dataset": "csv:renamed.csv"})
    assert effects_of([*runs, renamed]).effects == ()
    assert effects_of([]) == Effects((), 0, 0, 0, 0, 0)
