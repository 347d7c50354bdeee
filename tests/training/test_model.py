"""From hyperparameters and the shape of the rows to a model that is trained, kept and loaded."""

import dataclasses
import random

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from work import keras_fit, layers, same_state, state

from steps.configuration import MODELS, PREPROCESSINGS, Configuration
from steps.errors import InputError
from steps.preprocess import Column, Dataset
from steps.scaling import Scaler, learn_scaler
from steps.train.fit import FitReport, fit_in_graph
from steps.train.model import CLASSIFIER, build_classifier, with_scaler
from steps.train.precision import precision

OF_IMAGES = [name for name in MODELS if name != "mlp"]
OURS = ["mlp", "cnn", "resnet18"]
OF_KERAS = ["resnet50", "mobilenet_v3_small"]


def dataset_of(
    *row_shape: int, classes: int = 3, rows: int = 24, dtype: str = "float32"
) -> Dataset:
    """Random rows: a table, or images with or without an axis of channels; uint8 or floats."""
    generator = np.random.default_rng(0)
    is_table = len(row_shape) == 1
    return Dataset(
        source="csv:some.csv" if is_table else "npz:some.npz",
        features=(generator.uniform(0, 255, (rows, *row_shape))).astype(dtype),
        labels=np.arange(rows) % classes,
        class_names=tuple(map(str, range(classes))),
        columns=tuple(Column(f"c{i}") for i in range(row_shape[0])) if is_table else (),
        image_shape=None if is_table else (*row_shape, 1)[:3],
    )


TABLE = dataset_of(5)
IMAGES = dataset_of(8, 8, 1)
DIGITS = dataclasses.replace(dataset_of(64), image_shape=(8, 8, 1))
"""A table whose rows are images."""


def small(model: str = "mlp", **others: object) -> Configuration:
    options = {"hidden": "6", "activation": "relu"} if model in ("mlp", "cnn") else {}
    return Configuration(model=model, **{**options, **others})


def classifier(model: str = "mlp", dataset: Dataset = IMAGES, **others: object) -> keras.Model:
    return build_classifier(small(model, **others), dataset)


# Weights and layers


@pytest.mark.parametrize("model", MODELS)
def test_weights_follow_from_the_seed_whatever_was_built_and_drawn_before(model):
    keras.utils.set_random_seed(1)
    first = classifier(model, seed=3).get_weights()
    keras.utils.set_random_seed(2)
    classifier("cnn")
    assert same_state(classifier(model, seed=3).get_weights(), first)
    assert not same_state(classifier(model, seed=4).get_weights(), first)


