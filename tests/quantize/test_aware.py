import dataclasses
import tempfile
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from energy import EnergyMeter
from steps.configuration import Configuration
from steps.evaluate import score
from steps.partition import for_final_training, partition
from steps.preprocess import Dataset, preprocess
from steps.quantization_modes import FixedPoint
from steps.quantize import aware
from steps.quantize.aware import Int8Rounding, fine_tuned
from steps.quantize.fixed_point import FixedPointRounding, fixed_point_model
from steps.train import fit, train
from steps.train.model import CLASSIFIER, build_classifier

layers = keras.layers

DIGITS = preprocess(Configuration())
PARTS = partition(DIGITS, "60-20-20", "standardization", 0)
FEW_BITS = FixedPoint(8, 4, 4, 2)
METER = EnergyMeter([])

MLP = Configuration(hidden="32", activation="relu", lr=0.01, max_epochs=6)
CNN = Configuration(model="cnn", hidden="512", activation="relu", max_epochs=12)


@cache
def classifier(configuration: Configuration) -> keras.Model:
    return train(DIGITS, PARTS, configuration, METER).model.get_layer(CLASSIFIER)


def tuned(configuration: Configuration, scheme, epochs: int, dataset: Dataset = DIGITS):
    model = classifier(configuration)
    return fine_tuned(model, dataset, PARTS, configuration, METER, scheme, epochs)[0]


def tuned_from_scratch(scheme, dataset: Dataset = DIGITS):
    """A classifier that has so much to learn that the first epoch is better than none."""
    model = build_classifier(MLP, DIGITS)
    return fine_tuned(model, dataset, PARTS, MLP, METER, scheme, 1)[0]


def accuracy(probabilities: np.ndarray, part: str = "test") -> float:
    return score(probabilities, DIGITS.labels[getattr(PARTS, part)]).accuracy


def in_few_bits(model: keras.Model, part: str = "test") -> float:
    rows = PARTS.scaled(part, DIGITS)
    return accuracy(fixed_point_model(model, FEW_BITS).probabilities(rows), part)


def same(one: keras.Model, other: keras.Model) -> bool:
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


def in_int8(model: keras.Model) -> np.ndarray:
    """What the file of LiteRT's ordinary int8 converter tells of the test rows."""
    rows, calibration = (np.asarray(PARTS.scaled(part, DIGITS)) for part in ("test", "train"))
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in calibration[:300])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        interpreter = Interpreter(model_content=converter.convert())
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], rows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], rows)
    interpreter.invoke()
    return interpreter.get_tensor(exit_["index"])


def test_fine_tuning_in_few_bits_gains_a_third_of_the_test_rows_over_post_training():
    assert accuracy(classifier(CNN)(PARTS.scaled("test", DIGITS)[:]).numpy()) > 0.9
    assert in_few_bits(tuned(CNN, FEW_BITS, 8)) - in_few_bits(classifier(CNN)) >= 0.3


@pytest.mark.parametrize("configuration", [MLP, CNN], ids=["mlp", "cnn"])
def test_int8_fine_tuned_is_as_accurate_in_litert_as_float_to_within_a_percent(configuration):
    before = accuracy(classifier(configuration)(PARTS.scaled("test", DIGITS)[:]).numpy())
    assert accuracy(in_int8(tuned(configuration, "int8", 3))) >= before - 0.01


def test_rounding_has_the_gradient_of_doing_nothing_and_none_where_it_cuts_off():
    rounding = FixedPointRounding(FixedPoint(4, 2, 4, 2), "float32")
    # Codes are -8 to 7, in units of a quarter; 1.8 rounds to the last of them.
    values = tf.constant([-3.0, -2.0, -0.1, 0.0, 1.0, 1.8, 1.9, 5.0])
    for rounded in (rounding.inputs, rounding.weights):
        with tf.GradientTape() as tape:
            tape.watch(values)
            told = rounded(values)
        assert told.numpy().tolist() == [-2, -2, 0, 0, 1, 1.75, 1.75, 1.75]
        assert tape.gradient(told, values).numpy().tolist() == [0, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("layer", "shape", "per_channel"),
    [
        (layers.Dense(6), (None, 50), (0,)),
        (layers.Conv2D(6, 3), (None, 9, 9, 4), (0, 1, 2)),
        (layers.DepthwiseConv2D(5, depth_multiplier=2), (None, 9, 9, 4), (0, 1)),
    ],
    ids=["dense", "convolution", "depthwise"],
)
def test_an_int8_kernel_is_whole_steps_of_its_channel_s_largest_weight(layer, shape, per_channel):
    layer.build(shape)
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape).astype(np.float32)
    kernel *= np.linspace(0.1, 10, kernel.shape[-1], dtype=np.float32)
    told = Int8Rounding(layer).weights(tf.constant(kernel)).numpy()
    step = np.abs(kernel).max(per_channel, keepdims=True) / 127
    np.testing.assert_allclose(told / step, np.rint(kernel / step), atol=1e-3)


