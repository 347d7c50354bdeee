"""Quantize: smaller versions of the trained classifier, scored and timed beside the float32 one.

All run in LiteRT, the float32 baseline too: against Keras' own ``predict`` any file of LiteRT
would look thousands of times faster, for reasons that have nothing to do with quantization.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from steps.evaluate import Scores, score
from steps.partition import Partition
from steps.preprocess import Dataset
from steps.train.model import CLASSIFIER

CALIBRATION_ROWS = 500
TIMED_CALLS = 300


@dataclass(frozen=True)
class LiteRTModel:
    """A LiteRT file that takes scaled rows, float32, and what it is worth.

    Attributes:
        content: the bytes of the ``.tflite`` file.
        scores: on the test part, computed by running this very file.
        latency_ms: median of one row at a time on one thread, milliseconds.
    """

    content: bytes
    scores: Scores
    latency_ms: float

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return len(self.content)


@dataclass(frozen=True)
class Quantization:
    """The quantized model beside the float32 one in the same runtime."""

    mode: str
    float32: LiteRTModel
    quantized: LiteRTModel


def quantize(model: keras.Model, dataset: Dataset, partition: Partition, mode: str) -> Quantization:
    """Convert, score and time.

    The scaling stays outside of the file: whole-number arithmetic has one step size for all
    features of a raw row, which would wipe out the small ones.

    Args:
        model: as `train` gives it, from raw rows to probabilities.
        dataset: raw rows.
        partition: training rows calibrate, test rows score.
        mode: ``dynamic`` (weights int8), ``float16`` or ``int8`` (weights and
            activations, calibrated on training rows).
    """
    classifier = model.get_layer(CLASSIFIER)
    calibration = partition.scaled("train", dataset)[
        _spread(len(partition.train), CALIBRATION_ROWS)
    ]
    rows = np.asarray(partition.scaled("test", dataset))
    labels = dataset.labels[partition.test]
    contents = (_convert(classifier, form, calibration) for form in ("float32", mode))
    float32, quantized = (_measured(content, rows, labels) for content in contents)
    return Quantization(mode, float32, quantized)


def _spread(rows: int, count: int) -> npt.NDArray[np.int64]:
    """At most `count` of `rows`, evenly from first to last (files are often sorted by class)."""
    return np.linspace(0, rows - 1, min(count, rows)).round().astype(np.int64)


def _convert(classifier: keras.Model, form: str, calibration: npt.NDArray[np.float32]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        # `from_keras_model` does the same, and prints about it.
        classifier.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if form != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if form == "int8":
            converter.representative_dataset = lambda: ([row[np.newaxis]] for row in calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def _measured(
    content: bytes, rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> LiteRTModel:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    told = np.concatenate([_invoke(interpreter, row[np.newaxis]) for row in rows])
    return LiteRTModel(content, score(told, labels), _latency_ms(interpreter, rows))


def _invoke(interpreter: Interpreter, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows)
    interpreter.invoke()
    output: npt.NDArray[np.float32] = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    return output


def _latency_ms(interpreter: Interpreter, rows: npt.NDArray[np.float32]) -> float:
    input_index = interpreter.get_input_details()[0]["index"]
    times_s = []
    for call in range(TIMED_CALLS):
        interpreter.set_tensor(input_index, rows[call % len(rows)][np.newaxis])
        began = time.perf_counter()
        interpreter.invoke()
        times_s.append(time.perf_counter() - began)
    return 1000 * statistics.median(times_s)
