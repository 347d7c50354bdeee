import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from energy import EnergyMeter
from steps.configuration import Configuration
from steps.evaluate import evaluate, score
from steps.partition import partition
from steps.preprocess import Dataset, preprocess
from steps.quantize import Quantization, quantize
from steps.train import train

DIGITS = preprocess(Configuration())
PARTS = partition(DIGITS, "80-10-10", "standardization", 0)
MODES = ("dynamic", "float16", "int8")


@pytest.fixture(scope="module")
def model():
    configuration = Configuration(hidden="64", activation="relu", lr=0.01, max_epochs=8)
    return train(DIGITS, PARTS, configuration, EnergyMeter([])).model


@pytest.fixture(scope="module")
def quantizations(model) -> dict[str, Quantization]:
    return {mode: quantize(model, DIGITS, PARTS, mode) for mode in MODES}


def answers(content: bytes, rows: np.ndarray) -> np.ndarray:
    """What the file tells of all rows at once."""
    interpreter = Interpreter(model_content=content)
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], rows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], rows)
    interpreter.invoke()
    return interpreter.get_tensor(exit_["index"])


def weight_types(content: bytes) -> set[str]:
    """Types of the file's larger constants."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return {
        np.dtype(tensor["dtype"]).name
        for tensor in interpreter.get_tensor_details()
        if np.prod(tensor["shape"]) >= 64 * 10
    }


@pytest.mark.parametrize("mode", MODES)
def test_the_scores_are_those_of_the_file_itself(quantizations, mode):
    quantization = quantizations[mode]
    rows = PARTS.scaler.transform(DIGITS.features[PARTS.test])
    for litert in (quantization.float32, quantization.quantized):
        again = score(answers(litert.content, rows), DIGITS.labels[PARTS.test])
        np.testing.assert_array_equal(again.confusion, litert.scores.confusion)
        assert again.accuracy == litert.scores.accuracy
        assert again.loss == pytest.approx(litert.scores.loss, rel=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_the_quantized_model_is_as_accurate_as_the_float32_one_to_within_a_percent(
    quantizations, mode
):
    quantization = quantizations[mode]
    assert quantization.mode == mode
    assert quantization.float32.scores.accuracy > 0.9
    difference = quantization.quantized.scores.accuracy - quantization.float32.scores.accuracy
    assert abs(difference) <= 0.01


def test_the_float32_baseline_tells_what_the_keras_model_tells(quantizations, model):
    keras_scores = evaluate(model, DIGITS, PARTS).scores
    baseline = quantizations["int8"].float32.scores
    assert baseline.accuracy == keras_scores.accuracy
    assert baseline.loss == pytest.approx(keras_scores.loss, rel=1e-4)


@pytest.mark.parametrize(("mode", "at_most"), [("dynamic", 0.5), ("float16", 0.75), ("int8", 0.5)])
def test_the_quantized_file_is_smaller(quantizations, mode, at_most):
    quantization = quantizations[mode]
    assert quantization.quantized.size_bytes == len(quantization.quantized.content)
    assert quantization.quantized.size_bytes < at_most * quantization.float32.size_bytes


@pytest.mark.parametrize(
    ("mode", "stored_as"), [("dynamic", "int8"), ("float16", "float16"), ("int8", "int8")]
)
def test_the_weights_are_stored_as_the_mode_says(quantizations, mode, stored_as):
    assert stored_as in weight_types(quantizations[mode].quantized.content)
    assert weight_types(quantizations[mode].float32.content) == {"float32"}


@pytest.mark.parametrize("mode", MODES)
def test_both_files_have_a_latency(quantizations, mode):
    assert quantizations[mode].float32.latency_ms > 0
    assert quantizations[mode].quantized.latency_ms > 0


def with_rows_scaled(rows: np.ndarray) -> Dataset:
    features = DIGITS.features.copy()
    features[rows] *= 3
    return dataclasses.replace(DIGITS, features=features, digest="")


def test_int8_is_calibrated_with_training_rows_only(quantizations, model):
    content = quantizations["int8"].quantized.content
    others = with_rows_scaled(np.concatenate([PARTS.validation, PARTS.test]))
    assert quantize(model, others, PARTS, "int8").quantized.content == content
    calibration_rows = with_rows_scaled(PARTS.train)
    assert quantize(model, calibration_rows, PARTS, "int8").quantized.content != content


def test_the_test_rows_score_both_files(quantizations, model):
    changed = quantize(model, with_rows_scaled(PARTS.test), PARTS, "dynamic")
    assert changed.float32.scores.loss != quantizations["dynamic"].float32.scores.loss
    assert changed.quantized.scores.loss != quantizations["dynamic"].quantized.scores.loss
