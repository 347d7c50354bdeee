"""Which hyperparameter matters, and what each of its values does."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.choice import Interval
from pipeline.effects.additive import AdditiveModel
from pipeline.effects.effect import Effect, Effects, Level
from pipeline.effects.factors import MACHINE, Factor, factors_of
from pipeline.effects.grouped import Grouped
from pipeline.effects.importance import MOST_CONFIGURATIONS, importances
from pipeline.effects.measures import ENERGY, MEASURES, REACHING, TIME, Measure, Told, told
from pipeline.effects.sentence import sentence
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

__all__ = ["Effect", "Effects", "Level", "effects_of"]


def effects_of(runs: "Sequence[RecordedRun]") -> Effects:
    """The effect of each hyperparameter that has more than one value.

    Values are rarely tried evenly: a sampler prefers cheap ones, and combines them with cheap
    others. So the means of a value are not raw ones: they are marginal means of a model in which
    each parameter multiplies the cost (adds to the accuracy), by least squares over
    configurations; `AdditiveModel` says how, and what stands for noise. A parameter that another
    one alone decides (momentum that is only ever set with sgd) stays out of the model, and its
    means are raw ones.

    Costs to the target are geometric means over the runs that reached it; misses are counted
    beside them. Costs per epoch are of all runs, without compilation.

    Args:
        runs: trained ones towards one target on one dataset, as `comparable` picks them.
    """
    grouped = Grouped.of(runs)
    factors = factors_of(grouped.parameters)
    leading = [factor for factor in factors if not factor.follows]
    tellers = {measure: told(measure, grouped) for measure in (*MEASURES, REACHING)}
    models = {
        measure.name: AdditiveModel(
            [factor.within(teller.of) for factor in leading],
            teller.repeats,
            teller.least_variance,
        )
        for measure, teller in tellers.items()
        if len(teller.of)
    }
    cost = ENERGY if ENERGY.name in models else TIME
    shares = [
        importances(
            [factor.within(teller.of) for factor in leading],
            teller.repeats.mean,
            [grouped.names[each] for each in teller.of],
        )
        for teller in (tellers[cost], tellers[REACHING])
    ]
    effects = []
    for factor in factors:
        if factor.name == MACHINE:
            continue
        levels = _levels(factor, grouped, models, tellers)
        followers = [each for each in factors if each.follows == factor.name]
        effects.append(
            Effect(
                parameter=factor.name,
                importance=shares[0].get(factor.name),
                importance_for_reaching=shares[1].get(factor.name),
                levels=levels,
                inseparable_from=_inseparable_from(factor, followers, models.get(cost.name)),
                sentence=None if factor.follows else sentence(factor, followers, levels, models),
            )
        )
    outcomes = [run.tags["outcome"] for run in runs]
    return Effects(
        effects=tuple(sorted(effects, key=lambda effect: -(effect.importance or 0.0))),
        configurations=len(grouped.names),
        runs=len(runs),
        reached=outcomes.count(Outcome.REACHED),
        given_up=outcomes.count(Outcome.CAPPED),
        weighed=min(len(tellers[cost].of), MOST_CONFIGURATIONS) if shares[0] else 0,
    )


def _inseparable_from(
    factor: Factor, followers: Sequence[Factor], model: AdditiveModel | None
) -> tuple[str, ...]:
    if factor.follows:
        return (factor.follows,)
    others = () if model is None else model.inseparable_from(factor.name)
    return (*others, *(follower.name for follower in followers))


def _levels(
    factor: Factor,
    grouped: Grouped,
    models: Mapping[str, AdditiveModel],
    tellers: Mapping[Measure, Told],
) -> tuple[Level, ...]:
    means: list[dict[str, Interval]] = [{} for _ in factor.levels]
    for measure in MEASURES:
        if measure.name not in models:
            continue
        model, within = models[measure.name], factor.within(tellers[measure].of)
        if factor.follows:
            present = np.unique(within.index).tolist()
            estimates = {each: model.mean_over(within.index == each) for each in present}
        else:
            estimates = model.means(factor.name)
        for level, estimate in estimates.items():
            means[level][measure.name] = measure.interval(estimate)

    of_run = factor.index[grouped.configuration]
    outcomes = np.array([run.tags["outcome"] for run in grouped.runs])
    return tuple(
        Level(
            value=value,
            configurations=int((factor.index == level).sum()),
            runs=int((of_run == level).sum()),
            reached=int(((of_run == level) & (outcomes == Outcome.REACHED)).sum()),
            given_up=int(((of_run == level) & (outcomes == Outcome.CAPPED)).sum()),
            means=means[level],
        )
        for level, value in enumerate(factor.levels)
    )
