"""All that the five steps tell of a run."""

import io
import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import mlflow
import numpy as np
from mlflow.tracking.context.registry import resolve_tags

from pipeline import figures
from pipeline.note import note
from pipeline.software import software
from pipeline.tags import GRAPH_SHARED
from pipeline.tracking import letters, points, variants
from pipeline.tracking.fine_tuning import FINE_TUNED
from pipeline.tracking.model import save_model, save_quantized_model
from pipeline.tracking.open_run import OpenRun, new_run, points_at
from pipeline.tracking.paths import (
    BATCH_LOSSES,
    CONFUSION_MATRIX,
    CURVES,
    DATASET,
    LR_CURVE,
    MODEL,
    PARTITION,
    QUANTIZED_MODEL,
    USER_MODEL,
)
from pipeline.tracking.project_run import PROJECT_TAGS
from pipeline.tracking.store import recorded
from steps.configuration import Configuration
from steps.outcome import Outcome

if TYPE_CHECKING:
    import keras

    from energy import Calibration, Carbon, IdlePower, Measurement
    from energy.calibration import PartCalibration
    from energy.hardware import Hardware
    from steps.evaluate import Evaluation
    from steps.flops import Flops
    from steps.partition import Partition
    from steps.preprocess import Dataset
    from steps.quantize import Quantization
    from steps.scaling import Scaler
    from steps.train import Epoch, Training
    from steps.train.find_lr import LearningRateCurve

SECONDS_BETWEEN_DELIVERIES = 30.0
"""Of the curves of a long training, while it goes on."""

TO_ACCURACY = ("time_to_accuracy_s", "energy_to_accuracy_j", "emissions_to_accuracy_kg")


