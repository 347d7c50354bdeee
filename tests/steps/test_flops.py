import keras
import pytest

from steps.configuration import ACTIVATIONS, Configuration
from steps.flops import flops, layer_of
from steps.preprocess import preprocess
from steps.train.model import build_classifier

layers = keras.layers
DIGITS = preprocess(Configuration())


def chain(shape, *parts, name="classifier"):
    rows = keras.Input(shape)
    told = rows
    for part in parts:
        told = part(told)
    return keras.Model(rows, told, name=name)


@pytest.mark.parametrize("hidden", ["256", "512,256", "128,128,128"])
def test_of_an_mlp_they_are_two_for_each_weight_and_little_more(hidden):
    classifier = build_classifier(Configuration(hidden=hidden), DIGITS)
    weights = sum(w.shape[0] * w.shape[1] for w in classifier.weights if len(w.shape) == 2)
    counted = flops(classifier)
    assert counted.count == pytest.approx(2 * weights, rel=0.01)
    assert counted.count > 2 * weights
    assert counted.is_complete


def test_of_a_convolution_they_are_two_for_each_weight_and_place():
    model = chain((8, 8, 3), layers.Conv2D(5, 3, padding="same", use_bias=False))
    assert flops(model).count == 2 * (8 * 8) * (3 * 3 * 3 * 5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_models_of_this_project_are_counted_completely_whatever_their_activation(activation):
    classifier = build_classifier(Configuration(model="cnn", activation=activation), DIGITS)
    assert flops(classifier).uncounted == ()


def test_enlarging_an_image_is_named_as_not_counted_and_all_else_counts():
    classifier = build_classifier(Configuration(model="mobilenet_v3_small"), DIGITS)
    assert flops(classifier).uncounted == ("enlarged",)


def test_layers_that_keras_named_and_counted_itself_are_told_apart():
    memories = [layers.LSTM(3, return_sequences=True) for _ in range(3)]
    names = tuple(memory.name for memory in memories)
    assert flops(chain((4, 3), *memories)).uncounted == names
    assert flops(chain((4, 3), layers.Dense(3), *memories[1:])).uncounted == names[1:]


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_a_loop_is_named_as_not_counted_and_the_rest_still_counts(kind):
    rows = (layers.Reshape((8, 8)), kind(6, name="memory"), layers.Dense(10, name="told"))
    counted = flops(chain((64,), *rows))
    assert counted.uncounted == ("memory",)
    assert not counted.is_complete
    assert counted.count == 2 * 6 * 10 + 10


def test_a_layer_of_a_model_inside_is_named_by_its_own_name():
    inner = chain((4, 3), layers.LSTM(5, name="memory"), name="inner")
    assert flops(chain((4, 3), inner, layers.Dense(2))).uncounted == ("memory",)


def test_products_of_activations_are_named_as_not_counted():
    rows = keras.Input((6, 8))
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    assert flops(keras.Model(rows, attention(rows, rows))).uncounted == ("attention",)


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("classifier_1/hidden_1/MatMul", "hidden"),
        ("classifier_1/hidden_1_1/MatMul", "hidden_1"),
        ("classifier_1/hidden_1_12/MatMul", "hidden_1"),
        ("classifier_1/inner_1/memory/while", "memory"),
        ("classifier_1/hid/MatMul", "classifier_1/hid/MatMul"),
    ],
)
def test_the_count_behind_a_name_in_a_graph_is_no_part_of_the_name(path, layer):
    assert layer_of(path, ["hidden", "hidden_1", "memory"]) == layer
