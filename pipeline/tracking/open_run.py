"""A run that is open for writing: what it is told, and the status it ends with."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.uri import is_http_uri

from pipeline.journal import Journal, Letter
from pipeline.tracking import letters, points
from pipeline.tracking.letters import Point
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.patience import PatientClient, is_refusal
from pipeline.tracking.store import RecordedRun, recorded
from steps.errors import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

BIRTH = "greenest.birth"
"""Tag of a run: its journal's name before it had an id, or id of the lost run that it is anew."""


class _Clock:
    """Never set back: of two points of one step, MLflow takes the later for the metric's value."""

    def __init__(self) -> None:
        self._ahead_s = time.time() - time.monotonic()

    def now_ms(self) -> int:
        """Since 1970, or what that was for the clock when this process began."""
        return int(1000 * (self._ahead_s + time.monotonic()))

    def come_after(self, moments_ms: Iterable[int]) -> None:
        """The clock may have been set back since another process took these down."""
        late_ms = max(moments_ms, default=0) - self.now_ms()
        self._ahead_s += max(0, late_ms + 1) / 1000


_clock = _Clock()


class OpenRun:
    """One run, open for writing; as a context manager it ends the run whatever happens.

    Where the store is away, all that the run is told is kept on disk, and nothing is raised: see
    `pipeline.tracking.abandoned` for how it is delivered.
    """

    def __init__(self, run_id: str) -> None:
        """Args: the run to write to."""
        self.run_id = run_id
        self._client = PatientClient()
        self._outbox = Outbox(run_id)
        self._known: RecordedRun | None = None
        self._before = ""

    def __enter__(self) -> Self:
        """The run is at work until the block ends."""
        self._outbox.open()
        try:
            self._begin()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _begin(self) -> None:
        """What comes first; a failure of an earlier command is over."""
        run = self.recorded()
        if run.status != letters.AT_WORK:
            self._before = run.status if "outcome" in run.tags else ""
            self._post(letters.STATUS, letters.at_work(self._before))
        if "failure" in run.tags:
            self._post(letters.FORGET, {"tag": "failure"})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """FINISHED, or KILLED after Ctrl-C, or FAILED with the reason as a tag.

        A step that breaks off takes nothing from a training that an earlier command finished.
        """
        status = letters.FINISHED
        try:
            if error is not None:
                interrupted = isinstance(error, KeyboardInterrupt)
                status = "KILLED" if interrupted else "FAILED"
                self.failed("interrupted by the user" if interrupted else one_line(error))
        finally:
            if self._before == letters.FINISHED:
                status = letters.FINISHED
            self._outbox.post(letters.STATUS, {"status": status, "at_ms": _clock.now_ms()})
            self._outbox.close()

    def failed(self, reason: str) -> None:
        """Why the run came to no good end."""
        self.tag({"failure": reason[:500]})

    def tag(self, tags: Mapping[str, str]) -> None:
        """Say something of the run."""
        self._send((), tags)

    def figures(self, figures: Mapping[str, float | None], step: int = 0) -> None:
        """Metrics. What is None was not measured and stays absent."""
        self._send(points_at(step, figures))

    def recorded(self) -> RecordedRun:
        """The run as MLflow has it now; as it will have it, where it cannot be asked."""
        if self._known is None or not self._outbox:
            try:
                run = self._client.get_run(self.run_id)
                _clock.come_after(metric.timestamp for metric in run.data._metric_objs)
                self._known = recorded(run)
            except Exception as error:
                if self._known is None or is_refusal(error):
                    raise
        return self._known

    def artifact(self, path: str, content: bytes) -> None:
        """Keep a file."""
        folder, _, name = path.rpartition("/")
        self.files(folder, lambda empty: Path(empty, name).write_bytes(content))

    def files(self, path: str, save: Callable[[Path], object]) -> None:
        """Keep files in a folder of that path; `save` writes them into an empty one."""
        self._outbox.post_files(letters.FILES, {"path": path}, save)
        self._outbox.deliver()

    def model(self, name: str, save: Callable[[Path], object]) -> None:
        """Keep a model in MLflow's format, which `save` writes into an empty folder."""
        self._outbox.post_files(letters.MODEL, {"name": name, "id": uuid4().hex}, save)
        self._outbox.deliver()

    def page(self, figure: "go.Figure", path: str) -> None:
        """An interactive figure that works offline, which MLflow's own ``log_figure`` does not."""
        self.artifact(path, figure.to_html(include_plotlyjs=True).encode())

    def picture(self, figure: "Figure", path: str) -> None:
        """A picture, as a file."""
        folder, _, name = path.rpartition("/")
        self.files(folder, lambda empty: figure.savefig(empty / name))

    def _send(self, points: Iterable[Point], tags: Mapping[str, str] | None = None) -> None:
        self._post(letters.FIGURES, letters.figures(points, tags))

    def _post(self, kind: str, content: Mapping[str, Any]) -> None:
        self._keep(kind, content)
        self._outbox.deliver()

    def _keep(self, kind: str, content: Mapping[str, Any]) -> None:
        """Safe on disk, and sent another time."""
        letter = self._outbox.post(kind, content)
        if self._known is not None:
            self._known = letters.told(self._known, letter)


def new_run(experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    """A run whose journal is there before it is: whenever this process ends, it will be found."""
    client, mark = PatientClient(), uuid4().hex
    # Asked each time: an id means another experiment in another store, and names change.
    experiment = client.get_experiment(experiment_id).name
    birth = letters.birth(experiment, name, tags, _clock.now_ms())
    unborn = Journal(mark)
    unborn.begin(mlflow.get_tracking_uri(), experiment_id)
    run: Run = client.create_run(experiment_id, birth["at_ms"], {**tags, BIRTH: mark}, name)
    journal = unborn.named(run.info.run_id)
    journal.append(Letter(1, letters.BIRTH, birth))
    journal.delivered(1)
    delete_twins(client, run, mark)
    return run


def born_as(client: MlflowClient | PatientClient, experiment_id: str, mark: str) -> list[Run]:
    """The runs of that tag `BIRTH`."""
    return list(client.search_runs([experiment_id], f"tags.`{BIRTH}` = '{mark}'"))


def delete_twins(client: MlflowClient | PatientClient, run: Run, mark: str) -> None:
    """An answer may have got lost on its way, and MLflow asks again for what it has done then."""
    if is_http_uri(mlflow.get_tracking_uri()):
        for twin in born_as(client, run.info.experiment_id, mark):
            if twin.info.run_id != run.info.run_id:
                client.delete_run(twin.info.run_id)


def points_at(step: int, figures: Mapping[str, float | None]) -> list[Point]:
    """Figures as points of metrics; what is None is left out."""
    at_ms = _clock.now_ms()
    return [(name, value, at_ms, step) for name, value in points.present(figures).items()]
