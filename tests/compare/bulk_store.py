"""Writes runs straight into the tables of MLflow's database, thousands in a second."""

import math
from collections.abc import Iterable

import sqlalchemy
from mlflow.store.tracking.dbmodels.models import (
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)

from pipeline.tracking import RecordedRun

LARGEST = 1.7976931348623157e308
"""What MLflow's databases keep infinity as."""


def write_runs(
    uri: str, experiment_id: str, runs: Iterable[RecordedRun], deleted: Iterable[str] = ()
) -> None:
    """Add runs to an experiment, as MLflow would have them; those of `deleted` as deleted."""
    gone = set(deleted)
    rows: dict[type, list[dict[str, object]]] = {
        table: [] for table in (SqlRun, SqlMetric, SqlLatestMetric, SqlParam, SqlTag)
    }
    for run in runs:
        own = {"run_uuid": run.run_id}
        rows[SqlRun].append(
            {
                **own,
                "name": run.name,
                "status": run.status,
                "start_time": run.started_at_ms,
                "end_time": run.started_at_ms + 1000,
                "lifecycle_stage": "deleted" if run.run_id in gone else "active",
                "artifact_uri": f"mlruns/{experiment_id}/{run.run_id}/artifacts",
                "experiment_id": int(experiment_id),
                "source_type": "UNKNOWN",
                "user_id": "somebody",
            }
        )
        for name, value in run.metrics.items():
            row = {
                **own,
                "key": name,
                "value": 0.0 if math.isnan(value) else max(-LARGEST, min(LARGEST, value)),
                "is_nan": math.isnan(value),
                "timestamp": run.started_at_ms,
                "step": 0,
            }
            rows[SqlMetric].append(row)
            rows[SqlLatestMetric].append(row)
        rows[SqlParam] += [{**own, "key": k, "value": v} for k, v in run.parameters.items()]
        tags = {"mlflow.runName": run.name, **run.tags}
        rows[SqlTag] += [{**own, "key": k, "value": v} for k, v in tags.items()]
    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as connection:
        for table, of_table in rows.items():
            if of_table:
                connection.execute(sqlalchemy.insert(table), of_table)
    engine.dispose()
