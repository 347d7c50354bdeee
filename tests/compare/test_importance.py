"""How much of the cost each hyperparameter decides."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from planted_runs import noisy, run_of

from pipeline.effects import effects_of
from pipeline.effects.factors import Factor
from pipeline.effects.importance import LEAST_CONFIGURATIONS, MOST_CONFIGURATIONS, importances
from pipeline.tracking import RecordedRun


def test_importances_find_what_was_planted_and_agree_with_a_full_forest():
    generator = np.random.default_rng(11)
    runs = [
        run_of(
            {
                "lr": 10 ** generator.uniform(-3, -1),
                "batch_size": (size := int(generator.choice([64, 256, 1024]))),
                "optimizer": (name := str(generator.choice(["adam", "sgd"]))),
            },
            **noisy(generator, size**-0.5 * (3 if name == "sgd" else 1)),
        )
        for _ in range(120)
    ]
    effects = effects_of(runs)
    ours = {effect.parameter: effect.importance for effect in effects.effects}
    assert list(ours)[-1] == "lr"
    assert sum(ours.values()) == pytest.approx(1)
    assert effects.weighed == 120
    assert {effect.importance_for_reaching for effect in effects.effects} == {None}
    theirs = _of_a_study(runs)
    assert ours == pytest.approx(theirs, abs=0.08)


def _of_a_study(runs: list[RecordedRun]) -> dict[str, float]:
    """As Optuna would have told, had it made the runs."""
    distributions = {
        "lr": FloatDistribution(1e-3, 1e-1, log=True),
        "batch_size": CategoricalDistribution((64, 256, 1024)),
        "optimizer": CategoricalDistribution(("adam", "sgd")),
    }
    types = {"lr": float, "batch_size": int, "optimizer": str}
    study = optuna.create_study()
    study.add_trials(
        optuna.trial.create_trial(
            params={name: types[name](run.parameters[name]) for name in types},
            distributions=distributions,
            value=math.log(run.metrics["energy_to_accuracy_j"]),
        )
        for run in runs
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def test_too_few_configurations_have_no_importances():
    generator = np.random.default_rng(12)
    few = [run_of({"lr": lr}, **noisy(generator)) for lr in range(1, LEAST_CONFIGURATIONS)]
    assert effects_of(few).effects[0].importance is None
    assert effects_of(few).weighed == 0
    enough = [*few, run_of({"lr": LEAST_CONFIGURATIONS}, **noisy(generator))]
    assert effects_of(enough).effects[0].importance == pytest.approx(1)


def test_more_configurations_than_are_weighed_are_drawn_the_same_each_time():
    generator = np.random.default_rng(13)
    index = generator.integers(0, 3, 500)
    factors = [
        Factor("a", ("0", "1", "2"), index, True),
        Factor("b", ("x", "y"), generator.integers(0, 2, 500), False),
    ]
    costs = index + 0.1 * generator.standard_normal(500)
    names = [f"{generator.integers(2**32):08x}" for _ in range(500)]
    order = generator.permutation(500)
    one = importances(factors, costs, names)
    assert one["a"] > 0.9
    unseen = np.argsort(names)[MOST_CONFIGURATIONS:]
    changed = costs.copy()
    changed[unseen] = 1e3
    assert importances(factors, changed, names) == one
    shuffled = [each.within(order) for each in factors]
    assert importances(shuffled, costs[order], [names[each] for each in order]) == one
