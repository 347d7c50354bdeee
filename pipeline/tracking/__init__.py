"""Everything that Greenest says to MLflow, and everything it reads from there.

A run is what the five steps write to: its parameters are the configuration, its metrics what the
configuration cost and gave, its tags how that ended and what the joules are worth.
"""

import os

# MLflow waits and retries for minutes by default; its usage statistics would run a thread and
# open connections inside the windows that are measured; on a fresh database it talks of tables.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from pipeline.tracking.abandoned import Delivery, close_abandoned_runs, deliver_all
from pipeline.tracking.comparison_log import record_comparison
from pipeline.tracking.earlier_steps import EarlierSteps
from pipeline.tracking.histories import histories
from pipeline.tracking.project_run import (
    is_run_by_mlflow,
    project_run_aside,
    remove_when_ended,
)
from pipeline.tracking.query import Leaders, leaders_of, runs_of
from pipeline.tracking.registry import Registered, register
from pipeline.tracking.run_log import RunLog
from pipeline.tracking.store import RecordedRun, open_experiment, ready_client, tracking_uri

__all__ = [
    "Delivery",
    "EarlierSteps",
    "Leaders",
    "RecordedRun",
    "Registered",
    "RunLog",
    "close_abandoned_runs",
    "deliver_all",
    "histories",
    "is_run_by_mlflow",
    "leaders_of",
    "open_experiment",
    "project_run_aside",
    "ready_client",
    "record_comparison",
    "register",
    "remove_when_ended",
    "runs_of",
    "tracking_uri",
]
