"""All runs of an experiment, straight from the tables of MLflow's database.

MLflow makes an object of each metric, parameter and tag, tells it of its session and copies it:
nine tenths of the time of its `search_runs` (`benchmarks/compare.py`). The columns that are read
here have been the same since 2021; the filter is MLflow's own.
"""

import math
from collections.abc import Sequence
from typing import Any

from mlflow.entities import LifecycleStage
from mlflow.store.tracking import sqlalchemy_store
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.search_utils import SearchUtils
from sqlalchemy import Connection, Select, select
from sqlalchemy.orm import Session

from pipeline.tracking.compact import UNREAD, Shared
from pipeline.tracking.store import RecordedRun

RUNS_AT_A_TIME = 500
"""Whose rows are in memory together."""


def read_tables(experiment_id: str, where: str) -> list[RecordedRun]:
    """The runs that `MlflowClient.search_runs` finds, in its order, without their descriptions.

    Raises:
        MlflowException: MLflow does not know such a filter.
    """
    store = _get_store()
    shared = Shared()
    runs: list[RecordedRun] = []
    with store.ManagedSessionMaker() as session:
        connection = session.connection()
        heads = connection.execute(_heads(session, experiment_id, where)).all()
        for first in range(0, len(heads), RUNS_AT_A_TIME):
            runs += _with_their_rows(connection, heads[first : first + RUNS_AT_A_TIME], shared)
    return runs


def _heads(session: Session, experiment_id: str, where: str) -> Select[Any]:
    """As in `SqlAlchemyStore._search_runs`."""
    parsed = SearchUtils.parse_search_filter(where)
    dialect = session.get_bind().dialect.name
    of_run, of_rows, of_datasets = sqlalchemy_store._get_sqlalchemy_filter_clauses(
        parsed, session, dialect
    )
    query = select(SqlRun.run_uuid, SqlRun.name, SqlRun.status, SqlRun.start_time)
    for rows in of_rows:
        query = query.join(rows)
    for datasets in of_datasets:
        query = query.join(datasets, SqlRun.run_uuid == datasets.c.destination_id)
    return (
        query.where(
            SqlRun.experiment_id == int(experiment_id),
            SqlRun.lifecycle_stage == LifecycleStage.ACTIVE,
            *of_run,
        )
        .distinct()
        .order_by(SqlRun.start_time.desc(), SqlRun.run_uuid)
    )


def _with_their_rows(
    connection: Connection, heads: Sequence[Any], shared: Shared
) -> list[RecordedRun]:
    run_ids = [head.run_uuid for head in heads]
    metrics: dict[str, list[tuple[str, float]]] = {run_id: [] for run_id in run_ids}
    for run_id, name, number, is_nan in connection.execute(
        _rows(SqlLatestMetric, run_ids).add_columns(SqlLatestMetric.is_nan)
    ):
        metrics[run_id].append((name, math.nan if is_nan else number))

    def texts(asked: Select[Any]) -> dict[str, list[tuple[str, str | None]]]:
        by_run: dict[str, list[tuple[str, str | None]]] = {run_id: [] for run_id in run_ids}
        for run_id, name, text in connection.execute(asked):
            by_run[run_id].append((name, text))
        return by_run

    parameters = texts(_rows(SqlParam, run_ids))
    tags = texts(_rows(SqlTag, run_ids).where(SqlTag.key.not_in(UNREAD)))
    return [
        RecordedRun(
            run_id=head.run_uuid,
            name=shared.text(
                head.name or dict(tags[head.run_uuid]).get("mlflow.runName") or head.run_uuid
            ),
            status=shared.text(head.status),
            started_at_ms=head.start_time,
            parameters=shared.texts(parameters[head.run_uuid]),
            metrics=shared.numbers(metrics[head.run_uuid]),
            tags=shared.texts(tags[head.run_uuid]),
        )
        for head in heads
    ]


def _rows(table: Any, run_ids: Sequence[str]) -> Select[Any]:
    return select(table.run_uuid, table.key, table.value).where(table.run_uuid.in_(run_ids))
