import dataclasses

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from energy import EnergyMeter
from steps.configuration import Configuration, parse
from steps.evaluate import evaluate, score
from steps.partition import for_final_training, partition
from steps.preprocess import Dataset, preprocess
from steps.quantize import BATCHES, Quantization, quantize, speed_up
from steps.scaling import Scaler
from steps.train import train
from steps.train.model import with_scaler

DIGITS = preprocess(Configuration())
PARTS = partition(DIGITS, "80-10-10", "standardization", 0)
TRAINED = {"hidden": "64", "activation": "relu", "lr": "0.01", "max_epochs": "8"}
METER = EnergyMeter([])

# What a dense weight is stored as, in LiteRT's own words.
STORED_AS = {
    "float32": np.float32,
    "dynamic": np.int8,
    "float16": np.float16,
    "int8": np.int8,
    "int16x8": np.int8,
    "int4": np.int8,
    "qat_int8": np.int8,
}
FILES = sorted(STORED_AS)
SMALLER = sorted(set(STORED_AS) - {"float32"})
FIXED = "fixed:8.4/6.4"


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return train(DIGITS, PARTS, parse(TRAINED), METER).model


def quantization_of(model, wanted: str, dataset: Dataset = DIGITS, parts=PARTS, **others: str):
    configuration = parse({**TRAINED, "quantization": wanted, **others})
    return quantize(model, dataset, parts, configuration, METER, inference_window_s=0.0)


@pytest.fixture(scope="module")
def everything(model) -> Quantization:
    return quantization_of(model, f"all,{FIXED}")


def of(quantization: Quantization, mode: str):
    every = (quantization.float32, *quantization.variants)
    return next(variant for variant in every if variant.mode == mode)


def answers(content: bytes, part: str) -> np.ndarray:
    """What the file tells of all rows of a part at once."""
    rows = np.asarray(PARTS.scaled(part, DIGITS))
    interpreter = Interpreter(model_content=content)
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], rows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], rows)
    interpreter.invoke()
    return interpreter.get_tensor(exit_["index"])


def test_every_mode_that_is_asked_for_is_there_in_its_order(everything):
    assert everything.refused == {}
    modes = [variant.mode for variant in everything.variants]
    assert modes == ["dynamic", "float16", "int8", "int16x8", "int4", "qat_int8", FIXED]
    assert [variant.simulated for variant in everything.variants] == [False] * 6 + [True]


@pytest.mark.parametrize("mode", FILES)
def test_the_scores_are_those_of_the_file_itself(everything, mode):
    variant = of(everything, mode)
    for part, scored in (("validation", variant.validation), ("test", variant.test)):
        again = score(answers(variant.content, part), DIGITS.labels[getattr(PARTS, part)])
        np.testing.assert_array_equal(again.confusion, scored.confusion)
        assert again.accuracy == scored.accuracy
        assert again.loss == pytest.approx(scored.loss, rel=1e-3)


@pytest.mark.parametrize("mode", [*SMALLER, FIXED])
def test_a_variant_is_about_as_accurate_as_float32(everything, mode):
    assert everything.float32.validation.accuracy > 0.9
    lost = everything.float32.validation.accuracy - of(everything, mode).validation.accuracy
    assert lost <= (0.03 if mode in ("int4", FIXED) else 0.01)


def test_the_float32_baseline_tells_what_the_keras_model_tells(everything, model):
    wanted = evaluate(model, DIGITS, PARTS).scores
    assert everything.float32.test.accuracy == wanted.accuracy
    assert everything.float32.test.loss == pytest.approx(wanted.loss, rel=1e-4)


@pytest.mark.parametrize("mode", FILES)
def test_weights_are_stored_as_the_mode_says(everything, mode):
    variant = of(everything, mode)
    interpreter = Interpreter(model_content=variant.content)
    kernels = [
        tensor
        for tensor in interpreter.get_tensor_details()
        if tuple(tensor["shape"]) in ((64, 64), (10, 64)) and "dequant" not in tensor["name"]
    ]
    assert len(kernels) == 2
    # The interpreter shows four bits as if they were eight; that they are not, the size tells.
    assert all(STORED_AS[mode] == tensor["dtype"] for tensor in kernels)
    bits = 4 if mode == "int4" else 8 * np.dtype(STORED_AS[mode]).itemsize
    assert variant.average_bitwidth == bits
    assert variant.memory_density == 32 / bits
    assert variant.uncovered == ()
    biases = {"int16x8": 8}.get(mode, 4) * (64 + 10)
    assert variant.size_bytes == (64 * 64 + 64 * 10) * bits // 8 + biases
    assert variant.size_bytes < len(variant.content)


def test_an_emulation_has_widths_and_bit_operations_but_no_file(everything):
    emulated = of(everything, FIXED)
    assert (emulated.content, emulated.size_bytes) == (None, None)
    assert emulated.average_bitwidth == 6
    assert emulated.bit_operations == (64 * 64 + 64 * 10) * 8 * 6
    assert of(everything, "int8").bit_operations == (64 * 64 + 64 * 10) * 8 * 8


