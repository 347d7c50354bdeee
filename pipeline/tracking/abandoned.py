"""Runs whose process was killed, or lost its tracking server: they are delivered and ended."""

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.journal import Journal
from pipeline.tracking.run_log import RunLog
from pipeline.tracking.search_log import KEY


def close_abandoned_runs() -> list[str]:
    """Deliver what killed processes left in the journals of this folder, and end their runs.

    Returns:
        Ids of the runs, which are KILLED now.
    """
    ended: list[str] = []
    for run_id in Journal.abandoned(mlflow.get_tracking_uri()):
        try:
            if _ended(RunLog(run_id)):
                ended.append(run_id)
        except MlflowException as error:
            # Deleted since: there is nobody to deliver to.
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        Journal(run_id).delete()
    return ended


def _ended(log: RunLog) -> bool:
    """End a run as KILLED; not one whose process was killed when it had just ended it."""
    before = log.recorded()
    if before.status == "FINISHED":
        return False
    if KEY in before.tags:
        log.tag({"failure": "its process ended; --resume takes up the search"})
    else:
        log.deliver()
        log.failed("its process ended before MLflow had everything")
    MlflowClient().set_terminated(log.run_id, "KILLED")
    return True
