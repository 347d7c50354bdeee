"""How configurations do over several datasets: performance profiles."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choice.comparable import hardware_of
from pipeline.choice.objectives import LEAST, MOST
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

OF_THE_TASK = (
    "dataset",
    "label",
    "test_csv",
    "drop_columns",
    "categorical",
    "missing",
    "group",
    "image_size",
    "color_mode",
    "partitioning",
    "time_ordered",
    "target_accuracy",
    "patience",
    "max_epochs",
)
"""Parameters that say what is to be done; the others, without the seed, say how."""

LARGEST_FACTOR = 4.0
"""Of the best, up to which `Profile.score` looks."""

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Profile:
    """One configuration over all tasks.

    Attributes:
        name: what tells it from the other configurations.
        parameters: its hyperparameters, those of the task left out.
        ratios: by task, its cost over that of the best configuration there; infinite where it
            missed the target.
    """

    name: str
    parameters: Mapping[str, str]
    ratios: Mapping[str, float]

    def within(self, factor: float) -> float:
        """Share of the tasks on which it costs at most `factor` times the best."""
        return statistics.fmean(ratio <= factor for ratio in self.ratios.values())

    @property
    def score(self) -> float:
        """Mean of `within` over all factors from 1 to `LARGEST_FACTOR`; 1 is the best on each task.

        As AlgoPerf scores its submissions (Dahl et al., "Benchmarking Neural Network Training
        Algorithms", 2023), which see the same range of factors.
        """
        room = [max(0.0, LARGEST_FACTOR - ratio) for ratio in self.ratios.values()]
        return statistics.fmean(room) / (LARGEST_FACTOR - 1)


@dataclass(frozen=True)
class Profiles:
    """Configurations that were trained on every task.

    Attributes:
        tasks: a dataset with its target, patience and budget, on one machine.
        profiles: the highest score first.
        left_out: names of the other configurations, and why.
    """

    tasks: tuple[str, ...]
    profiles: tuple[Profile, ...]
    left_out: tuple[tuple[str, str], ...]


def profiles_of(runs: "Iterable[RecordedRun]", metric: str = "energy_to_accuracy_j") -> Profiles:
    """Performance profiles over all tasks of these runs.

    After Dolan and Moré, "Benchmarking Optimization Software with Performance Profiles",
    Mathematical Programming 91, 2002. A configuration with a repeat that missed the target costs
    infinitely much there. One that was not trained on some task, or was given up there, is left
    out: what it would have cost is not known. The best of a task is the best of those that are
    compared, so that leaving one out may change the others' profiles.

    Args:
        runs: trained ones, of any datasets and targets.
        metric: a cost of runs that reached their target.
    """
    by_configuration: dict[Key, dict[Key, list[RecordedRun]]] = defaultdict(dict)
    for run in runs:
        by_configuration[_how(run)].setdefault(_what(run), []).append(run)
    tasks = _task_names({task for trained in by_configuration.values() for task in trained})
    names = _differences(by_configuration)
    costs: dict[Key, dict[Key, float]] = {}
    left_out: list[tuple[str, str]] = []
    for configuration, trained in by_configuration.items():
        why = _why_unknown(trained, tasks, metric)
        if why:
            left_out.append((names[configuration], why))
        else:
            costs[configuration] = {task: _cost(trained[task], metric) for task in tasks}
    best = {task: min((each[task] for each in costs.values()), default=math.inf) for task in tasks}
    profiles = [
        Profile(
            names[configuration],
            dict(configuration),
            {
                name: cost[task] / best[task] if math.isfinite(cost[task]) else math.inf
                for task, name in tasks.items()
            },
        )
        for configuration, cost in costs.items()
    ]
    profiles.sort(key=lambda profile: -profile.score)
    return Profiles(tuple(tasks.values()), tuple(profiles), tuple(left_out))


def _what(run: "RecordedRun") -> Key:
    told = [(name, run.parameters.get(name, "")) for name in OF_THE_TASK]
    return (*told, ("digest", run.tags.get("dataset_digest", "")), ("machine", hardware_of(run)))


def _how(run: "RecordedRun") -> Key:
    aside = {"seed", *OF_THE_TASK}
    return tuple(sorted(item for item in run.parameters.items() if item[0] not in aside))


def _why_unknown(
    trained: "Mapping[Key, list[RecordedRun]]", tasks: Mapping[Key, str], metric: str
) -> str:
    """Empty where the cost on each task is known, if only to be infinite."""
    missing = [name for task, name in tasks.items() if task not in trained]
    if missing:
        return f"not trained on {'; '.join(missing)}"
    for task, name in tasks.items():
        outcomes = {run.tags["outcome"] for run in trained[task]}
        if outcomes <= {Outcome.REACHED, Outcome.CAPPED} and Outcome.CAPPED in outcomes:
            return f"given up on {name}"
        if outcomes == {Outcome.REACHED} and not all(_known(run, metric) for run in trained[task]):
            return f"no {metric} on {name}"
    return ""


def _known(run: "RecordedRun", metric: str) -> bool:
    return LEAST < run.metrics.get(metric, math.nan) < MOST


def _cost(runs: "list[RecordedRun]", metric: str) -> float:
    """Mean over seeds of the runs of one configuration on one task."""
    if any(run.tags["outcome"] != Outcome.REACHED for run in runs):
        return math.inf
    by_seed: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        by_seed[run.parameters.get("seed", run.run_id)].append(run.metrics[metric])
    return statistics.fmean(statistics.fmean(same) for same in by_seed.values())


def _task_names(tasks: Iterable[Key]) -> dict[Key, str]:
    """The dataset, and what else tells its tasks apart; in alphabetical order."""
    by_dataset: dict[str, list[Key]] = defaultdict(list)
    for task in tasks:
        by_dataset[dict(task)["dataset"]].append(task)
    names = {}
    for dataset, same in by_dataset.items():
        for task, told in _differences(same).items():
            names[task] = f"{dataset}, {told}" if told else dataset
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _differences(keys: Iterable[Key]) -> dict[Key, str]:
    """For each key, the names and values in which it differs from any other."""
    keys = list(keys)
    values: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        for name, value in key:
            values[name].add(value)
    differing = {name for name, each in values.items() if len(each) > 1}
    return {
        key: ", ".join(f"{name} {value or 'default'}" for name, value in key if name in differing)
        for key in keys
    }
