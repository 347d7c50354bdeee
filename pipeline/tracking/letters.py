"""The kinds of letters that a run gets, and how MLflow is given each.

A letter may come twice: MLflow has taken it, and the process is killed before it can note that.
Twice then does what once does, as MLflow's database keeps a point of a metric, a parameter, a tag
and a file once; of a model that holds only because it is looked for first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode
from mlflow.tracking.context.registry import resolve_tags

from pipeline.journal import Letter
from pipeline.tracking.store import RecordedRun

FIGURES, FORGET, INPUT = "figures", "forget", "input"
FILES, MODEL, STATUS = "files", "model", "status"
BIRTH = "birth"
"""How the run was made; nothing to deliver, unless its store has lost it."""

METRICS_PER_CALL = 900
"""MLflow's ``log_batch`` takes a thousand things, tags included, of which there are a few."""

LETTER = "greenest.letter"
"""Tag of a model: the id of the letter that brought it."""

WRITTEN_BY_ANOTHER = ErrorCode.Name(BAD_REQUEST)
"""What MLflow makes of a database's unique constraint, among other things."""

AT_WORK, FINISHED = "RUNNING", "FINISHED"

Point = tuple[str, float, int, int]
"""Of a metric: name, value, milliseconds since 1970, step."""


def figures(
    points: Iterable[Point] = (),
    tags: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Content of a letter of metrics, tags and parameters."""
    return {
        "points": [(name, float(value), at_ms, step) for name, value, at_ms, step in points],
        "tags": dict(tags or {}),
        "parameters": dict(parameters or {}),
    }


def together(letters: Iterable[Letter]) -> list[list[Letter]]:
    """Those that MLflow can be given in one go, in their order."""

    def place(letter: Letter) -> tuple[str, int]:
        return letter.kind, 0 if letter.kind == FIGURES else letter.number

    return [list(group) for _, group in groupby(letters, place)]


def birth(experiment: str, name: str, tags: Mapping[str, str], at_ms: int) -> dict[str, Any]:
    """Content of the first letter of a run that began here."""
    return {"experiment": experiment, "name": name, "tags": dict(tags), "at_ms": at_ms}


def at_work(before: str) -> dict[str, Any]:
    """Content of the letter that a command is at work on a run.

    Args:
        before: status of the run, if a training has ended in it that this one does not replace.
    """
    return {"status": AT_WORK, "before": before}


def status_before(letters: Sequence[Letter]) -> str:
    """Of a run, what its status was; empty if that means nothing now."""
    known = [each.content["before"] for each in letters if "before" in each.content]
    return str(known[-1]) if known else ""


def ends_the_run(letter: Letter) -> bool:
    """Whether it is the last word of whoever worked on the run."""
    return letter.kind == STATUS and letter.content["status"] != AT_WORK


def deliver(client: MlflowClient, run_id: str, letters: Sequence[Letter]) -> None:
    """Give MLflow letters that go together.

    Raises:
        MlflowException: the store does not answer, or does not take it.
        OSError: an artifact cannot be written.
    """
    if letters[0].kind == FIGURES:
        _deliver_figures(client, run_id, letters)
        return
    (letter,) = letters
    if letter.kind != BIRTH:
        _DELIVER[letter.kind](client, run_id, letter)


def _deliver_figures(client: MlflowClient, run_id: str, letters: Sequence[Letter]) -> None:
    """In as few calls as can be: each takes a hundredth of a second, or a trip to a server."""
    # Of what is told again and again without a step, such as the energy so far, the last will do.
    latest = {
        (name, step): (name, value, at_ms, step)
        for letter in letters
        for name, value, at_ms, step in letter.content["points"]
    }
    metrics = [Metric(*point) for point in latest.values()]
    tags, parameters = (
        [item for letter in letters for item in letter.content[part].items()]
        for part in ("tags", "parameters")
    )
    for start in range(0, max(len(metrics), 1), METRICS_PER_CALL):
        client.log_batch(
            run_id,
            metrics[start : start + METRICS_PER_CALL],
            params=[Param(*item) for item in dict(parameters).items()] if not start else (),
            tags=[RunTag(*item) for item in dict(tags).items()] if not start else (),
        )


def _forget_tag(client: MlflowClient, run_id: str, letter: Letter) -> None:
    name = letter.content["tag"]
    if name in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, name)


def _deliver_input(client: MlflowClient, run_id: str, letter: Letter) -> None:
    context = InputTag("mlflow.data.context", letter.content["context"])
    inputs = [DatasetInput(Dataset(**letter.content["dataset"]), [context])]
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException as error:
        if error.error_code != WRITTEN_BY_ANOTHER:
            raise
        # All runs share the dataset's row, which another process wrote between MLflow's look
        # for it and its insert. Now it is found.
        client.log_inputs(run_id, inputs)


def _deliver_files(client: MlflowClient, run_id: str, letter: Letter) -> None:
    assert letter.folder is not None
    client.log_artifacts(run_id, letter.folder, letter.content["path"])


def _deliver_status(client: MlflowClient, run_id: str, letter: Letter) -> None:
    status = letter.content["status"]
    if status == AT_WORK:
        client.update_run(run_id, status)
    else:
        client.set_terminated(run_id, status, letter.content["at_ms"])


def _deliver_model(client: MlflowClient, run_id: str, letter: Letter) -> None:
    """As MLflow's ``Model.log``, but of a model that is on disk, and only once."""
    assert letter.folder is not None
    run = client.get_run(run_id)
    name = letter.content["name"]
    logged = _model_of(client, run.info.experiment_id, run_id, letter)
    if logged is None:
        logged = client.create_logged_model(
            run.info.experiment_id,
            name,
            run_id,
            tags={**resolve_tags(), LETTER: letter.content["id"]},
            params=run.data.params,
        )
    known = [] if run.outputs is None else run.outputs.model_outputs
    if logged.model_id not in [output.model_id for output in known]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.log_batch(run_id, [_of_model(each, logged) for each in run.data._metric_objs])
    description = str(Path(letter.folder, "MLmodel"))
    model = Model.load(description)
    model.artifact_path = logged.artifact_location
    model.run_id = run_id
    model.model_id = model.model_uuid = logged.model_id
    model.save(description)
    client.log_model_artifacts(logged.model_id, letter.folder)
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _model_of(
    client: MlflowClient, experiment_id: str, run_id: str, letter: Letter
) -> LoggedModel | None:
    """The one that an earlier attempt made."""
    of_run = f"source_run_id = '{run_id}' and name = '{letter.content['name']}'"
    found = client.search_logged_models([experiment_id], of_run)
    return next((each for each in found if each.tags.get(LETTER) == letter.content["id"]), None)


def _of_model(metric: Metric, logged: LoggedModel) -> Metric:
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=logged.model_id)


_DELIVER: Mapping[str, Callable[[MlflowClient, str, Letter], None]] = {
    FORGET: _forget_tag,
    INPUT: _deliver_input,
    FILES: _deliver_files,
    MODEL: _deliver_model,
    STATUS: _deliver_status,
}


def told(run: RecordedRun, letter: Letter) -> RecordedRun:
    """A run as MLflow will have it when the letter has arrived."""
    content = letter.content
    if letter.kind == FIGURES:
        latest = {name: value for name, value, *_ in content["points"]}
        return replace(
            run,
            metrics={**run.metrics, **latest},
            tags={**run.tags, **content["tags"]},
            parameters={**run.parameters, **content["parameters"]},
        )
    if letter.kind == FORGET:
        return replace(run, tags={k: v for k, v in run.tags.items() if k != content["tag"]})
    if letter.kind == STATUS:
        return replace(run, status=content["status"])
    return run
