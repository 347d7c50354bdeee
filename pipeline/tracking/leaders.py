"""The few runs that name the winner, found without reading the others.

Runs that reached the target are read cheapest first. No configuration takes less than its cheapest
run, so once the next run costs more than the best configuration so far, no other can win: as
Fagin, Lotem & Naor stop ("Optimal aggregation algorithms for middleware", 2003). For each
configuration that is met before, all runs are read, since another seed may have missed the target;
and where it comes from a search, those of the leaders that this search has trained again, since
one that it has not is no rival to them.

That holds among runs that compare. Where some differ in what decides it (`ALIKE`), which to leave
out, and what to say of it, takes all of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils

from pipeline.tags import CONFIRMATION, PARENT, ROLE, TRIAL
from pipeline.tracking.pages import found
from pipeline.tracking.store import RecordedRun
from steps.errors import InputError

BestCost = Callable[[Sequence[RecordedRun]], float | None]

ALIKE = (
    "params.target_accuracy",
    "params.patience",
    "tags.dataset_digest",
    "tags.hardware",
    "tags.`energy.gpu`",
    "tags.`energy.cpu`",
    "tags.`energy.ram`",
    "tags.`carbon.place`",
    "tags.`carbon.intensity_g_per_kwh`",
    "tags.`carbon.pue`",
)
"""What trained runs have to share to be compared without a choice or a caution."""

FINISHED = "attributes.status = 'FINISHED'"
TRAINED = f"{FINISHED} and tags.outcome != 'FAILED'"
REACHED = f"{FINISHED} and tags.outcome = 'REACHED'"

CHEAPEST_AT_A_TIME = 50
MOST_CONFIGURATIONS = 100
"""Each takes a request; beyond this, all runs are read in less time."""

ROUNDING = 1 + 1e-9
"""The mean of equal costs may come out a little above them."""


class CannotBeWrittenError(ValueError):
    """MLflow's filters have no way to write this text."""


def read_leaders(
    experiment_id: str, metric: str, best_cost: BestCost, where: str
) -> list[RecordedRun] | None:
    """All runs of the configurations that could win, the newest first.

    Args:
        experiment_id: MLflow's.
        metric: what to spend least of.
        best_cost: as for `query.leaders_of`.
        where: a filter of MLflow's.

    Returns:
        None where all runs of the experiment have to be read: nothing reached its target, the runs
        are not alike, too many configurations could win, or the server cannot be asked this way
        (before MLflow 3.11 it does not know ``IS NULL``).
    """
    try:
        read = _configurations_that_could_win(experiment_id, metric, best_cost, where)
    except (InputError, MlflowException, CannotBeWrittenError):
        # Whatever is wrong is wrong with all runs, too, and told better there.
        return None
    return None if read is None else _newest_first(read)


def _configurations_that_could_win(
    experiment_id: str, metric: str, best_cost: BestCost, where: str
) -> list[list[RecordedRun]] | None:
    read: dict[str, list[RecordedRun]] = {}
    met: set[str] = set()
    followed: set[str] = set()
    best: float | None = None
    for run in found(
        experiment_id,
        _both(f"{REACHED} and metrics.`{metric}` > 0", where),
        order_by=[f"metrics.`{metric}` ASC"],
        page=CHEAPEST_AT_A_TIME,
    ):
        if best is not None and run.metrics[metric] > best * ROUNDING:
            break
        config_id = run.tags.get("config_id")
        if config_id is None or config_id in met:
            continue
        if not met and not _are_all_like(run, experiment_id, where):
            return None
        met.add(config_id)
        wanted = [config_id]
        while wanted:
            if (each := wanted.pop()) in read:
                continue
            if len(read) == MOST_CONFIGURATIONS:
                return None
            same = _both(_compared("tags.config_id", "=", each), where)
            read[each] = list(found(experiment_id, same))
            for search in _searches_that_tried_it(read[each]) - followed:
                followed.add(search)
                wanted += _trained_again(search, experiment_id, where)
        best = best_cost(_newest_first(read.values()))
    return None if best is None else list(read.values())


def _searches_that_tried_it(runs: Sequence[RecordedRun]) -> set[str]:
    """Of a configuration that got to its target with one seed; none where it did with more."""
    reached = [run for run in runs if run.tags.get("outcome") == "REACHED"]
    if len({run.parameters.get("seed", run.run_id) for run in reached}) > 1:
        return set()
    trials = (run.tags for run in reached if run.tags.get(ROLE) == TRIAL)
    return {tags[PARENT] for tags in trials if PARENT in tags}


def _trained_again(search: str, experiment_id: str, where: str) -> set[str]:
    """The configurations of which a search has trained leaders again."""
    again = _compared(f"tags.`{PARENT}`", "=", search)
    again += f" and {_compared(f'tags.`{ROLE}`', '=', CONFIRMATION)}"
    runs = found(experiment_id, _both(again, where))
    return {run.tags["config_id"] for run in runs if "config_id" in run.tags}


def _newest_first(configurations: Iterable[Sequence[RecordedRun]]) -> list[RecordedRun]:
    runs = [run for repeats in configurations for run in repeats]
    return sorted(runs, key=lambda run: (-run.started_at_ms, run.run_id))


def _are_all_like(run: RecordedRun, experiment_id: str, where: str) -> bool:
    return not any(
        any(found(experiment_id, _both(f"{TRAINED} and {other}", where), page=1))
        for name in ALIKE
        for other in _others(name, run)
    )


def _others(name: str, run: RecordedRun) -> Iterator[str]:
    """Filters of the runs that differ from this one."""
    kind, _, key = name.partition(".")
    values = run.parameters if kind == "params" else run.tags
    value = values.get(key.strip("`"))
    if value is None:
        yield f"{name} IS NOT NULL"
    else:
        yield _compared(name, "!=", value)
        if kind == "tags":
            # A run without one of those parameters is none of ours.
            yield f"{name} IS NULL"


def _compared(name: str, comparator: str, text: str) -> str:
    """Part of a filter that compares with any text that filters can hold."""
    for quote in "'\"":
        written = f"{name} {comparator} {quote}{text}{quote}"
        try:
            # What follows is swallowed if the text ends in a backslash.
            parsed = SearchUtils.parse_search_filter(f"{written} and {FINISHED}")
        except MlflowException:
            continue
        if [each["value"] for each in parsed] == [text, "FINISHED"]:
            return written
    raise CannotBeWrittenError(f"{name} {comparator} {text}")


def _both(ours: str, where: str) -> str:
    return f"{ours} and {where}" if where else ours