def test_the_mlp_of_a_table_has_the_weights_that_it_had_in_the_first_version():
    random.seed(5)
    first_version = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(7, "tanh"),
            layers.Dense(4, "tanh"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model = classifier("mlp", TABLE, hidden="7,4", activation="tanh", seed=5)
    assert same_state(model.get_weights(), first_version.get_weights())
    np.testing.assert_array_equal(model(TABLE.features), first_version(TABLE.features))


@pytest.mark.parametrize("model", OURS)
def test_names_of_layers_are_the_same_each_time(model):
    assert classifier(model).get_config() == classifier(model).get_config()


def test_hidden_layers_have_the_widths_activation_and_dropout_that_were_asked_for():
    model = classifier("cnn", hidden="7,5", activation="tanh", dropout=0.25)
    assert [layer.units for layer in model.layers if isinstance(layer, layers.Dense)] == [7, 5, 3]
    activated = ("convolution_1", "convolution_2", "hidden_1", "hidden_2")
    assert {model.get_layer(name).activation.__name__ for name in activated} == {"tanh"}
    names = [layer.name for layer in model.layers]
    after = [names[names.index(f"dropout_{place}") - 1] for place in (1, 2)]
    assert after == ["hidden_1", "hidden_2"]
    assert {model.get_layer(f"dropout_{place}").rate for place in (1, 2)} == {0.25}


def test_resnet18_has_the_size_and_the_first_weights_that_are_published():
    model = classifier("resnet18", dataset_of(32, 32, 3, classes=10, rows=10))
    trained = sum(weight.numpy().size for weight in model.trainable_weights)
    assert trained == 11_173_962  # https://github.com/kuangliu/pytorch-cifar
    kernel = model.get_layer("stage_4_block_2_second_convolution").kernel.numpy()
    assert kernel.std() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("model", MODELS)
def test_scaled_rows_are_not_scaled_again(model):
    assert not any(isinstance(layer, layers.Rescaling) for layer in classifier(model).layers)


@pytest.mark.parametrize("model", ["resnet18", *OF_KERAS])
def test_batch_statistics_follow_within_an_epoch_or_validation_would_stay_at_chance(model):
    normalizations = [
        layer for layer in classifier(model).layers if isinstance(layer, layers.BatchNormalization)
    ]
    assert len(normalizations) > 15
    assert {layer.momentum for layer in normalizations} == {0.9}


# Rows


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 40, 3), (28, 28)])
def test_images_from_8_by_8_of_any_channels_become_a_probability_per_class(model, shape):
    dataset = dataset_of(*shape, classes=4, rows=4)
    scaled = learn_scaler("standardization", dataset.features).transform(dataset.features)
    told = classifier(model, dataset)(scaled.reshape(-1, *dataset.scaled_shape))
    assert told.shape == (4, 4)
    np.testing.assert_allclose(np.sum(told, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_table_of_images_is_taken_as_it_lies(model):
    assert classifier(model, DIGITS).input_shape == (None, 64)
    if model != "mlp":
        pixels = np.array(classifier(model, DIGITS)(DIGITS.features))
        images = DIGITS.features.reshape(-1, 8, 8, 1)
        np.testing.assert_array_equal(classifier(model, IMAGES)(images), pixels)


@pytest.mark.parametrize("model", OF_IMAGES)
def test_a_model_of_images_refuses_a_table(model):
    with pytest.raises(InputError) as refused:
        classifier(model, TABLE)
    told = f"--model {model}: needs images; csv:some.csv is a table of 5 columns"
    assert str(refused.value) == told


@pytest.mark.parametrize("model", OF_IMAGES)
def test_a_model_of_images_refuses_those_that_it_could_not_halve(model):
    with pytest.raises(InputError) as refused:
        classifier(model, dataset_of(20, 7, 3))
    told = "needs images of 8x8 pixels or more; npz:some.npz has 20x7"
    assert str(refused.value) == f"--model {model}: {told}"


# The whole


def a_table_with_gaps() -> Dataset:
    features = dataset_of(5).features.astype(np.float64)
    features[::3, 1] = features[1::4, 4] = np.nan
    return dataclasses.replace(TABLE, features=features)


DATASETS = {
    "table": TABLE,
    "table with missing cells": a_table_with_gaps(),
    "table of images": DIGITS,
    "bytes without channels": dataset_of(9, 8, dtype="uint8"),
    "bytes in colour": dataset_of(8, 8, 3, dtype="uint8"),
    "floats without channels": dataset_of(8, 9),
    "floats in colour": dataset_of(8, 8, 3),
}


OF_TABLES = classifier("mlp", TABLE)


def scaler_of(dataset: Dataset, preprocessing: str = "standardization") -> Scaler:
    return learn_scaler(preprocessing, dataset.features.reshape(-1, *dataset.scaled_shape))


def raw_rows(dataset: Dataset) -> np.ndarray:
    return dataset.features.astype(np.float32) if dataset.is_table else dataset.features


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("preprocessing", ["none", "robust_scaling"])
def test_the_saved_and_loaded_model_takes_raw_rows_and_tells_what_the_classifier_does(
    name, preprocessing, tmp_path
):
    dataset = DATASETS[name]
    scaler = scaler_of(dataset, preprocessing)
    trained = classifier("cnn" if dataset.image_shape else "mlp", dataset)
    with_scaler(trained, scaler, dataset).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    scaled = scaler.transform(dataset.features.reshape(-1, *dataset.scaled_shape))
    np.testing.assert_array_equal(loaded(raw_rows(dataset)), trained(scaled))
    told = loaded.predict(raw_rows(dataset), verbose=0)
    np.testing.assert_array_equal(told, trained.predict(scaled, verbose=0))
    assert same_state(loaded.get_layer(CLASSIFIER).get_weights(), trained.get_weights())


def test_what_is_kept_of_a_trained_model_is_its_layers_not_the_state_of_its_optimizer(tmp_path):
    trained = classifier(dataset=TABLE)
    trained.compile("adam", "sparse_categorical_crossentropy")
    trained.fit(TABLE.features, TABLE.labels, verbose=0)
    with_scaler(trained, scaler_of(TABLE), TABLE).save_weights(tmp_path / "kept.weights.h5")
    with h5py.File(tmp_path / "kept.weights.h5") as file:
        sizes = [part.size for _, part in walked(file) if isinstance(part, h5py.Dataset)]
    assert sum(sizes) == trained.count_params()


def walked(file: h5py.File) -> list[tuple[str, h5py.Group | h5py.Dataset]]:
    found: list[tuple[str, h5py.Group | h5py.Dataset]] = []
    file.visititems(lambda name, part: found.append((name, part)))
    return found


CELLS = st.floats(-1e6, 1e6, width=32) | st.just(np.nan)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (6, 5), elements=CELLS), st.sampled_from(PREPROCESSINGS))
def test_any_table_is_filled_and_scaled_in_the_model_as_in_training(features, preprocessing):
    assume(not np.isnan(features).all(axis=0).any())
    scaler = learn_scaler(preprocessing, features)
    model = with_scaler(OF_TABLES, scaler, dataclasses.replace(TABLE, features=features))
    np.testing.assert_array_equal(
        model(features.astype(np.float32)), OF_TABLES(scaler.transform(features))
    )


