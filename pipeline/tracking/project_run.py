"""The run that ``mlflow run`` opens by itself, and how it stays out of sight."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from mlflow import MlflowClient

PROJECT_TAGS: dict[str, str] = {}
"""What ``mlflow run`` knows of the project: its source, commit and entry point."""

_REMOVER = "import sys; from pipeline import tracking; tracking.remove_when_ended(sys.argv[1])"


def is_run_by_mlflow() -> bool:
    """Whether ``mlflow run`` called this command."""
    return bool(PROJECT_TAGS)


@contextlib.contextmanager
def project_run_aside() -> Iterator[None]:
    """Keep the run that ``mlflow run`` opened for this command out of sight.

    It lies in another experiment than the user named, and is empty but for the command line. The
    steps write to a run of their own. ``mlflow run`` insists on setting a status when the command
    has ended, which it cannot on a deleted run; so it gets the run back for that moment, and a
    process that outlives this one removes it afterwards.
    """
    run_id = os.environ.pop("MLFLOW_RUN_ID", "")
    client = MlflowClient()
    tags = client.get_run(run_id).data.tags if run_id else {}
    if "mlflow.project.entryPoint" not in tags:
        yield
        return
    PROJECT_TAGS.update({name: tags[name] for name in tags if name.startswith("mlflow.")})
    del PROJECT_TAGS["mlflow.runName"]
    client.delete_run(run_id)
    try:
        yield
    finally:
        client.restore_run(run_id)
        subprocess.Popen(
            [sys.executable, "-c", _REMOVER, run_id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def remove_when_ended(run_id: str, patience_s: float = 60.0) -> None:
    """Delete a run as soon as somebody has ended it."""
    client = MlflowClient()
    deadline = time.monotonic() + patience_s
    while client.get_run(run_id).info.status == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.1)
    client.delete_run(run_id)
