"""Optuna's importances of hyperparameters, for runs that no study of Optuna's may have made."""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.effects.factors import Factor

LEAST_CONFIGURATIONS = 10
"""Fewer do not fill a forest."""

MOST_CONFIGURATIONS = 200
"""Marginals of trees are computed in Python, and more configurations change no second digit."""

TREES, DEPTH = 32, 6


def importances(
    factors: Sequence[Factor], costs: npt.NDArray[np.float64], order: Sequence[str]
) -> dict[str, float]:
    """Share of each factor in the variation of a cost that they explain each on its own.

    fANOVA (Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
    Importance", ICML 2014) as `optuna.importance` has it, with each level of a parameter counting
    the same. The shares add up to 1 even where nothing but noise varies: they say which parameter
    matters more, not whether any does. Which of two that always changed together matters, they
    cannot say.

    Args:
        factors: over the configurations.
        costs: float64, shape (configurations,), finite.
        order: text of each configuration; the first `MOST_CONFIGURATIONS` by it are looked at. A
            hash such as ``config_id`` makes that a fair draw, the same each time.

    Returns:
        By name; empty where there are too few configurations or their cost is the same.
    """
    chosen = np.argsort(np.array(order), kind="stable")[:MOST_CONFIGURATIONS]
    if len(chosen) < LEAST_CONFIGURATIONS or np.ptp(costs[chosen]) == 0:
        return {}
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, BaseDistribution] = {
        factor.name: (
            IntDistribution(0, len(factor.levels) - 1)
            if factor.is_ordered
            else CategoricalDistribution(range(len(factor.levels)))
        )
        for factor in factors
    }
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={factor.name: int(factor.index[place]) for factor in factors},
                distributions=distributions,
                value=float(costs[place]),
            )
            for place in chosen.tolist()
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}