@pytest.mark.parametrize(
    ("name", "input_name", "dtype"),
    [
        ("table", "features", "float32"),
        ("bytes in colour", "image", "uint8"),
        ("floats in colour", "image", "float32"),
    ],
)
def test_the_input_has_the_shape_and_kind_of_a_raw_row(name, input_name, dtype):
    dataset = DATASETS[name]
    (raw,) = with_scaler(classifier(dataset=dataset), scaler_of(dataset), dataset).inputs
    assert (raw.name, raw.dtype, raw.shape[1:]) == (input_name, dtype, dataset.row_shape)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("name", ["table", "bytes without channels", "floats without channels"])
def test_rows_are_scaled_in_float32_whatever_the_precision_of_the_classifier(policy, name):
    dataset = DATASETS[name]
    if dataset.features.dtype != np.uint8:
        # Beyond the largest number of 16 bits, and with differences that 16 bits would round off.
        dataset = dataclasses.replace(dataset, features=dataset.features + 1e5)
    scaler = scaler_of(dataset)
    with precision(policy):
        trained = classifier("mlp", dataset)
        model = with_scaler(trained, scaler, dataset)
    scaled = scaler.transform(dataset.features.reshape(-1, *dataset.scaled_shape))
    np.testing.assert_array_equal(model(raw_rows(dataset)), trained(scaled))
    assert np.ptp(np.array(model(raw_rows(dataset)), np.float64), axis=0).min() > 0


@pytest.mark.parametrize("model", OF_IMAGES)
def test_probabilities_are_float32_in_mixed_precision(model):
    with precision("mixed_float16"):
        built = classifier(model)
    assert built.output.dtype == "float32"
    assert {layer.compute_dtype for layer in built.layers[1:-1]} == {"float16"}


# Training and conversion


def compiled(model: str, lr: float = 0.01, seed: int = 0) -> keras.Model:
    built = classifier(model, seed=seed)
    built.compile(
        keras.optimizers.Adam(lr), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return built


SCALED = scaler_of(IMAGES).transform(IMAGES.features)
DATA = (SCALED[:20], IMAGES.labels[:20]), (SCALED[20:], IMAGES.labels[20:])


def graph_fit(model: keras.Model, epochs: int) -> FitReport:
    return fit_in_graph(
        model, DATA[0], validation_data=DATA[1], batch_size=16, epochs=epochs, jit_compile="off"
    )


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_two_epochs_in_the_graph_are_those_of_model_fit_to_the_last_bit_and_the_graph_is_shared(
    model,
):
    in_graph, by_keras = compiled(model), compiled(model)
    report = graph_fit(in_graph, 2)
    keras_fit(by_keras, DATA, range(2))
    assert same_state(state(in_graph), state(by_keras))
    assert report.engine == "graph"
    assert graph_fit(compiled(model, lr=0.003, seed=8), 1).graph_reused


@pytest.mark.parametrize("model", OF_KERAS)
def test_models_of_keras_train_in_the_graph_and_share_it(model):
    def fit(trained):
        rows = SCALED[:4], IMAGES.labels[:4]
        return fit_in_graph(trained, rows, batch_size=4, jit_compile="off")

    trained = compiled(model)
    before = trained.get_weights()
    report = fit(trained)
    assert report.engine == "graph"
    assert fit(compiled(model, lr=0.003, seed=8)).graph_reused
    assert np.isfinite(report.batch_losses).all()
    assert not any(map(np.array_equal, before, trained.get_weights()))


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_litert_takes_the_classifier(model, tmp_path):
    trained = classifier(model)
    trained.export(tmp_path, verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], SCALED[:1])
    interpreter.invoke()
    told = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(told, trained(SCALED[:1]), atol=1e-5)
