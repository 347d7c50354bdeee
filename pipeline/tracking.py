"""Everything that Greenest says to MLflow, and everything it reads from there.

A run is what the five steps write to: its parameters are the configuration, its metrics what the
configuration cost and gave, its tags how that ended and what the joules are worth.
"""

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

# MLflow waits and retries for minutes by default; its usage statistics would run a thread and
# open connections inside the windows that are measured; on a fresh database it talks of tables.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow
import numpy as np
import psutil
from mlflow import MlflowClient
from mlflow.entities import (
    DatasetInput,
    InputTag,
    LifecycleStage,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from pipeline import figures
from pipeline.journal import Entry, Journal
from pipeline.note import note
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from energy import Calibration, Carbon, IdlePower, Measurement
    from energy.calibration import PartCalibration
    from energy.hardware import Hardware
    from steps.evaluate import Evaluation
    from steps.partition import Partition
    from steps.preprocess import Table
    from steps.quantize import Quantization
    from steps.train import Epoch, Training

DATASET = "preprocess/dataset.json"
INDICES = "partition/indices.npz"
SCALER = "partition/scaler.json"
MODEL = "model"

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Without it, MLflow's page takes the experiment for one about language models."""

METRICS_PER_CALL = 1000
"""The most that MLflow's ``log_batch`` takes."""


@dataclass(frozen=True)
class RecordedRun:
    """A run as MLflow has it."""

    run_id: str
    name: str
    status: str
    started_at_ms: int
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def tracking_uri() -> str:
    """Where runs are recorded."""
    return str(mlflow.get_tracking_uri())


_PROJECT_TAGS: dict[str, str] = {}
"""What ``mlflow run`` knows of the project: its source, commit and entry point."""

_REMOVER = "import sys; from pipeline import tracking; tracking.remove_when_ended(sys.argv[1])"


@contextmanager
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
    _PROJECT_TAGS.update({name: tags[name] for name in tags if name.startswith("mlflow.")})
    del _PROJECT_TAGS["mlflow.runName"]
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


def open_experiment(name: str) -> str:
    """Id of the experiment of that name, made if there is none.

    Raises:
        InputError: it was deleted, or MLflow does not allow the name.
    """
    client = MlflowClient()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            # Another process may have been a moment faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise InputError("--experiment", name, _line(error)) from None
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        problem = (
            f"was deleted; `mlflow experiments restore -x {found.experiment_id}` brings it back"
        )
        raise InputError("--experiment", name, problem)
    return str(found.experiment_id)


def runs_of(experiment: str) -> list[RecordedRun]:
    """All runs of an experiment that are not deleted, the newest first.

    Raises:
        InputError: there is no such experiment.
    """
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = sorted(each.name for each in client.search_experiments())
        raise InputError("--experiment", experiment, f"there is none; choose of {', '.join(names)}")
    return [_recorded(run) for run in _search(client, found.experiment_id)]


def _search(client: MlflowClient, experiment_id: str, filter_: str = "") -> Iterator[Run]:
    page_token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_, ViewType.ACTIVE_ONLY, 1000, page_token=page_token
        )
        yield from page
        page_token = page.token
        if not page_token:
            return


def _recorded(run: Run) -> RecordedRun:
    return RecordedRun(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        status=run.info.status,
        started_at_ms=run.info.start_time,
        parameters=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
    )


def close_abandoned_runs(experiment_id: str) -> list[str]:
    """Mark as KILLED the runs whose process on this machine is gone; returns their names.

    Only a ``kill -9`` or a power cut leaves such runs.
    """
    client = MlflowClient()
    closed = []
    for run in _search(client, experiment_id, "attributes.status = 'RUNNING'"):
        process = run.data.tags.get("process", "")
        if process.startswith(f"{socket.gethostname()}/") and process != _this_process():
            _, pid, started = process.rsplit("/", 2)
            if not _is_alive(int(pid), started):
                log = RunLog(run.info.run_id)
                log.deliver()
                log.failed("its process was killed")
                client.set_terminated(run.info.run_id, "KILLED")
                closed.append(run.info.run_name)
    return closed


def _this_process() -> str:
    process = psutil.Process()
    return f"{socket.gethostname()}/{process.pid}/{process.create_time():.2f}"


def _is_alive(pid: int, started: str) -> bool:
    try:
        return f"{psutil.Process(pid).create_time():.2f}" == started
    except psutil.NoSuchProcess:
        return False


