import dataclasses
import itertools
import random
from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from integer_reference import codes, probabilities

from steps.configuration import Configuration
from steps.preprocess import preprocess
from steps.quantization_modes import FixedPoint
from steps.quantize.fixed_point import FixedPointRounding, fixed_point_model
from steps.train.model import build_classifier

layers = keras.layers

DIGITS = preprocess(Configuration())
ROWS = (DIGITS.features[:540].astype(np.float32) - 5) / 6
PAIRS = ((16, 8), (8, 6), (8, 4), (4, 2))
GRID = [FixedPoint(*data, *weight) for data, weight in itertools.product(PAIRS, repeat=2)]
CLASSIFIERS = [("mlp", "relu"), ("mlp", "sigmoid"), ("cnn", "relu")]

widths = st.integers(2, 24)
fractions = st.integers(0, 12)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


def classifier(model: str, activation: str = "relu") -> keras.Model:
    """With biases that are not 0, and weights that a few bits do not wipe out."""
    configuration = Configuration(model=model, activation=activation, hidden="32")
    built = build_classifier(configuration, DIGITS)
    generator = np.random.default_rng(1)
    built.set_weights([generator.normal(0, 0.4, w.shape) for w in built.get_weights()])
    return built


def rows_of(model: keras.Model) -> np.ndarray:
    return ROWS.reshape(-1, *model.input_shape[1:])


def small(*middle: keras.Layer, rows: tuple[int, ...] = (6,)) -> keras.Model:
    random.seed(0)
    given_rows = keras.Input(rows)
    values = given_rows
    for layer in (*middle, layers.Flatten(), layers.Dense(3, activation="softmax", name="last")):
        values = layer(values)
    return keras.Model(given_rows, values)


def rounded(values: np.ndarray, width: int, fraction: int) -> np.ndarray:
    rounding = FixedPointRounding(FixedPoint(width, fraction, 2, 0), values.dtype.name)
    return rounding.inputs(tf.constant(values)).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("width", "fraction"), PAIRS)
def test_200000_random_values_have_the_codes_of_whole_number_arithmetic(width, fraction, dtype):
    generator = np.random.default_rng(width)
    largest = 2.0 ** (width - fraction)
    anywhere = generator.normal(0, largest / 2, 180_000)
    halves = generator.integers(-(2**width), 2**width, 20_000) + 0.5
    values = np.concatenate([anywhere, halves / 2**fraction]).astype(dtype)
    told = rounded(values, width, fraction).astype(np.float64) * 2.0**fraction
    np.testing.assert_array_equal(told, codes(values, width, fraction))


@given(numbers, widths, fractions)
def test_a_number_becomes_the_nearest_code_and_a_half_the_even_one(number, width, fraction):
    exact = round(Fraction(number) * 2**fraction)  # Python rounds halves to even
    code = min(max(exact, -(2 ** (width - 1))), 2 ** (width - 1) - 1)
    assert rounded(np.float32([number]), width, fraction)[0] == code / 2**fraction


@given(numbers, widths, fractions)
def test_rounding_twice_is_rounding_once(number, width, fraction):
    once = rounded(np.float32([number]), width, fraction)
    np.testing.assert_array_equal(rounded(once, width, fraction), once)


@given(st.lists(numbers, min_size=2, max_size=20), widths, fractions)
def test_rounding_keeps_the_order(values, width, fraction):
    told = rounded(np.sort(np.float32(values)), width, fraction)
    assert (np.diff(told) >= 0).all()


@given(numbers, widths, fractions)
def test_a_rounded_number_is_in_range(number, width, fraction):
    (told,) = rounded(np.float32([number]), width, fraction) * 2.0**fraction
    assert -(2 ** (width - 1)) <= told <= 2 ** (width - 1) - 1


