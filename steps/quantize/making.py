"""Making the variants of one classifier, and scoring each by running it."""

from dataclasses import dataclass
from typing import Literal, Protocol

import keras
import numpy as np

from energy import EnergyMeter, Measurement
from steps.configuration import Configuration
from steps.evaluate import Scores, score
from steps.flops import leaf_layers
from steps.partition import Partition
from steps.preprocess import Dataset
from steps.quantization_modes import AWARE, FLOAT32, FixedPoint
from steps.quantize.aware import fine_tuned
from steps.quantize.convert import converted, quantized
from steps.quantize.fixed_point import FixedPointModel, fixed_point_model
from steps.quantize.litert import LiteRTModel, Rows
from steps.quantize.variants import Variant
from steps.quantize.weights import StoredWeights, fixed_bit_operations, stored_weights
from steps.scaling import ScaledRows

CALIBRATION_ROWS = 500

AWARE_EPOCHS = 3
"""Of fine-tuning for int8, where no number is given."""


class Model(Protocol):
    """What tells probabilities of scaled rows."""

    def probabilities(self, rows: ScaledRows | Rows) -> Rows:
        """Shape (rows, classes), of rows of shape (rows, *scaled_shape)."""
        ...


@dataclass(frozen=True)
class Workshop:
    """A trained classifier and all that it takes to make variants of it.

    Attributes:
        classifier: from scaled rows to probabilities.
        dataset: raw rows.
        partition: training rows calibrate and fine-tune, validation and test rows score.
        configuration: as `steps.quantize.quantize` takes it.
        meter: measures fine-tuning.
    """

    classifier: keras.Model
    dataset: Dataset
    partition: Partition
    configuration: Configuration
    meter: EnergyMeter

    def calibration(self) -> Rows:
        """Some scaled training rows, evenly from first to last: many files are sorted by class."""
        rows = len(self.partition.train)
        places = np.linspace(0, rows - 1, min(CALIBRATION_ROWS, rows)).round().astype(np.int64)
        return self.partition.scaled("train", self.dataset)[places]

    def file(self, mode: str, float32: bytes) -> Variant:
        """A variant that LiteRT runs, not timed yet.

        Args:
            mode: ``float32`` or one of `steps.quantization_modes.LITERT_MODES`.
            float32: the float32 file.

        Raises:
            ValueError: it cannot be made, fine-tuned or run.
        """
        content, fine_tuning = float32, None
        if mode == AWARE:
            epochs = self.configuration.qat_epochs or AWARE_EPOCHS
            tuned, fine_tuning = self._fine_tuned("int8", epochs)
            content = quantized(converted(tuned), "int8", self.calibration())
        elif mode != FLOAT32:
            content = quantized(float32, mode, self.calibration())
        stored = self.stored(content)
        validation, test = self._scores(LiteRTModel(content))
        return Variant(
            mode=mode,
            content=content,
            validation=validation,
            test=test,
            size_bytes=stored.size_bytes,
            average_bitwidth=stored.average_bitwidth,
            bit_operations=stored.bit_operations,
            simulated=False,
            uncovered=() if mode == FLOAT32 else stored.uncovered,
            fine_tuning=fine_tuning,
        )

    def emulation(self, widths: FixedPoint, float32: StoredWeights | None) -> Variant:
        """A variant in fixed point.

        Args:
            widths: of the numbers.
            float32: what the float32 file stores, whose multiply-adds these are too; None if there
                is no such file.

        Raises:
            ValueError: it cannot be fine-tuned, or is not exact at these widths.
        """
        classifier, fine_tuning = self.classifier, None
        if self.configuration.qat_epochs is not None:
            classifier, fine_tuning = self._fine_tuned(widths, self.configuration.qat_epochs)
        model = fixed_point_model(classifier, widths)
        validation, test = self._scores(model)
        return Variant(
            mode=str(widths),
            content=None,
            validation=validation,
            test=test,
            size_bytes=None,
            average_bitwidth=model.average_bitwidth,
            bit_operations=_bit_operations(float32, model, widths),
            simulated=True,
            uncovered=model.uncovered,
            fine_tuning=fine_tuning,
        )

    def stored(self, content: bytes) -> StoredWeights:
        """What a file stores, with the names of the classifier's layers."""
        with_kernels = [
            layer.name
            for layer in leaf_layers(self.classifier)
            if any(len(weight.shape) > 1 for weight in layer.weights)
        ]
        return stored_weights(content, with_kernels)

    def _fine_tuned(
        self, scheme: Literal["int8"] | FixedPoint, epochs: int
    ) -> tuple[keras.Model, Measurement]:
        return fine_tuned(
            self.classifier,
            self.dataset,
            self.partition,
            self.configuration,
            self.meter,
            scheme,
            epochs,
        )

    def _scores(self, model: Model) -> tuple[Scores | None, Scores]:
        """Of the validation part, None if it is empty, and of the test part."""
        labels, partition = self.dataset.labels, self.partition

        def of(part: str) -> Scores:
            told = model.probabilities(partition.scaled(part, self.dataset))
            return score(told, labels[getattr(partition, part)])

        return of("validation") if len(partition.validation) else None, of("test")


def _bit_operations(
    float32: StoredWeights | None, model: FixedPointModel, widths: FixedPoint
) -> int | None:
    if float32 is None:
        return None
    return fixed_bit_operations(float32.products, model.layers, model.uncovered, widths)