class RunLog:
    """One run, open for writing; as a context manager it ends the run whatever happens."""

    def __init__(self, run_id: str) -> None:
        """Args: the run to write to."""
        self.run_id = run_id
        self._client = MlflowClient()
        self._journal = Journal(run_id)

    @classmethod
    def start(cls, experiment_id: str, configuration: Configuration) -> Self:
        """A new run of `configuration`."""
        tags = {**resolve_tags(), **_PROJECT_TAGS, "config_id": configuration.config_id}
        run = MlflowClient().create_run(experiment_id, tags=tags, run_name=configuration.run_name)
        log = cls(run.info.run_id)
        parameters = [Param(*item) for item in configuration.parameters().items()]
        log._client.log_batch(log.run_id, params=parameters)
        return log

    @classmethod
    def of(cls, run_id: str) -> Self:
        """A run that is there already.

        Raises:
            InputError: there is none of that id, it was deleted, or it is at work.
        """
        try:
            run = MlflowClient().get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError("--run-id", run_id, "there is no such run") from None
        if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
            raise InputError("--run-id", run_id, "was deleted")
        if run.info.status == "RUNNING":
            raise InputError("--run-id", run_id, "is still running")
        return cls(run_id)

    def __enter__(self) -> Self:
        """The run is at work until the block ends."""
        self._tags({"process": _this_process()})
        mlflow.start_run(run_id=self.run_id)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """FINISHED, or KILLED after Ctrl-C, or FAILED with the reason as a tag."""
        status = "FINISHED"
        if error is not None:
            interrupted = isinstance(error, KeyboardInterrupt)
            status = "KILLED" if interrupted else "FAILED"
            reason = "interrupted by the user" if interrupted else _line(error)
            self.failed(reason)
        mlflow.end_run(status)

    def failed(self, reason: str) -> None:
        """Why the run came to no good end. The outcome of a training that did stays."""
        self._tags({"failure": reason[:500]})
        if "outcome" not in self.recorded().tags:
            self._tags({"outcome": Outcome.FAILED})
        self.describe()

    def preprocessed(self, table: "Table") -> None:
        """The dataset as MLflow's dataset input, and what identifies it."""
        source = mlflow.data.code_dataset_source.CodeDatasetSource({"dataset": table.source})
        dataset = mlflow.data.from_numpy(
            table.features,
            targets=table.labels,
            source=source,
            name=table.source,
            digest=table.digest,
        )
        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), [context])])
        self._tags({"dataset_digest": table.digest})
        summary = {
            "source": table.source,
            "digest": table.digest,
            "rows": len(table.labels),
            "rows_per_class": dict(
                zip(table.class_names, np.bincount(table.labels).tolist(), strict=True)
            ),
            "features": list(table.feature_names),
        }
        self._client.log_dict(self.run_id, summary, DATASET)

    def partitioned(self, partition: "Partition") -> None:
        """The row indices of the parts, and the scaler."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            train=partition.train,
            validation=partition.validation,
            test=partition.test,
        )
        self._artifact(INDICES, buffer.getvalue())
        scaler = {
            "center": partition.scaler.center.tolist(),
            "scale": partition.scaler.scale.tolist(),
        }
        self._client.log_dict(self.run_id, scaler, SCALER)

    def training_begins(self, carbon: "Carbon", hardware: "Hardware") -> None:
        """Where it is measured, and with which carbon intensity."""
        if "outcome" in self.recorded().tags:
            self._client.delete_tag(self.run_id, "outcome")
        intensity = carbon.intensity_g_per_kwh
        self._tags(
            {
                "hardware": hardware.name,
                "carbon.place": carbon.place,
                "carbon.source": carbon.source,
                "carbon.intensity_g_per_kwh": "unknown" if intensity is None else f"{intensity:g}",
            }
        )

    def record(self, epochs: Sequence["Epoch"]) -> None:
        """Keep epochs on disk while training goes on; `deliver` sends them to MLflow."""
        reading = epochs[-1].reading
        self._journal.append(
            Entry(
                curve=[point for epoch in epochs for point in _of_epoch(epoch)],
                spent=_present(_spent(epochs[-1].number, reading)),
                tags=_provenance(reading),
            )
        )

    def deliver(self) -> None:
        """Send what the journal holds: the curves, and what training cost so far."""
        entries = list(self._journal.entries())
        self._metrics(Metric(*point) for entry in entries for point in entry.curve)
        if entries:
            self._tags(entries[-1].tags)
            self._figures(entries[-1].spent)
        self._journal.delete()

    def trained(self, training: "Training", table: "Table") -> None:
        """What training cost and how it ended, and the model."""
        self._figures(_spent(training.epochs, training.measurement))
        self._figures(_to_accuracy(training))
        self._tags({"outcome": training.outcome, **_provenance(training.measurement)})
        self._model(training.model, table)

    def derived(
        self,
        training: "Training",
        idle: "IdlePower | None",
        calibration: "Calibration | PartCalibration | None",
        calibration_typed: str,
    ) -> None:
        """What follows from the training's energy: net of idle power, and as a wall meter's."""
        measurement = training.measurement
        if idle is not None:
            self._figures({"net_energy_j": (measurement - idle).energy_j})
            self._tags({"energy.idle": f"{idle.power_w:.3g} W, measured {idle.measured_on}"})
        if calibration is not None:
            self._figures({"calibrated_energy_j": calibration.wall_energy_of(measurement)})
            self._tags({"energy.calibration": calibration_typed})

    def evaluated(self, evaluation: "Evaluation", class_names: Sequence[str]) -> None:
        """Test scores, size, and the confusion matrix as a picture."""
        figure = figures.confusion_matrix(evaluation.scores.confusion, class_names)
        self._figures(
            {
                "test_accuracy": evaluation.scores.accuracy,
                "test_loss": evaluation.scores.loss,
                "parameters": evaluation.parameters,
            }
        )
        self._client.log_figure(self.run_id, figure, "evaluate/confusion_matrix.png")

    def quantized(self, quantization: "Quantization") -> None:
        """The quantized file, and its scores, size and latency beside the float32 one's."""
        self._figures(
            {
                "model_size_bytes": quantization.float32.size_bytes,
                "latency_ms": quantization.float32.latency_ms,
                "quantized_model_size_bytes": quantization.quantized.size_bytes,
                "quantized_latency_ms": quantization.quantized.latency_ms,
                "quantized_test_accuracy": quantization.quantized.scores.accuracy,
                "quantized_test_loss": quantization.quantized.scores.loss,
            }
        )
        self._artifact(f"quantize/{quantization.mode}.tflite", quantization.quantized.content)

    def describe(self) -> None:
        """The description that a person reads on the run's page, in Markdown."""
        self._tags({"mlflow.note.content": note(self.recorded())})

    def recorded(self) -> RecordedRun:
        """The run as MLflow has it now."""
        return _recorded(self._client.get_run(self.run_id))

    def configuration(self) -> Configuration:
        """The configuration that the run was opened with.

        Raises:
            InputError: it is not a run of Greenest.
        """
        parameters = self.recorded().parameters
        missing = [name for name in configurations.FIELDS if name not in parameters]
        if missing:
            problem = f"is no run of Greenest: it has no parameter {missing[0]}"
            raise InputError("--run-id", self.run_id, problem)
        return configurations.parse({name: parameters[name] for name in configurations.FIELDS})

    def require_same_data(self, table: "Table") -> None:
        """Make sure that the dataset is still the one that the run began with.

        Raises:
            InputError: the preprocess step is missing, or the data have changed since.
        """
        self._read(DATASET, "preprocess")
        known = self.recorded().tags["dataset_digest"]
        if known != table.digest:
            problem = (
                f"has changed since the run preprocessed it ({known} then, {table.digest} now)"
            )
            raise InputError("--dataset", table.source, problem)

    def partition(self) -> "Partition":
        """What the partition step left.

        Raises:
            InputError: the partition step is missing.
        """
        from steps.partition import Partition, Scaler

        indices = np.load(io.BytesIO(self._read(INDICES, "partition")), allow_pickle=False)
        scaler = json.loads(self._read(SCALER, "partition"))
        return Partition(
            train=indices["train"],
            validation=indices["validation"],
            test=indices["test"],
            scaler=Scaler(np.array(scaler["center"]), np.array(scaler["scale"])),
        )

    def model(self) -> "keras.Sequential":
        """What the train step left.

        Raises:
            InputError: the train step is missing.
        """
        try:
            return mlflow.tensorflow.load_model(
                f"runs:/{self.run_id}/{MODEL}", keras_model_kwargs={"safe_mode": True}
            )
        except MlflowException:
            raise self._step_is_missing("train") from None

    def _read(self, path: str, step: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self._client.download_artifacts(self.run_id, path, folder)).read_bytes()
            except (MlflowException, OSError):
                raise self._step_is_missing(step) from None

    def _step_is_missing(self, step: str) -> InputError:
        problem = f"has nothing from the {step} step; run that first"
        return InputError("--run-id", self.run_id, problem)

    def _artifact(self, path: str, content: bytes) -> None:
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary, name)
            file.write_bytes(content)
            self._client.log_artifact(self.run_id, str(file), folder)

    def _tags(self, tags: Mapping[str, str]) -> None:
        self._client.log_batch(self.run_id, tags=[RunTag(*item) for item in tags.items()])

    def _figures(self, figures: Mapping[str, float | None]) -> None:
        """Metrics of the run as a whole. What is None was not measured and stays absent."""
        now = int(time.time() * 1000)
        self._metrics(Metric(name, value, now, 0) for name, value in _present(figures).items())

    def _metrics(self, metrics: Iterable[Metric]) -> None:
        metrics = list(metrics)
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self._client.log_batch(self.run_id, metrics[start : start + METRICS_PER_CALL])

    def _model(self, model: "keras.Model", table: "Table") -> None:
        import pandas as pd

        example = pd.DataFrame(table.features[:3], columns=list(table.feature_names))
        mlflow.models.Model.log(
            None,
            _Flavor,
            name=MODEL,
            run_id=self.run_id,
            model=model,
            input_example=example,
            class_names=table.class_names,
            # Would load the model and predict, a second for what the evaluate step does anyway.
            validate_serving_input=False,
        )