class RunLog(OpenRun):
    """The run of one training, open for writing."""

    def __init__(self, run_id: str, *, is_one_of_many: bool = False) -> None:
        """Open a run for writing.

        Args:
            run_id: the run to write to.
            is_one_of_many: a search has hundreds of runs, most of which nobody looks at: no
                pictures, and no model where the target was missed.
        """
        super().__init__(run_id)
        self.is_one_of_many = is_one_of_many
        self._is_new = False
        self._parameters: dict[str, str] = {}
        self._delivered_at = time.monotonic()
        self._delivery: threading.Thread | None = None

    @classmethod
    def start(
        cls,
        experiment_id: str,
        configuration: Configuration,
        name: str = "",
        further_tags: Mapping[str, str] | None = None,
        *,
        is_one_of_many: bool = False,
    ) -> Self:
        """Open a new run of `configuration`, called by its name unless told otherwise."""
        tags = {**resolve_tags(), **PROJECT_TAGS, "config_id": configuration.config_id}
        tags |= further_tags or {}
        run = new_run(experiment_id, name or configuration.run_name, tags)
        log = cls(run.info.run_id, is_one_of_many=is_one_of_many)
        log._known = recorded(run)
        log._is_new = True
        log._parameters = configuration.parameters()
        return log

    def _begin(self) -> None:
        if self._is_new:
            self._post(letters.FIGURES, letters.figures(parameters=self._parameters))
        else:
            super()._begin()

    def failed(self, reason: str) -> None:
        """Why the run came to no good end. The outcome of a training that did stays."""
        super().failed(reason)
        if "outcome" not in self.recorded().tags:
            self.tag({"outcome": Outcome.FAILED})
        self.describe()

    def preprocessed(self, dataset: "Dataset") -> None:
        """The dataset as MLflow's dataset input, what identifies it, and how it was read."""
        source = mlflow.data.code_dataset_source.CodeDatasetSource({"dataset": dataset.source})
        entity = mlflow.data.from_numpy(
            dataset.features,
            targets=dataset.labels,
            source=source,
            name=dataset.source,
            digest=dataset.digest,
        )._to_mlflow_entity()
        self._post(letters.INPUT, {"dataset": entity.to_dictionary(), "context": "training"})
        counts = np.bincount(dataset.labels)
        self.tag(
            {
                "dataset_digest": dataset.digest,
                "dataset.rows": f"{len(dataset.labels)} of shape {dataset.row_shape}",
                "dataset.classes": f"{len(counts)}, of {counts.min()} to {counts.max()} rows",
                **({"dataset.reading": _told(dataset.facts)} if dataset.facts else {}),
            }
        )
        summary = {
            "source": dataset.source,
            "digest": dataset.digest,
            "rows": len(dataset.labels),
            "row_shape": dataset.row_shape,
            "published_test_rows": dataset.test_rows,
            "rows_per_class": dict(zip(dataset.class_names, counts.tolist(), strict=True)),
            "features": dataset.feature_names,
            **dataset.facts,
        }
        self.artifact(DATASET, json.dumps(summary, indent=2, default=str).encode())

    def partitioned(self, partition: "Partition") -> None:
        """The row indices of the parts, the scaler, and the rows that are in two parts."""
        self.files(PARTITION, partition.save)
        self.tag({"dataset.parts": partition.described()})

    def training_begins(
        self, carbon: "Carbon", hardware: "Hardware", model_file: Path | None
    ) -> None:
        """Where it is measured, with which carbon intensity, and the user's own model if any."""
        if model_file is not None:
            self.artifact(f"{USER_MODEL}/{model_file.name}", model_file.read_bytes())
        if not self._is_new:
            self._take_back_earlier_training()
        intensity = carbon.intensity_g_per_kwh
        self.tag(
            {
                "hardware": hardware.name,
                "software": software(),
                "carbon.place": carbon.place,
                "carbon.source": carbon.source,
                "carbon.pue": f"{carbon.pue:g}",
                "carbon.intensity_g_per_kwh": "unknown" if intensity is None else f"{intensity:g}",
            }
        )

    def _take_back_earlier_training(self) -> None:
        self._before = ""
        self._post(letters.STATUS, letters.at_work(self._before))
        before = self.recorded()
        if "outcome" in before.tags:
            self._post(letters.FORGET, {"tag": "outcome"})
        # MLflow cannot take a metric back, but what is infinite wins nothing.
        self.figures({name: math.inf for name in TO_ACCURACY if name in before.metrics})
        self._take_back_tags(FINE_TUNED, *variants.OF_ONE_CALL)

    def _take_back_tags(self, *beginnings: str) -> None:
        for name in self.recorded().tags:
            if name.startswith(beginnings):
                self._post(letters.FORGET, {"tag": name})

    def record(self, epochs: Sequence["Epoch"]) -> None:
        """Keep epochs on disk while training goes on; `deliver` sends them to MLflow."""
        reading = epochs[-1].reading
        spent = points_at(0, points.spent(epochs[-1].number, reading))
        curve = [point for epoch in epochs for point in points.of_epoch(epoch)]
        self._keep(letters.FIGURES, letters.figures([*curve, *spent], points.provenance(reading)))
        if time.monotonic() - self._delivered_at >= SECONDS_BETWEEN_DELIVERIES:
            self._delivered_at = time.monotonic()
            if self._delivery is None or not self._delivery.is_alive():
                meanwhile = self._outbox.deliver_in_silence
                self._delivery = threading.Thread(target=meanwhile, daemon=True)
                self._delivery.start()

    def deliver(self) -> None:
        """Send what is on disk only: the curves, and what training cost so far."""
        self._outbox.deliver()

    def trained(
        self, training: "Training", epochs: Sequence["Epoch"], target: float, dataset: "Dataset"
    ) -> None:
        """What training cost and how it ended, its curves as a figure, and the model."""
        figures_of_run = {
            **points.spent(training.epochs, training.measurement),
            **points.told_apart(training),
            **points.to_accuracy(training),
        }
        tags = {
            "outcome": training.outcome,
            "training.engine": f"{training.report.engine} ({training.report.engine_reason})",
            "training.jit_compile": (
                f"{training.report.jit_compile} ({training.report.jit_compile_reason})"
            ),
            "training.graph": (
                GRAPH_SHARED if training.compilation_is_shared else "compiled by this run"
            ),
            **({"training.caution": training.caution} if training.caution else {}),
            **points.provenance(training.measurement),
        }
        self._send(points_at(0, figures_of_run), tags)
        losses = training.report.batch_losses
        if losses is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, batch_losses=losses.astype(np.float32))
            self.artifact(BATCH_LOSSES, buffer.getvalue())
        if training.outcome is Outcome.CAPPED:
            return
        if not self.is_one_of_many:
            self.page(figures.training_card(epochs, losses, target), CURVES)
        elif training.outcome is not Outcome.REACHED:
            return
        self.keep_model(training.model, dataset)

    def keep_model(self, model: "keras.Model", dataset: "Dataset") -> None:
        """The trained model, as one that takes raw rows of `dataset`."""
        self.model(MODEL, lambda folder: save_model(folder, model, dataset))

    def keep_quantized_model(self, content: bytes, scaler: "Scaler", dataset: "Dataset") -> None:
        """A LiteRT file, which takes what `scaler` makes of raw rows, as one that takes these."""
        self.model(
            QUANTIZED_MODEL, lambda folder: save_quantized_model(folder, content, scaler, dataset)
        )

    def found_lr(self, curve: "LearningRateCurve", measurement: "Measurement") -> None:
        """The learning rate that the range test chose, its curve, and what it cost."""
        self.tag(points.provenance(measurement))
        self.figures(
            {
                "found_lr": curve.chosen,
                "find_lr_time_s": measurement.duration_s,
                "find_lr_energy_j": measurement.energy_j,
            }
        )
        now = int(time.time() * 1000)
        self._send(
            (name, float(value), now, step)
            for name, values in (("learning_rate", curve.rates), ("batch_loss", curve.losses))
            for step, value in enumerate(values)
        )
        self.page(figures.learning_rate_curve(curve), LR_CURVE)

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
            self.figures({"net_energy_j": (measurement - idle).energy_j})
            self.tag({"energy.idle": f"{idle.power_w:.3g} W, measured {idle.measured_on}"})
        if calibration is not None:
            self.figures({"calibrated_energy_j": calibration.wall_energy_of(measurement)})
            self.tag({"energy.calibration": calibration_typed})

    def evaluated(
        self, evaluation: "Evaluation", class_names: Sequence[str], flops: "Flops | None"
    ) -> None:
        """Test scores, size, FLOPs of a row, and the confusion matrix as a picture."""
        self.figures(
            {
                "test_accuracy": evaluation.scores.accuracy,
                "test_loss": evaluation.scores.loss,
                "parameters": evaluation.parameters,
                "model_size_bytes": evaluation.size_bytes,
                "flops": None if flops is None else flops.count,
            }
        )
        if flops is not None and not flops.is_complete:
            self.tag({"flops.uncounted": ", ".join(flops.uncounted)[:500]})
        if not self.is_one_of_many:
            figure = figures.confusion_matrix(evaluation.scores.confusion, class_names)
            self.picture(figure, CONFUSION_MATRIX)

    def quantized(
        self,
        quantization: "Quantization",
        partition: "Partition",
        dataset: "Dataset",
        idle: "IdlePower | None",
        calibration: "Calibration | PartCalibration | None",
    ) -> None:
        """The variants' figures and files; the chosen one as a model that takes raw rows."""
        figures_of_run, tags = variants.told(self.recorded(), quantization, idle, calibration)
        self._take_back_tags(*variants.OF_ONE_CALL)
        self._send(points_at(0, figures_of_run), tags)
        for variant in quantization.variants:
            if variant.content is not None:
                self.artifact(f"quantize/{variants.slug(variant.mode)}.tflite", variant.content)
        chosen = quantization.chosen
        if chosen is not None and chosen.content is not None:
            self.keep_quantized_model(chosen.content, partition.scaler, dataset)

    def describe(self) -> None:
        """The description that a person reads on the run's page, in Markdown."""
        run = self.recorded()
        # Without parameters there is nothing to tell: the process was killed before it had them.
        if run.parameters:
            self.tag({"mlflow.note.content": note(run)})


def _told(facts: Mapping[str, Any]) -> str:
    """What the reader of a dataset had to say, in a line."""
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items())
