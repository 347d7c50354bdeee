"""What earlier steps left in a run, for the steps that follow."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.artifacts import download_artifacts
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from pipeline.serving import KERAS_FILE
from pipeline.tracking.paths import DATA, MODEL, PARTITION
from pipeline.tracking.store import RecordedRun, ready_client, recorded
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError, one_line

if TYPE_CHECKING:
    import keras

    from steps.partition import Partition
    from steps.preprocess import Dataset


class EarlierSteps:
    """A run that is there already, open for reading."""

    def __init__(self, run_id: str) -> None:
        """Args: the run to read.

        Raises:
            InputError: there is none of that id, it was deleted, or it is at work.
        """
        self.run_id = run_id
        self._client = ready_client()
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise InputError("--run-id", run_id, "there is no such run") from None
        if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
            raise InputError("--run-id", run_id, "was deleted")
        if run.info.status == "RUNNING":
            raise InputError("--run-id", run_id, "is still running")

    def recorded(self) -> RecordedRun:
        """The run as MLflow has it now."""
        return recorded(self._client.get_run(self.run_id))

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

    def require_same_data(self, dataset: "Dataset") -> None:
        """Make sure that the dataset is still the one that the run began with.

        Raises:
            InputError: the preprocess step is missing, or the data have changed since.
        """
        known = self.recorded().tags.get("dataset_digest")
        if known is None:
            raise self._step_is_missing("preprocess")
        if known != dataset.digest:
            problem = (
                f"has changed since the run preprocessed it ({known} then, {dataset.digest} now)"
            )
            raise InputError("--dataset", dataset.source, problem)

    def partition(self, rows: int) -> "Partition":
        """What the partition step left.

        Args:
            rows: how many the dataset has.

        Raises:
            InputError: the partition step is missing, or what it left are no parts of so many rows.
        """
        from steps.partition import Partition

        with self._artifacts(PARTITION, "partition") as folder:
            try:
                partition = Partition.load(folder)
                partition.require_rows(rows)
            # Who changed a file may have made anything of it.
            except Exception as error:
                problem = f"what its partition step left was changed since: {one_line(error)}"
                raise InputError("--run-id", self.run_id, problem) from None
            return partition

    def model(self) -> "keras.Model":
        """What the train step left.

        It is Keras that reads the file, in its safe mode: MLflow's own loader imports whatever
        module lies beside a model.

        Raises:
            InputError: the train step is missing, or Keras does not load its model safely.
        """
        import keras

        with tempfile.TemporaryDirectory() as folder:
            try:
                path = download_artifacts(f"runs:/{self.run_id}/{MODEL}", dst_path=folder)
            except (MlflowException, OSError):
                raise self._step_is_missing("train") from None
            try:
                return keras.saving.load_model(Path(path, DATA, KERAS_FILE), safe_mode=True)
            except Exception as error:
                problem = f"Keras does not load its model in safe mode: {one_line(error)}"
                raise InputError("--run-id", self.run_id, problem) from None

    @contextmanager
    def _artifacts(self, path: str, step: str) -> Iterator[Path]:
        """A file or folder of the run, for as long as the block lasts."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                downloaded = self._client.download_artifacts(self.run_id, path, folder)
            except (MlflowException, OSError):
                raise self._step_is_missing(step) from None
            yield Path(downloaded)

    def _step_is_missing(self, step: str) -> InputError:
        problem = f"has nothing from the {step} step; run that first"
        return InputError("--run-id", self.run_id, problem)