def test_each_file_has_latencies_of_the_same_turns_and_an_emulation_has_none(everything):
    assert of(everything, FIXED).latency == {}
    for variant in (of(everything, mode) for mode in FILES):
        assert set(variant.latency) == set(BATCHES) == {1, 256}
        for batch, latency in variant.latency.items():
            assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
            gained = speed_up(everything.float32.latency[batch], latency)
            assert 0 < gained.low <= gained.median <= gained.high
    slower = of(everything, "float32").latency
    assert slower[256].median_ms > slower[1].median_ms


def test_only_what_was_fine_tuned_tells_what_that_took(everything):
    tuned = [variant.mode for variant in everything.variants if variant.fine_tuning is not None]
    assert tuned == ["qat_int8"]
    assert of(everything, "qat_int8").fine_tuning.duration_s > 0
    assert of(everything, "qat_int8").content != of(everything, "int8").content


def test_fixed_point_is_fine_tuned_where_epochs_are_given(model, everything):
    tuned = quantization_of(model, "fixed:8.4/4.2", qat_epochs="2")
    assert tuned.variants[0].fine_tuning is not None
    plain = quantization_of(model, "fixed:8.4/4.2")
    assert plain.variants[0].fine_tuning is None
    assert tuned.variants[0].validation.loss < plain.variants[0].validation.loss


def test_the_model_itself_stays_as_it_is(model):
    before = model.get_weights()
    quantization_of(model, "int8,qat_int8", qat_epochs="1")
    assert all(map(np.array_equal, before, model.get_weights()))


def with_rows_scaled(rows: np.ndarray) -> Dataset:
    features = DIGITS.features.copy()
    features[rows] *= 3
    return dataclasses.replace(DIGITS, features=features, digest="")


def test_int8_is_calibrated_with_training_rows_only(everything, model):
    content = of(everything, "int8").content
    others = with_rows_scaled(np.concatenate([PARTS.validation, PARTS.test]))
    assert quantization_of(model, "int8", others).variants[0].content == content
    training = with_rows_scaled(PARTS.train)
    assert quantization_of(model, "int8", training).variants[0].content != content


def test_each_part_is_scored_on_its_own_rows(everything, model):
    changed = quantization_of(model, "dynamic", with_rows_scaled(PARTS.test))
    for mode in ("float32", "dynamic"):
        assert of(changed, mode).test.loss != of(everything, mode).test.loss
        assert of(changed, mode).validation.loss == of(everything, mode).validation.loss


# What cannot be made


def refusing_litert() -> keras.Model:
    """With a loop that LiteRT's converter does not take."""
    rows = keras.Input((64,), name="scaled_features")
    memory = keras.layers.LSTM(6, name="memory")(keras.layers.Reshape((8, 8))(rows))
    told = keras.layers.Dense(10, "softmax", name="told")(memory)
    scaler = Scaler(np.zeros(64), np.ones(64))
    return with_scaler(keras.Model(rows, told, name="classifier"), scaler, DIGITS)


def test_of_a_model_that_the_converter_refuses_all_files_are_refused_and_emulations_go_on():
    done = quantization_of(refusing_litert(), "int8,qat_int8,fixed:8.4/8.6")
    assert done.float32 is None
    assert set(done.refused) == {"float32", "int8", "qat_int8"}
    assert set(done.refused.values()) == {done.refused["float32"]}
    assert done.refused["float32"].startswith("LiteRT's converter does not take the model (")
    (emulated,) = done.variants
    assert emulated.uncovered == ("memory",)
    assert emulated.bit_operations is None
    assert done.chosen is None


def test_what_cannot_be_fine_tuned_is_refused_in_one_line_and_the_others_go_on(model):
    done = quantization_of(model, "int8,qat_int8", lr="auto")
    assert done.refused == {"qat_int8": "lr auto: fine-tuning takes the number that was found"}
    assert [variant.mode for variant in done.variants] == ["int8"]


def test_rows_of_another_shape_than_the_model_takes_are_refused_with_both(model):
    iris = preprocess(Configuration(dataset="iris"))
    parts = partition(iris, "80-10-10", "standardization", 0)
    with pytest.raises(ValueError, match=r"^iris: rows of shape \(4,\), and the model takes \(64,"):
        quantization_of(model, "int8", iris, parts)


def test_without_validation_rows_nothing_is_scored_on_them_and_fine_tuning_has_its_last_epoch(
    model,
):
    final = for_final_training(PARTS, DIGITS, "standardization")
    done = quantization_of(model, "qat_int8", parts=final, qat_epochs="1")
    assert done.refused == {}
    assert done.float32.validation is None
    (tuned,) = done.variants
    assert tuned.validation is None
    assert tuned.fine_tuning.duration_s > 0
    assert tuned.test.accuracy > 0.9
    assert done.chosen is tuned
