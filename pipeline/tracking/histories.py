"""The curves of a few runs."""

from collections.abc import Iterator, Mapping, Sequence

import mlflow
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.uri import is_http_uri

from pipeline.tracking.pages import ask_server

Point = tuple[int, int, float]
"""Step, milliseconds since 1970, value."""

RUNS_AT_A_TIME = 100
"""MLflow's server refuses more."""


def histories(
    run_ids: Sequence[str], metrics: Sequence[str], points: int = 500
) -> Mapping[str, Mapping[str, Sequence[Point]]]:
    """Curves by run and metric.

    Takes one request of a server for each metric and hundred runs.

    Args:
        run_ids: of runs that are there.
        metrics: their names.
        points: at most, of each curve, the first and the last among them and the others evenly
            between; up to 2,500.

    Returns:
        By run id and metric, points in the order of their steps; without metrics that a run lacks.

    Raises:
        MlflowException: the store does not answer.
    """
    read = _from_server if is_http_uri(mlflow.get_tracking_uri()) else _from_store
    curves: dict[str, dict[str, list[Point]]] = {run_id: {} for run_id in run_ids}
    for first in range(0, len(run_ids), RUNS_AT_A_TIME):
        some = run_ids[first : first + RUNS_AT_A_TIME]
        for metric in metrics:
            for run_id, point in read(some, metric, points):
                curves[run_id].setdefault(metric, []).append(point)
    for curve in (curve for of_run in curves.values() for curve in of_run.values()):
        curve.sort(key=lambda point: point[:2])
    return curves


def _from_server(run_ids: Sequence[str], metric: str, points: int) -> Iterator[tuple[str, Point]]:
    request = {"run_ids": list(run_ids), "metric_key": metric, "max_results": points}
    told = ask_server("GET", "/metrics/get-history-bulk-interval", params=request)
    for each in told.get("metrics", ()):
        # A first step of 0 may be left out, and what is no number in JSON comes as text: "NaN".
        step, timestamp = int(each.get("step", 0)), int(each["timestamp"])
        yield each["run_id"], (step, timestamp, float(each["value"]))


def _from_store(run_ids: Sequence[str], metric: str, points: int) -> Iterator[tuple[str, Point]]:
    found = _get_store().get_metric_history_bulk_interval(list(run_ids), metric, points, None, None)
    for each in found:
        yield each.run_id, (each.step, each.timestamp, each.value)
