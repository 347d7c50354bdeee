"""Which configuration is the greenest, among runs towards one target on one dataset."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

OBJECTIVES = {
    "energy": "energy_to_accuracy_j",
    "emissions": "emissions_kg",
    "time": "time_to_accuracy_s",
}
MISSED = (Outcome.BUDGET_EXHAUSTED, Outcome.DIVERGED, Outcome.CAPPED)
FACETS = {"dataset", "target_accuracy", "patience"}
"""Parameters that must be the same for costs to be compared."""
CONFIDENCE = 0.95
DRAWS = 20_000


@dataclass(frozen=True)
class Interval:
    """Mean over repeats; `low` and `high` are None where no repeat tells of the noise."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ranked:
    """A configuration that reached the target in all of its repeats.

    Attributes:
        config_id: the same for all its runs.
        parameters: its hyperparameters, without the seed.
        runs: all of them; those of one seed count as one repeat.
        intervals: by metric, of each objective's metric that all its repeats have.
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
        return len({run.parameters.get("seed", run.run_id) for run in self.runs})

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the repeats; None unless each of them has it."""
        values = [run.metrics.get(metric) for run in self.runs]
        present = [value for value in values if value is not None]
        return statistics.fmean(present) if len(present) == len(values) else None


@dataclass(frozen=True)
class Excluded:
    """A run that is not ranked, and why."""

    run: "RecordedRun"
    why: str


@dataclass(frozen=True)
class Choice:
    """The ranking, cheapest first.

    Attributes:
        ranking: empty where no configuration reached the target.
        tied_with: configurations that the noise does not tell from the first; None where there
            are no repeats that could tell.
        excluded: runs that are not ranked.
    """

    ranking: tuple[Ranked, ...]
    tied_with: tuple[Ranked, ...] | None
    excluded: tuple[Excluded, ...]


def comparable(
    runs: Iterable["RecordedRun"],
    dataset: str = "",
    target_accuracy: float | None = None,
    patience: int | None = None,
) -> tuple[list["RecordedRun"], list[Excluded]]:
    """The runs that trained on one dataset towards one target, and those that are none of these.

    Args:
        runs: of one experiment.
        dataset: as it was named, or its digest; empty if there is only one.
        target_accuracy: None if there is only one.
        patience: None if there is only one.

    Raises:
        InputError: there are several, and the user has to pick.
    """
    trained, excluded = [], []
    for run in runs:
        if not _is_ours(run):
            excluded.append(Excluded(run, "not a run of Greenest"))
        elif run.status != "FINISHED" or run.tags.get("outcome") not in (Outcome.REACHED, *MISSED):
            excluded.append(Excluded(run, _unfinished(run)))
        else:
            trained.append(run)

    for option, wanted, facets in (
        ("--dataset", dataset or None, _dataset),
        ("--target-accuracy", target_accuracy, _target_accuracy),
        ("--patience", patience, _patience),
    ):
        if wanted is not None:
            others = [run for run in trained if wanted not in facets(run)]
            trained = [run for run in trained if wanted in facets(run)]
            excluded += [Excluded(run, f"other {option}: {_shown(facets(run))}") for run in others]
            if others and not trained:
                raise InputError(
                    option, wanted, f"no run has it; choose {_choices(others, facets)}"
                )
        if len({facets(run)[-1] for run in trained}) > 1:
            why = "is needed, since the runs differ in it" if wanted is None else "names several"
            problem = f"{why}; choose {_choices(trained, facets)}"
            raise InputError(option, "" if wanted is None else wanted, problem)
    return trained, excluded


def _is_ours(run: "RecordedRun") -> bool:
    if "config_id" not in run.tags or not run.parameters.keys() >= FACETS:
        return False
    try:
        _target_accuracy(run), _patience(run)
    except ValueError:
        return False
    return True


def _dataset(run: "RecordedRun") -> tuple[object, ...]:
    # The digest comes last because it identifies: a file may change and keep its name.
    return run.parameters["dataset"], run.tags.get("dataset_digest", "")


def _target_accuracy(run: "RecordedRun") -> tuple[object, ...]:
    return (float(run.parameters["target_accuracy"]),)