class _Flavor:
    """MLflow's TensorFlow flavor, with rows of named columns as its signature.

    MLflow's own ``log_model`` signs a Keras model with one float32 tensor, with which ``mlflow
    models predict`` refuses a CSV, and its probabilities come without the names of the classes.
    """

    @staticmethod
    def save_model(
        path: str,
        mlflow_model: mlflow.models.Model,
        model: "keras.Model",
        input_example: Any,
        class_names: Sequence[str],
        **_: Any,
    ) -> None:
        """Called by ``mlflow.models.Model.log``; `path` is the folder to write."""
        from importlib.metadata import version

        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        def tensor(shape: tuple[int, ...], name: str | None = None) -> TensorSpec:
            return TensorSpec(np.dtype(np.float32), (-1, *shape), name)

        outputs = Schema([tensor(model.output_shape[1:])])
        mlflow.tensorflow.save_model(
            model,
            path,
            mlflow_model=mlflow_model,
            signature=ModelSignature(Schema([tensor(model.input_shape[1:])]), outputs),
            input_example=input_example,
            code_paths=[str(Path(__file__).with_name("serving.py"))],
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("mlflow", "tensorflow", "keras", "pandas")
            ],
        )
        Path(path, "data", "class_names.json").write_text(json.dumps(class_names), "utf-8")
        columns = Schema([tensor((), name) for name in input_example.columns])
        mlflow_model.signature = ModelSignature(columns, outputs)
        mlflow_model.flavors["python_function"]["loader_module"] = "serving"
        mlflow_model.save(str(Path(path, "MLmodel")))


