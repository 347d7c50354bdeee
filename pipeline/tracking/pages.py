"""Runs of an experiment, page by page, through MLflow's search."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.rest_utils import http_request, verify_rest_response
from mlflow.utils.uri import is_http_uri

from pipeline.tracking.compact import Shared
from pipeline.tracking.store import RecordedRun

PATH = "/api/2.0/mlflow"
"""Of MLflow's REST API, https://mlflow.org/docs/latest/api_reference/rest-api.html."""


def found(
    experiment_id: str, where: str, *, order_by: Sequence[str] = (), page: int = 250
) -> Iterator[RecordedRun]:
    """The runs that `MlflowClient.search_runs` finds, in its order, without their descriptions.

    Pages are fetched as they are needed. A run that begins meanwhile moves the others to later
    pages; none is given twice.

    Args:
        experiment_id: MLflow's.
        where: a filter of MLflow's.
        order_by: as MLflow has it; empty for the newest first.
        page: how many runs are asked for at a time. MLflow's server takes some milliseconds for
            each, and has to answer before the time is out.

    Raises:
        MlflowException: MLflow does not know such a filter or order, or the server does not answer.
    """
    pages = _from_server if is_http_uri(mlflow.get_tracking_uri()) else _from_store
    seen: set[str] = set()
    for run in pages(experiment_id, where, order_by, page):
        if run.run_id not in seen:
            seen.add(run.run_id)
            yield run


def ask_server(method: str, path: str, **request: object) -> Mapping[str, Any]:
    """What a tracking server answers, as JSON.

    MLflow's own client turns it into protobuf messages and those into objects, which takes ten
    times as long as to read it.

    Raises:
        MlflowException: it answers with an error, or not at all.
    """
    credentials = _get_store().get_host_creds()
    response = http_request(credentials, f"{PATH}{path}", method, **request)
    if response.status_code != 200:
        verify_rest_response(response, path)
    told: Mapping[str, Any] = response.json()
    return told


def _from_server(
    experiment_id: str, where: str, order_by: Sequence[str], page: int
) -> Iterator[RecordedRun]:
    shared = Shared()
    request = {
        "experiment_ids": [experiment_id],
        "filter": where,
        "run_view_type": "ACTIVE_ONLY",
        "max_results": page,
        "order_by": list(order_by),
    }

    def next_page() -> tuple[list[RecordedRun], str | None]:
        # A function, so that the JSON of a page is gone before the next one comes.
        told = ask_server("POST", "/runs/search", json=request)
        return [_of_json(run, shared) for run in told.get("runs", ())], told.get("next_page_token")

    while True:
        runs, token = next_page()
        yield from runs
        if not token:
            return
        request["page_token"] = token


def _of_json(run: Mapping[str, Any], shared: Shared) -> RecordedRun:
    info, data = run["info"], run["data"]

    def pairs(kind: str) -> Iterator[tuple[str, Any]]:
        return ((each["key"], each.get("value", "")) for each in data.get(kind, ()))

    return RecordedRun(
        run_id=info["run_id"],
        name=shared.text(info.get("run_name") or info["run_id"]),
        status=shared.text(info["status"]),
        started_at_ms=int(info.get("start_time", 0)),
        parameters=shared.texts(pairs("params")),
        # What is no number in JSON comes as text: "NaN".
        metrics=shared.numbers((name, float(value)) for name, value in pairs("metrics")),
        tags=shared.texts(pairs("tags")),
    )


def _from_store(
    experiment_id: str, where: str, order_by: Sequence[str], page: int
) -> Iterator[RecordedRun]:
    client = MlflowClient()
    shared = Shared()
    token: str | None = None
    while True:
        runs = client.search_runs(
            [experiment_id], where, ViewType.ACTIVE_ONLY, page, list(order_by), token
        )
        yield from [_of_entity(run, shared) for run in runs]
        token = runs.token
        if not token:
            return


def _of_entity(run: Run, shared: Shared) -> RecordedRun:
    return RecordedRun(
        run_id=run.info.run_id,
        name=shared.text(run.info.run_name or run.info.run_id),
        status=shared.text(run.info.status),
        started_at_ms=run.info.start_time,
        parameters=shared.texts(run.data.params.items()),
        metrics=shared.numbers(run.data.metrics.items()),
        tags=shared.texts(run.data.tags.items()),
    )