def _patience(run: "RecordedRun") -> tuple[object, ...]:
    return (int(run.parameters["patience"]),)


def _choices(
    runs: Sequence["RecordedRun"], facets: Callable[["RecordedRun"], tuple[object, ...]]
) -> str:
    return "one of " + ", ".join(sorted({_shown(facets(run)) for run in runs}))


def _shown(facets: tuple[object, ...]) -> str:
    name, *digest = map(str, facets)
    return f"{name} ({digest[0]})" if digest else name


def _unfinished(run: "RecordedRun") -> str:
    if "failure" in run.tags:
        return shorten(f"{run.status}: {run.tags['failure']}", 120, placeholder=" …")
    if "found_lr" in run.metrics:
        return "only looked for a learning rate"
    return "still running" if run.status == "RUNNING" else "not trained"


def choose(runs: Sequence["RecordedRun"], objective: str) -> Choice:
    """Rank configurations by their mean cost over repeats.

    A configuration with a repeat that missed the target is left out: what it takes to get there
    is not known, and may be without bound.

    The interval and the ties treat the noise of a cost as lognormal, with one relative spread for
    all configurations, pooled over their repeats (Student's t with the pooled degrees of freedom).

    Args:
        runs: comparable ones.
        objective: a key of `OBJECTIVES`.
    """
    metric = OBJECTIVES[objective]
    by_configuration: dict[str, list[RecordedRun]] = defaultdict(list)
    for run in runs:
        by_configuration[run.tags["config_id"]].append(run)

    excluded: list[Excluded] = []
    candidates: dict[str, list[RecordedRun]] = {}
    for config_id, repeats in by_configuration.items():
        if any(run.tags["outcome"] in MISSED for run in repeats):
            excluded += [Excluded(run, _missed(run)) for run in repeats]
        elif not _all_cost(repeats, metric):
            excluded += [Excluded(run, f"no {objective} was recorded") for run in repeats]
        else:
            candidates[config_id] = repeats

    noises = {each: Noise.of(_costs(candidates, each).values()) for each in OBJECTIVES.values()}
    ranking = sorted(
        (_rank(config_id, repeats, noises) for config_id, repeats in candidates.items()),
        key=lambda ranked: ranked.intervals[metric].mean,
    )
    tied = None
    if ranking and noises[metric].degrees_of_freedom:
        costs = _costs(candidates, metric)
        best = costs[ranking[0].config_id]
        tied = tuple(
            other
            for other in ranking[1:]
            if not noises[metric].tells_apart(best, costs[other.config_id])
        )
    return Choice(tuple(ranking), tied, tuple(excluded))


def probabilities_of_being_best(choice: Choice, objective: str) -> dict[str, float]:
    """For each ranked configuration, the probability that its true mean cost is the least.

    By drawing means and the noise that they share from their posterior under the lognormal model
    of `choose` with flat priors; empty where no repeat tells of the noise.
    """
    import numpy as np

    metric = OBJECTIVES[objective]
    costs = _costs({ranked.config_id: ranked.runs for ranked in choice.ranking}, metric)
    noise = Noise.of(costs.values())
    if not noise.degrees_of_freedom:
        return {}
    generator = np.random.default_rng(0)
    chi_square = generator.chisquare(noise.degrees_of_freedom, (DRAWS, 1))
    spread = noise.log_spread * np.sqrt(noise.degrees_of_freedom / chi_square)
    means = np.log([statistics.fmean(repeats) for repeats in costs.values()])
    per_repeat = 1 / np.sqrt([len(repeats) for repeats in costs.values()])
    drawn = means + spread * per_repeat * generator.standard_normal((DRAWS, len(means)))
    wins = np.bincount(drawn.argmin(axis=1), minlength=len(means)) / DRAWS
    return dict(zip(costs, wins.tolist(), strict=True))


def _costs(
    candidates: Mapping[str, Sequence["RecordedRun"]], metric: str
) -> dict[str, list[float]]:
    """Costs by configuration, of those whose repeats all have one.

    Runs of one seed are one repeat, of their mean cost: the same seed takes the same epochs again,
    and hides what another one would.
    """
    return {
        config_id: [statistics.fmean(same_seed) for same_seed in _by_seed(repeats, metric)]
        for config_id, repeats in candidates.items()
        if _all_cost(repeats, metric)
    }