@pytest.mark.parametrize(("model", "activation"), CLASSIFIERS)
def test_a_whole_grid_equals_the_integer_reference_to_the_last_bit_in_one_trace(model, activation):
    built = classifier(model, activation)
    emulated = fixed_point_model(built, GRID[0])
    for point in GRID:
        emulated.set(point)
        told = emulated.probabilities(rows_of(built))
        assert told.tobytes() == probabilities(built, point, rows_of(built)).tobytes(), point
    assert emulated.traces == 1


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_bias_in_a_format_of_its_own_equals_the_integer_reference_to_the_last_bit(model):
    built = classifier(model)
    emulated = fixed_point_model(built, GRID[0])
    for bias in ((8, 3), (3, 1), (16, 12)):
        point = FixedPoint(8, 4, 4, 2, *bias)
        emulated.set(point)
        told = emulated.probabilities(rows_of(built))
        assert told.tobytes() == probabilities(built, point, rows_of(built)).tobytes(), point
        as_weights = probabilities(built, FixedPoint(8, 4, 4, 2), rows_of(built))
        assert (told != as_weights).any(), point
    assert emulated.traces == 1


@pytest.mark.parametrize("fraction", ["data_fraction", "weight_fraction"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_fraction_that_is_off_by_one_does_not_equal_the_integer_reference(model, fraction):
    built = classifier(model)
    emulated = fixed_point_model(built, GRID[0])
    for point in GRID:
        emulated.set(dataclasses.replace(point, **{fraction: getattr(point, fraction) - 1}))
        told = emulated.probabilities(rows_of(built))
        assert (told != probabilities(built, point, rows_of(built))).any(), point


def test_layers_have_widths_of_their_own():
    built = classifier("cnn")
    emulated = fixed_point_model(built, GRID[0])
    emulated.set_layers({"convolution_2": GRID[15], "logits": GRID[5]})
    its = dict.fromkeys(emulated.layers, GRID[0])
    its |= {"convolution_2": GRID[15], "logits": GRID[5]}
    told = emulated.probabilities(rows_of(built))
    assert told.tobytes() == probabilities(built, its, rows_of(built)).tobytes()


def test_padding_strides_dilation_and_groups_are_those_of_the_layer():
    built = small(
        layers.Conv2D(8, 3, strides=2, padding="same"),
        layers.Conv2D(8, 3, padding="same", dilation_rate=2, groups=2, use_bias=False),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu"),
        layers.Reshape((36, 16)),
        layers.Conv1D(4, 5, strides=3),
        layers.DepthwiseConv1D(4),
        layers.Reshape((4, 2, 2, 2)),
        layers.Conv3D(2, 2, padding="same"),
        rows=(12, 12, 2),
    )
    rows = np.random.default_rng(0).normal(size=(5, 12, 12, 2)).astype(np.float32)
    emulated = fixed_point_model(built, FixedPoint(23, 16, 23, 18))
    assert len(emulated.layers) == 7
    assert emulated.uncovered == ()
    np.testing.assert_allclose(emulated.probabilities(rows), np.asarray(built(rows)), atol=1e-4)


def test_batch_statistics_and_other_kinds_of_layers_stay_floating_point_and_are_named():
    built = small(
        layers.Conv2D(4, 3, name="covered"),
        layers.BatchNormalization(name="statistics"),
        layers.Reshape((16, 4)),
        layers.LSTM(5, name="recurrent"),
        rows=(6, 6, 1),
    )
    random_weights = np.random.default_rng(0)
    built.get_layer("statistics").set_weights([random_weights.uniform(0.5, 2, 4) for _ in "4444"])
    emulated = fixed_point_model(built, FixedPoint(22, 16, 22, 16))
    assert emulated.uncovered == ("statistics", "recurrent")
    assert emulated.layers == {"covered": 36, "last": 15}
    rows = random_weights.normal(size=(5, 6, 6, 1)).astype(np.float32)
    np.testing.assert_allclose(emulated.probabilities(rows), np.asarray(built(rows)), atol=1e-3)


def test_models_inside_of_the_model_are_covered_too():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="relu", name="inner")])
    built = small(inner)
    emulated = fixed_point_model(built, FixedPoint(8, 6, 4, 2))
    assert emulated.layers == {"inner": 30, "last": 15}
    flat = small(layers.Dense(5, activation="relu", name="inner"))
    flat.set_weights(built.get_weights())
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    expected = probabilities(flat, FixedPoint(8, 6, 4, 2), rows)
    assert emulated.probabilities(rows).tobytes() == expected.tobytes()


