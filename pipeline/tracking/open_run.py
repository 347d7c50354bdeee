"""A run that is open for writing: what it is told, and the status it ends with."""

import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from pipeline.journal import Journal
from pipeline.tracking import points
from pipeline.tracking.store import RecordedRun, recorded
from steps.errors import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go

METRICS_PER_CALL = 900
"""MLflow's ``log_batch`` takes a thousand things, tags included, of which there are a few."""


class OpenRun:
    """One run, open for writing; as a context manager it ends the run whatever happens."""

    def __init__(self, run_id: str) -> None:
        """Args: the run to write to."""
        self.run_id = run_id
        self._client = MlflowClient()
        self._journal = Journal(run_id)

    def __enter__(self) -> Self:
        """The run is at work until the block ends."""
        self._journal.begin(mlflow.get_tracking_uri())
        mlflow.start_run(run_id=self.run_id, nested=True)
        try:
            self._begin()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _begin(self) -> None:
        """What comes first; a failure of an earlier command is over."""
        if "failure" in self.recorded().tags:
            self._client.delete_tag(self.run_id, "failure")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """FINISHED, or KILLED after Ctrl-C, or FAILED with the reason as a tag."""
        status = "FINISHED"
        try:
            if error is not None:
                interrupted = isinstance(error, KeyboardInterrupt)
                status = "KILLED" if interrupted else "FAILED"
                self.failed("interrupted by the user" if interrupted else one_line(error))
        finally:
            mlflow.end_run(status)
        # Not where something above went wrong: the next command then delivers it.
        self._journal.delete()

    def failed(self, reason: str) -> None:
        """Why the run came to no good end."""
        self.tag({"failure": reason[:500]})

    def tag(self, tags: Mapping[str, str]) -> None:
        """Say something of the run."""
        self._send((), tags)

    def figures(self, figures: Mapping[str, float | None], step: int = 0) -> None:
        """Metrics. What is None was not measured and stays absent."""
        self._send(metrics_at(step, figures))

    def recorded(self) -> RecordedRun:
        """The run as MLflow has it now."""
        return recorded(self._client.get_run(self.run_id))

    def artifact(self, path: str, content: bytes) -> None:
        """Keep a file."""
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary, name)
            file.write_bytes(content)
            self._client.log_artifact(self.run_id, str(file), folder)

    def page(self, figure: "go.Figure", path: str) -> None:
        """An interactive figure that works offline, which MLflow's own ``log_figure`` does not."""
        self.artifact(path, figure.to_html(include_plotlyjs=True).encode())

    def _send(self, metrics: Iterable[Metric], tags: Mapping[str, str] | None = None) -> None:
        """In as few calls as can be: each takes a hundredth of a second, or a trip to a server."""
        metrics = list(metrics)
        told = [RunTag(*item) for item in (tags or {}).items()]
        for start in range(0, len(metrics) or len(told[:1]), METRICS_PER_CALL):
            self._client.log_batch(
                self.run_id,
                metrics[start : start + METRICS_PER_CALL],
                tags=told if start == 0 else (),
            )


def metrics_at(step: int, figures: Mapping[str, float | None]) -> list[Metric]:
    """Figures as metrics; what is None is left out."""
    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in points.present(figures).items()]
