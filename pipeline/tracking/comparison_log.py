"""A comparison in MLflow: a run of its own, and a mark on the run that won."""

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Param, ViewType
from mlflow.tracking.context.registry import resolve_tags

from pipeline.journal import Journal
from pipeline.tracking.open_run import new_run
from pipeline.tracking.project_run import PROJECT_TAGS
from pipeline.tracking.store import open_experiment
from steps.errors import one_line

KIND, COMPARISON = "greenest.kind", "comparison"
"""Tag of a run that is no training, and what it is."""

WON = "greenest"
"""Tag of the run that won the latest comparison of its experiment."""

LONGEST_NOTE = 7500
"""Characters: MLflow cuts tags at 8000."""


def record_comparison(
    experiment: str,
    name: str,
    answer: str,
    asked: Mapping[str, str],
    files: Mapping[str, bytes],
    winner: str | None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Keep a comparison as a run of its experiment.

    It has no ``config_id`` and no metric, so that nothing takes it for a training.

    Args:
        experiment: that was compared.
        name: of the run.
        answer: its description, Markdown; cut at `LONGEST_NOTE` characters.
        asked: the options of the comparison, as typed.
        files: artifacts, by their path.
        winner: id of the run to mark; None marks nothing and leaves the mark where it is.
        tags: more to say of it.

    Returns:
        The id of the run.

    Raises:
        MlflowException: the store does not take it; what it took ends as FAILED.
        OSError: the artifacts cannot be written.
    """
    client = MlflowClient()
    experiment_id = open_experiment(experiment)
    told = {
        **resolve_tags(),
        **PROJECT_TAGS,
        **(tags or {}),
        KIND: COMPARISON,
        "mlflow.note.content": _cut(answer),
    }
    run_id = str(new_run(experiment_id, name, told).info.run_id)
    try:
        client.log_batch(run_id, params=[Param(*item) for item in asked.items()])
        _keep(client, run_id, files)
        if winner is not None:
            _mark(client, experiment_id, winner, run_id)
    except BaseException as error:
        # Why it failed matters more than that it cannot be said there.
        with contextlib.suppress(Exception):
            client.set_tag(run_id, "failure", one_line(error)[:500])
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    Journal(run_id).delete()
    return run_id


def _cut(note: str) -> str:
    """At the end of a line: half a row of a table is no table."""
    if len(note) <= LONGEST_NOTE:
        return note
    return note[:LONGEST_NOTE].rpartition("\n")[0] + "\n\n…"


def _keep(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        client.log_artifacts(run_id, folder)


def _mark(client: MlflowClient, experiment_id: str, winner: str, comparison: str) -> None:
    before = client.search_runs([experiment_id], f"tags.{WON} LIKE 'yes%'", ViewType.ACTIVE_ONLY)
    for run in before:
        if run.info.run_id != winner:
            client.delete_tag(run.info.run_id, WON)
    client.set_tag(winner, WON, f"yes, by comparison {comparison}")