def test_int8_inputs_have_at_most_256_values_that_reach_over_the_batch_and_one_is_0():
    values = np.random.default_rng(0).gamma(2, size=(400, 5)).astype(np.float32)
    values[0, 0] = 0
    told = Int8Rounding(layers.Dense(2)).inputs(tf.constant(values)).numpy()
    step = values.max() / 255
    assert 128 < len(np.unique(told)) <= 256
    assert told[0, 0] == 0
    assert np.abs(told - values).max() <= step * 0.501
    below_0 = Int8Rounding(layers.Dense(2)).inputs(tf.constant(values - 1)).numpy()
    assert np.abs(below_0 - (values - 1)).max() <= step * 1.01
    assert (below_0 == 0).any()


def test_int8_rounding_of_nothing_but_0_is_0():
    rounding = Int8Rounding(layers.Dense(2))
    zeros = tf.zeros((3, 2))
    assert rounding.inputs(zeros).numpy().tolist() == zeros.numpy().tolist()
    assert rounding.weights(zeros).numpy().tolist() == zeros.numpy().tolist()


def test_the_classifier_stays_and_what_is_given_back_is_one_like_it_with_other_floats():
    original = build_classifier(MLP, DIGITS)
    weights = original.get_weights()
    model, _ = fine_tuned(original, DIGITS, PARTS, MLP, METER, FEW_BITS, 1)
    assert all(map(np.array_equal, original.get_weights(), weights))
    assert model.name == CLASSIFIER
    assert model.get_config() == original.get_config()
    assert not same(model, original)
    quarters = model.get_weights()[0] * 4
    assert (quarters != np.rint(quarters)).any()


def test_fine_tuning_is_measured_in_a_window_of_its_own():
    _, measurement = fine_tuned(classifier(MLP), DIGITS, PARTS, MLP, METER, "int8", 1)
    assert measurement.name == "quantization_aware_training"
    assert measurement.duration_s > 0


def with_wrong_training_labels() -> Dataset:
    """Each epoch of training on it makes the classifier worse."""
    labels = DIGITS.labels.copy()
    labels[PARTS.train] = (labels[PARTS.train] + 1) % 10
    return dataclasses.replace(DIGITS, labels=labels)


def test_the_weights_are_those_of_the_best_validation_accuracy_even_if_training_makes_it_worse():
    assert same(tuned(MLP, FEW_BITS, 4, with_wrong_training_labels()), classifier(MLP))


def test_the_weights_are_those_after_the_best_epoch_not_the_last(monkeypatch):
    histories = []

    def listened(*args, **kwargs):
        report = fit.fit_in_graph(*args, **kwargs)
        histories.append(report.history["val_accuracy"])
        return report

    monkeypatch.setattr(aware, "fit_in_graph", listened)
    monkeypatch.setattr(aware, "_validation_accuracy", lambda model, rows: 0.0)
    model = tuned(MLP, FEW_BITS, 4, with_wrong_training_labels())
    assert histories[0][0] > histories[0][3] + 0.3
    assert in_few_bits(model, "validation") == pytest.approx(histories[0][0], abs=0.004)


def test_without_validation_rows_the_weights_are_those_of_the_last_epoch():
    final = for_final_training(PARTS, DIGITS, "standardization")
    dataset = with_wrong_training_labels()
    model, _ = fine_tuned(classifier(MLP), dataset, final, MLP, METER, FEW_BITS, 2)
    assert not same(model, classifier(MLP))


def test_test_rows_decide_nothing():
    features, labels = DIGITS.features.copy(), DIGITS.labels.copy()
    features[PARTS.test], labels[PARTS.test] = 0, 3
    others = dataclasses.replace(DIGITS, features=features, labels=labels)
    assert same(tuned_from_scratch(FEW_BITS, others), tuned_from_scratch(FEW_BITS))


def test_each_scheme_trains_in_a_graph_of_its_own():
    schemes = ("int8", FEW_BITS, FixedPoint(8, 4, 4, 1))
    models = [tuned_from_scratch(scheme) for scheme in schemes]
    assert not any(same(models[i], models[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_dropout_and_batch_statistics_work_as_in_training():
    rows = keras.Input(DIGITS.scaled_shape)
    values = layers.BatchNormalization(name="statistics")(layers.Dense(16)(rows))
    values = layers.Dropout(0.5, seed=1)(layers.Activation("relu")(values))
    model = keras.Model(rows, layers.Dense(10, activation="softmax")(values))
    result, _ = fine_tuned(model, DIGITS, PARTS, MLP, METER, FEW_BITS, 3)
    before, after = (
        np.asarray(each.get_layer("statistics").moving_variance) for each in (model, result)
    )
    assert before.tolist() == [1] * 16
    assert (after != 1).all()
    assert in_few_bits(result) > 0.5


@pytest.mark.parametrize(
    ("scheme", "epochs", "lr", "complaint"),
    [
        ("int4", 1, 0.01, "scheme int4: must be int8 or fixed point"),
        ("int8", 0, 0.01, "epochs 0: must be 1 or more"),
        ("int8", 1, "auto", "lr auto: fine-tuning takes the number that was found"),
    ],
)
def test_what_cannot_be_trained_is_refused(scheme, epochs, lr, complaint):
    configuration = dataclasses.replace(MLP, lr=lr)
    with pytest.raises(ValueError, match=complaint):
        fine_tuned(classifier(MLP), DIGITS, PARTS, configuration, METER, scheme, epochs)