def _by_seed(repeats: Sequence["RecordedRun"], metric: str) -> list[list[float]]:
    costs: dict[str, list[float]] = defaultdict(list)
    for run in repeats:
        costs[run.parameters.get("seed", run.run_id)].append(run.metrics[metric])
    return list(costs.values())


def _all_cost(repeats: Sequence["RecordedRun"], metric: str) -> bool:
    return all(0 < run.metrics.get(metric, 0.0) < math.inf for run in repeats)


def _rank(
    config_id: str, repeats: Sequence["RecordedRun"], noises: Mapping[str, "Noise"]
) -> Ranked:
    own = {config_id: repeats}
    return Ranked(
        config_id=config_id,
        parameters={k: v for k, v in repeats[0].parameters.items() if k != "seed"},
        runs=tuple(repeats),
        intervals={
            metric: noise.interval(costs[config_id])
            for metric, noise in noises.items()
            if (costs := _costs(own, metric))
        },
    )


def _missed(run: "RecordedRun") -> str:
    if run.tags["outcome"] not in MISSED:
        return "another repeat of its configuration missed the target"
    reached = run.metrics.get("val_accuracy")
    ended = "" if reached is None else f", validation accuracy ended at {reached:.4f}"
    return f"missed its target ({run.tags['outcome']}{ended})"


def places(runs: Iterable["RecordedRun"]) -> set[str]:
    """Carbon intensities (and what they are multiplied by) that the emissions rest on."""
    return {
        f"{run.tags.get('carbon.place', 'unknown')} at "
        f"{run.tags.get('carbon.intensity_g_per_kwh', 'unknown')} g/kWh"
        + ("" if run.tags.get("carbon.pue", "1") == "1" else f", PUE {run.tags['carbon.pue']}")
        for run in runs
    }


def closest(runs: Iterable["RecordedRun"]) -> "RecordedRun | None":
    """Of runs that missed, the one whose validation accuracy ended highest."""
    scored = [run for run in runs if math.isfinite(run.metrics.get("val_accuracy", math.nan))]
    return max(scored, key=lambda run: run.metrics["val_accuracy"], default=None)


@dataclass(frozen=True)
class Noise:
    """Relative spread of a cost from one repeat to the next.

    Attributes:
        log_spread: standard deviation of the cost's logarithm, pooled; 0 without repeats.
        degrees_of_freedom: repeats beyond the first, summed over the configurations.
    """

    log_spread: float
    degrees_of_freedom: int

    @classmethod
    def of(cls, costs: Iterable[Sequence[float]]) -> "Noise":
        """Noise of positive costs, one sequence per configuration."""
        squares, degrees = 0.0, 0
        for repeats in costs:
            logs = [math.log(cost) for cost in repeats]
            squares += sum((log - statistics.fmean(logs)) ** 2 for log in logs)
            degrees += len(logs) - 1
        return cls(math.sqrt(squares / degrees) if degrees else 0.0, degrees)

    def interval(self, costs: Sequence[float]) -> Interval:
        """Mean of `costs`, and the limits between which it lies with 95 % confidence."""
        mean = statistics.fmean(costs)
        if not self.degrees_of_freedom:
            return Interval(mean, None, None)
        factor = math.exp(self._reach(1 / len(costs)))
        return Interval(mean, mean / factor, mean * factor)

    def tells_apart(self, costs: Sequence[float], others: Sequence[float]) -> bool:
        """Whether two means differ by more than noise would, at 95 % confidence."""
        difference = math.log(statistics.fmean(others) / statistics.fmean(costs))
        return abs(difference) > self._reach(1 / len(costs) + 1 / len(others))

    def _reach(self, variances: float) -> float:
        from scipy.stats import t

        quantile = float(t.ppf((1 + CONFIDENCE) / 2, self.degrees_of_freedom))
        return quantile * self.log_spread * math.sqrt(variances)
