import keras
import numpy as np
import pytest

from steps.flops import leaf_layers
from steps.quantization_modes import FixedPoint
from steps.quantize.convert import converted, quantized
from steps.quantize.weights import StoredWeights, fixed_bit_operations, stored_weights

layers = keras.layers

WIDTHS = {"float32": 32, "dynamic": 8, "float16": 16, "int8": 8, "int16x8": 8, "int4": 4}

# Shape (8, 8, 2); 3 filters of 3x3 on 8x8 places, one filter of 3x3 for each channel on 6x6, and
# 4 numbers of each of 108: weights, multiply-adds.
CONVOLUTION = 3 * 3 * 2 * 3, 8 * 8 * 3 * 3 * 2 * 3
DEPTHWISE = 3 * 3 * 3, 6 * 6 * 3 * 3 * 3
DENSE = 108 * 4, 108 * 4


@pytest.fixture(scope="module")
def mixed() -> keras.Model:
    """Of which LiteRT can store two layers in four bits, and one not."""
    rows = keras.Input((8, 8, 2))
    told = layers.Conv2D(3, 3, padding="same", activation="relu", name="convolution")(rows)
    told = layers.DepthwiseConv2D(3, name="depthwise")(told)
    told = layers.BatchNormalization(name="statistics")(told)
    told = layers.Dense(4, activation="softmax", name="dense")(layers.Flatten(name="flat")(told))
    model = keras.Model(rows, told, name="classifier")
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def stored(mixed) -> dict[str, StoredWeights]:
    float32 = converted(mixed)
    rows = np.random.default_rng(1).normal(size=(60, 8, 8, 2)).astype(np.float32)
    names = [layer.name for layer in leaf_layers(mixed) if layer.name != "statistics"]
    contents = {
        mode: float32 if mode == "float32" else quantized(float32, mode, rows) for mode in WIDTHS
    }
    return {mode: stored_weights(content, names) for mode, content in contents.items()}


@pytest.mark.parametrize("mode", sorted(set(WIDTHS) - {"int4"}))
def test_all_weights_are_stored_as_wide_as_the_mode_says(stored, mode):
    told = stored[mode]
    assert told.average_bitwidth == WIDTHS[mode]
    assert [product.stored_bits for product in told.products] == [WIDTHS[mode]] * 3
    assert told.uncovered == (
        tuple(each.layer for each in told.products) if mode == "float32" else ()
    )


def test_layers_weights_and_multiply_adds_are_those_that_were_counted_by_hand(stored):
    for told in stored.values():
        counted = [(each.layer, each.weights, each.multiply_adds) for each in told.products]
        assert counted == [
            ("convolution", *CONVOLUTION),
            ("depthwise", *DEPTHWISE),
            ("dense", *DENSE),
        ]


def test_the_average_width_of_a_mixed_file_is_weighted_by_the_number_of_weights(stored):
    bits = 4 * CONVOLUTION[0] + 32 * DEPTHWISE[0] + 4 * DENSE[0]
    assert stored["int4"].average_bitwidth == bits / (54 + 27 + 432) == 2808 / 513
    assert stored["int4"].uncovered == ("depthwise",)


@pytest.mark.parametrize(
    ("mode", "data_bits", "weight_bits"),
    [
        ("float32", 32, 32),
        ("float16", 32, 32),
        ("dynamic", 8, 8),
        ("int8", 8, 8),
        ("int16x8", 16, 8),
    ],
)
def test_bit_operations_are_of_the_widths_that_are_multiplied(stored, mode, data_bits, weight_bits):
    multiply_adds = CONVOLUTION[1] + DEPTHWISE[1] + DENSE[1]
    assert stored[mode].bit_operations == multiply_adds * data_bits * weight_bits


def test_bit_operations_of_a_mixed_file_count_each_layer_by_its_own_widths(stored):
    by_hand = (CONVOLUTION[1] + DENSE[1]) * 8 * 4 + DEPTHWISE[1] * 32 * 32
    assert stored["int4"].bit_operations == by_hand


def test_bit_operations_in_fixed_point_are_of_the_layers_that_are_covered(stored):
    products, widths = stored["float32"].products, FixedPoint(8, 4, 6, 2)
    by_hand = (CONVOLUTION[1] + DENSE[1]) * 8 * 6 + DEPTHWISE[1] * 32 * 32
    covered, uncovered = {"convolution", "dense"}, {"depthwise"}
    assert fixed_bit_operations(products, covered, uncovered, widths) == by_hand


def test_bit_operations_in_fixed_point_are_not_known_where_a_product_is_of_no_known_layer(stored):
    products, widths = stored["float32"].products, FixedPoint(8, 4, 6, 2)
    assert fixed_bit_operations(products, {"convolution", "dense"}, (), widths) is None


def test_the_size_is_that_of_weights_and_biases_and_of_nothing_else(stored):
    # Batch statistics are multiplied into the convolution before them.
    weights, biases = 54 + 27 + 432, 3 + 3 + 4
    assert stored["float32"].size_bytes == 4 * (weights + biases)
    assert stored["float16"].size_bytes == 2 * weights + 4 * biases
    assert stored["int8"].size_bytes == weights + 4 * biases
    assert stored["int16x8"].size_bytes == weights + 8 * biases
    assert stored["int4"].size_bytes == (54 + 432) // 2 + 4 * 27 + 4 * biases


@pytest.mark.parametrize("mode", ["float32", "float16", "int8", "int4"])
def test_a_large_file_keeps_its_weights_elsewhere_and_they_are_found(mode):
    rows = keras.Input((300,), name="rows")
    told = layers.Dense(400, use_bias=False, name="wide")(rows)
    told = layers.Dense(10, use_bias=False, name="narrow")(told)
    content = converted(keras.Model(rows, told, name="classifier"))
    if mode != "float32":
        content = quantized(content, mode, np.zeros((2, 300), np.float32))
    told = stored_weights(content, ["wide", "narrow"])
    assert told.average_bitwidth == WIDTHS[mode]
    assert told.size_bytes == (300 * 400 + 400 * 10) * WIDTHS[mode] // 8


def test_weights_that_two_layers_share_are_stored_and_counted_once():
    rows = keras.Input((20,), name="rows")
    shared = layers.Dense(20, use_bias=False, name="shared")
    content = converted(keras.Model(rows, shared(layers.ReLU()(shared(rows))), name="classifier"))
    told = stored_weights(content, ["shared"])
    assert told.size_bytes == 4 * 20 * 20
    assert sum(product.weights for product in told.products) == 20 * 20
    assert sum(product.multiply_adds for product in told.products) == 2 * 20 * 20


def test_a_model_without_products_has_no_width():
    rows = keras.Input((20,), name="rows")
    told = stored_weights(converted(keras.Model(rows, layers.Softmax()(rows))), [])
    assert told.average_bitwidth is None
    assert told.bit_operations == 0