def test_average_bitwidth_and_memory_density_of_a_mixed_model_are_those_computed_by_hand():
    built = small(
        layers.Conv2D(4, 3, name="convolution"),  # 3 * 3 * 2 * 4 = 72 weights
        layers.Conv2DTranspose(2, 3, name="floating"),  # 3 * 3 * 4 * 2 = 72 weights
        layers.BatchNormalization(name="statistics"),
        rows=(4, 4, 2),
    )  # last: 4 * 4 * 2 * 3 = 96 weights
    emulated = fixed_point_model(built, FixedPoint(8, 4, 8, 4))
    emulated.set_layers({"last": FixedPoint(8, 4, 4, 2)})
    assert emulated.layers == {"convolution": 72, "last": 96}
    assert emulated.uncovered == ("floating", "statistics")
    assert emulated.average_bitwidth == (72 * 8 + 72 * 32 + 96 * 4) / (72 + 72 + 96)
    assert emulated.memory_density == 32 / emulated.average_bitwidth


def test_layers_inside_of_wrappers_and_attention_count_as_floating_point():
    rows = keras.Input((5, 6))
    values = layers.TimeDistributed(layers.Dense(4), name="steps")(rows)  # 6 * 4 = 24 weights
    # Four kernels of 4 * 2 * 3 = 24 weights.
    values = layers.MultiHeadAttention(2, 3, name="attention")(values, values)
    told = layers.Dense(3, name="last")(layers.Flatten()(values))  # 5 * 4 * 3 = 60 weights
    emulated = fixed_point_model(keras.Model(rows, told), FixedPoint(8, 4, 8, 4))
    assert emulated.uncovered == ("steps", "attention")
    assert emulated.average_bitwidth == ((24 + 4 * 24) * 32 + 60 * 8) / (24 + 4 * 24 + 60)


def test_a_model_without_dense_and_convolution_layers_has_no_average_bitwidth():
    rows = keras.Input((4,))
    emulated = fixed_point_model(keras.Model(rows, layers.Softmax()(rows)), GRID[0])
    assert emulated.average_bitwidth is None
    assert emulated.memory_density is None


def test_widths_whose_sums_need_not_be_exact_are_refused_and_nothing_is_set():
    built = small(layers.Dense(129, name="wide"))
    exact, inexact = FixedPoint(24, 12, 22, 12), FixedPoint(24, 12, 24, 12)
    emulated = fixed_point_model(built, exact)
    before = emulated.probabilities(ROWS[:5, :6])
    # 128 times 2^46 would just fit: without a bias.
    complaint = r"fixed:24.12/24.12: in layer last sums of 129 products .* 53 bits"
    with pytest.raises(ValueError, match=complaint):
        emulated.set_layers({"wide": inexact, "last": inexact})
    with pytest.raises(ValueError, match=complaint):
        fixed_point_model(built, inexact)
    assert emulated.probabilities(ROWS[:5, :6]).tobytes() == before.tobytes()


def test_a_bias_too_fine_for_the_sums_of_products_is_refused():
    emulated = fixed_point_model(small(), FixedPoint(16, 8, 16, 8, 16, 24))
    with pytest.raises(ValueError, match=r"fixed:16.0/16.0/16.24: in layer last sums of 6 prod"):
        emulated.set(FixedPoint(16, 0, 16, 0, 16, 24))


def test_a_layer_that_is_not_there_is_refused():
    emulated = fixed_point_model(classifier("mlp"), GRID[0])
    complaint = r"layer hidden_7: not one that can be covered \(hidden_1, probabilities\)"
    with pytest.raises(ValueError, match=complaint):
        emulated.set_layers({"hidden_7": GRID[1]})


def test_another_precision_than_float32_is_refused():
    built = small(layers.Dense(4, dtype="mixed_float16", name="half"))
    with pytest.raises(ValueError, match="layer half: has precision mixed_float16"):
        fixed_point_model(built, GRID[0])


def test_the_classifier_stays_as_it_is_and_its_later_weights_do_not_matter():
    built = classifier("mlp")
    weights, before = built.get_weights(), np.asarray(built(rows_of(built)))
    emulated = fixed_point_model(built, GRID[15])
    told = emulated.probabilities(rows_of(built))
    assert all(map(np.array_equal, built.get_weights(), weights))
    np.testing.assert_array_equal(np.asarray(built(rows_of(built))), before)
    built.set_weights([weight * 2 for weight in weights])
    assert emulated.probabilities(rows_of(built)).tobytes() == told.tobytes()
