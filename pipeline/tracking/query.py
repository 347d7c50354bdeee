"""The runs of an experiment: all, or those that name the winner, or the curves of a few.

How they are read depends on where MLflow keeps them, and nothing else does: in a database from its
tables, from a tracking server in pages of its search, from any other store in pages of
MLflow's client.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.search_utils import SearchUtils

from pipeline.tracking.leaders import BestCost, read_leaders
from pipeline.tracking.pages import found
from pipeline.tracking.store import RecordedRun, existing_experiment, tracking_uri
from steps.errors import InputError, one_line


@dataclass(frozen=True)
class Leaders:
    """Runs that name the winner.

    Attributes:
        runs: the newest first. Of each configuration that is among them, all.
        are_all: whether they are all runs of the experiment. If not, the winner, its mean and its
            repeats are those that all runs would give, and the noise that intervals and ties rest
            on is not known, since that is pooled over all configurations.
    """

    runs: list[RecordedRun]
    are_all: bool


def runs_of(experiment: str, where: str = "") -> list[RecordedRun]:
    """All runs of an experiment that are not deleted, the newest first.

    Their tags come without MLflow's description of the run.

    Args:
        experiment: its name.
        where: a filter of MLflow's, such as ``params.model = 'mlp'``; empty for all.

    Raises:
        InputError: there is no such experiment, it was deleted, or MLflow does not know such a
            filter.
    """
    with _filter_named(where):
        return _all_runs(existing_experiment(experiment), where)


def leaders_of(experiment: str, metric: str, best_cost: BestCost, where: str = "") -> Leaders:
    """The runs that name the winner, if that is all there is to know.

    From a database they are all runs: to read its tables takes a tenth of the time of MLflow's own
    search, and the answer is whole. A server takes some milliseconds for each run, whatever is
    asked of it, so it is asked for few of them (`leaders.read_leaders`) where that will do.

    Args:
        experiment: its name.
        metric: what to spend least of; of runs that reached their target.
        best_cost: what the winner among some runs takes, None if there is none. It may average
            the metric in any way over the runs of a configuration that reached the target, and add
            to it for those that missed. An `InputError` of it means that all are to be read.
        where: a filter of MLflow's.

    Raises:
        InputError: as `runs_of`.
    """
    with _filter_named(where):
        experiment_id = existing_experiment(experiment)
        few = None
        if not _is_in_database():
            few = read_leaders(experiment_id, metric, best_cost, where)
        if few is None:
            return Leaders(_all_runs(experiment_id, where), are_all=True)
        return Leaders(few, are_all=False)


@contextmanager
def _filter_named(where: str) -> Iterator[None]:
    """Say of what MLflow refuses that it is the filter."""
    try:
        # Before a server is asked.
        SearchUtils.parse_search_filter(where)
        yield
    except MlflowException as error:
        if not where or error.error_code != ErrorCode.Name(INVALID_PARAMETER_VALUE):
            raise
        reason = one_line(error).removeprefix(f"{error.error_code}: ")
        raise InputError("--where", where, reason) from None


def _all_runs(experiment_id: str, where: str) -> list[RecordedRun]:
    if _is_in_database():
        # It takes most of a second to import, and a server does without.
        from pipeline.tracking.tables import read_tables

        return read_tables(experiment_id, where)
    return list(found(experiment_id, where))


def _is_in_database() -> bool:
    return urlsplit(tracking_uri()).scheme.split("+")[0] in DATABASE_ENGINES
