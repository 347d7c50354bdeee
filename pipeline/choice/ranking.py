"""The ranking, and what of it the noise allows to say."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.choice.comparable import Excluded
from pipeline.choice.noise import Estimate, Interval, Noise
from pipeline.choice.objectives import MOST, TABLE, Objective
from pipeline.choice.repeats import (
    Figures,
    Repeat,
    has_reached,
    repeats_of,
    share_reached,
    that_count,
    tried_once,
)
from pipeline.choice.verdict import verdict_on

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

ALWAYS = ("energy", "emissions", "time", "epochs")
"""Objectives of which each ranked configuration has an interval, where they were recorded."""


@dataclass(frozen=True)
class Ranked:
    """A configuration that reached the target in enough of its repeats.

    Attributes:
        config_id: the same for all its runs.
        parameters: its hyperparameters, without the seed.
        runs: all of them; those of one seed count as one repeat.
        intervals: by metric, of the objective's and of `ALWAYS`, where all its repeats have it.
            Where some missed the target, what it takes to reach it once, the misses included.
    """

    config_id: str
    parameters: Mapping[str, str]
    runs: tuple["RecordedRun", ...]
    intervals: Mapping[str, Interval]

    @property
    def name(self) -> str:
        """That of its runs, without the seed."""
        first = self.runs[0]
        return first.name.removesuffix(f"-s{first.parameters.get('seed')}")

    @property
    def repeats(self) -> int:
        """How many seeds it was run with."""
        return len(self._by_seed)

    @property
    def share_reached(self) -> float:
        """Of the repeats, how many reached the target."""
        return share_reached(self._by_seed)

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the repeats that reached the target.

        None unless each of them has it.
        """
        means = []
        for repeat in self._by_seed:
            reached = filter(has_reached, repeat.runs)
            values = [run.metrics.get(metric, math.nan) for run in reached]
            means += [sum(values) / len(values)] if values else []
        mean = sum(means) / len(means)
        return mean if abs(mean) < MOST else None

    @cached_property
    def _by_seed(self) -> tuple[Repeat, ...]:
        return repeats_of(self.runs)


@dataclass(frozen=True)
class Choice:
    """The ranking, cheapest first.

    Attributes:
        ranking: empty where no configuration reached the target.
        tied_with: configurations that may be the greenest as well as the first; empty where the
            first is told from each other; None where there are no repeats that could tell.
        excluded: runs that are not ranked.
        repeats_to_decide: with how many more seeds for each of the tied (the first among them)
            the first would be told from them with a chance of 80 %, if the differences are what
            they seem; None where nothing is tied, or a thousand would not do.
        behind: how many at the end of the ranking are no rivals to those before them: a search
            tried them once while it trained others again, and one run may be lucky.
    """

    ranking: tuple[Ranked, ...]
    tied_with: tuple[Ranked, ...] | None
    excluded: tuple[Excluded, ...]
    repeats_to_decide: int | None = None
    behind: int = 0

    @property
    def rivals(self) -> tuple[Ranked, ...]:
        """Those of the ranking that may be the first."""
        return self.ranking[: len(self.ranking) - self.behind]


def without_noise(choice: Choice) -> Choice:
    """The first of a ranking alone, of whose noise nothing is known: other runs were not read."""
    first = [
        replace(
            ranked,
            intervals={
                name: Interval(each.mean, None, None) for name, each in ranked.intervals.items()
            },
        )
        for ranked in choice.ranking[:1]
    ]
    return Choice(tuple(first), None, choice.excluded)


def choose(
    runs: Sequence["RecordedRun"], objective: str | Objective, *, min_success: float = 1.0
) -> Choice:
    """Rank configurations by their mean cost over repeats.

    A configuration that missed the target in more of its repeats than `min_success` allows is left
    out: what it takes to get there is not known, and may be without bound. Where misses are
    allowed they are paid for: the cost is that of reaching the target once
    (`noise.estimate_per_success`). One with a repeat that was given up (CAPPED) is never ranked.
    What a search tried once while it trained others again comes behind those (`Choice.behind`).

    Args:
        runs: comparable ones.
        objective: the name of one, or one of `objective_named` or `weighted`.
        min_success: share of a configuration's repeats that must have reached the target.
    """
    sought = TABLE[objective] if isinstance(objective, str) else objective
    by_configuration: dict[str, list[RecordedRun]] = defaultdict(list)
    for run in runs:
        by_configuration[run.tags["config_id"]].append(run)

    excluded: list[Excluded] = []
    candidates: dict[str, tuple[Repeat, ...]] = {}
    for config_id, all_runs in by_configuration.items():
        repeats, left_out = that_count(all_runs, min_success)
        excluded += left_out
        if repeats:
            candidates[config_id] = repeats

    own = _estimates(candidates, sought)
    for config_id in candidates.keys() - own.keys():
        why = f"no {sought.name} was recorded, or not in all its repeats"
        excluded += [Excluded(run, why) for run in _runs(candidates.pop(config_id))]
    once = tried_once({config_id: candidates[config_id] for config_id in own})
    # A property of the trained model is no matter of luck.
    behind = once if sought.spent is not None else set()
    sign = -1 if sought.weights is not None else 1
    order = sorted(own, key=lambda name: (name in behind, sign * own[name].mean))
    verdict = verdict_on([own[config_id] for config_id in order if config_id not in behind])

    intervals = _intervals_of_others(candidates, sought)
    for config_id, estimate in own.items():
        contenders = verdict.contenders if config_id == order[0] else 1
        intervals[config_id][sought.metric] = estimate.interval(sought.scale, contenders)
    ranking = tuple(
        _ranked(config_id, candidates[config_id], intervals[config_id]) for config_id in order
    )
    tied = None if verdict.tied is None else tuple(ranking[place] for place in verdict.tied)
    return Choice(ranking, tied, tuple(excluded), verdict.repeats_to_decide, len(behind))


def _estimates(
    candidates: Mapping[str, Sequence[Repeat]], objective: Objective
) -> dict[str, Estimate]:
    """By configuration, of those that have the figure in all their repeats."""
    known = {
        config_id: figures
        for config_id, repeats in candidates.items()
        if (figures := Figures.of(repeats, objective)) is not None
    }
    sure = (figures.values for figures in known.values() if figures.all_reached)
    noise = Noise.of(sure, objective.scale)
    return {config_id: each.estimate(noise, objective.scale) for config_id, each in known.items()}


def _intervals_of_others(
    candidates: Mapping[str, Sequence[Repeat]], sought: Objective
) -> dict[str, dict[str, Interval]]:
    intervals: dict[str, dict[str, Interval]] = {config_id: {} for config_id in candidates}
    for objective in (TABLE[name] for name in ALWAYS if name != sought.name):
        for config_id, estimate in _estimates(candidates, objective).items():
            intervals[config_id][objective.metric] = estimate.interval(objective.scale)
    return intervals


def _ranked(config_id: str, repeats: Sequence[Repeat], intervals: Mapping[str, Interval]) -> Ranked:
    runs = _runs(repeats)
    parameters = {name: value for name, value in runs[0].parameters.items() if name != "seed"}
    return Ranked(config_id, parameters, runs, intervals)


def _runs(repeats: Sequence[Repeat]) -> tuple["RecordedRun", ...]:
    return tuple(run for repeat in repeats for run in repeat.runs)