def _spent(epochs: int, measurement: "Measurement") -> dict[str, float | None]:
    return {
        "epochs": epochs,
        "time_spent_s": measurement.duration_s,
        "energy_spent_j": measurement.energy_j,
        "energy_error_j": measurement.energy_error_j,
        "emissions_kg": measurement.emissions_kg,
        "gpu_energy_j": measurement.gpu_energy_j,
        "cpu_energy_j": measurement.cpu_energy_j,
        "ram_energy_j": measurement.ram_energy_j,
        "codecarbon_energy_kwh": measurement.codecarbon_energy_kwh,
        "codecarbon_gpu_energy_j": measurement.codecarbon_gpu_energy_j,
    }


def _to_accuracy(training: "Training") -> dict[str, float | None]:
    """Only where the target was reached, so that nothing takes the cost of a miss for a result."""
    if training.outcome is not Outcome.REACHED:
        return {}
    return {
        "time_to_accuracy_s": training.measurement.duration_s,
        "energy_to_accuracy_j": training.measurement.energy_j,
    }


def _of_epoch(epoch: "Epoch") -> list[tuple[str, float, int, int]]:
    """Points of the curves.

    Utilization comes from the meter's own readings. MLflow's system metrics would sample it in a
    thread of theirs, inside the window and for more than it costs to train a small model.
    """
    points: dict[str, float | None] = {
        "train_loss": epoch.train_loss,
        "train_accuracy": epoch.train_accuracy,
        "val_loss": epoch.val_loss,
        "val_accuracy": epoch.val_accuracy,
        "learning_rate": epoch.learning_rate,
        "epoch_time_s": epoch.time_s,
        "epoch_energy_j": epoch.energy_j,
    }
    if epoch.lap is not None:
        points["gpu_power_w"] = epoch.lap.gpu_power_w
        points["gpu_temperature_c"] = epoch.lap.gpu_temperature_c
        points["gpu_utilization"] = epoch.lap.gpu_utilization
        points["cpu_utilization"] = epoch.lap.cpu_utilization
    timestamp = int(epoch.ended_at * 1000)
    return [(name, value, timestamp, epoch.number) for name, value in _present(points).items()]


def _present(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


def _provenance(measurement: "Measurement") -> dict[str, str]:
    tags = {f"energy.{part}": told for part, told in measurement.provenance.items()}
    if measurement.flags:
        tags["energy.flags"] = ", ".join(sorted(measurement.flags))
    return tags


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
