"""`--model file:PATH.py:FUNCTION`: the user's own model, and each way in which it can be wrong."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from test_model import DATA, IMAGES, scaler_of
from work import same_state

from steps.configuration import Configuration
from steps.errors import InputError
from steps.train.fit import fit_in_graph
from steps.train.model import build_classifier, with_scaler

GOOD = """
import keras
from dataclasses import dataclass

@dataclass
class Sizes:
    width: "int" = 6

def build(input_shape, classes):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Conv2D(Sizes().width, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(classes, "softmax"),
    ])

def build_compiled(input_shape, classes):
    model = build(input_shape, classes)
    model.compile("sgd", "categorical_crossentropy")
    return model

def build_functional(input_shape, classes):
    image = keras.Input(input_shape)
    flat = keras.ops.reshape(image, (-1, 64)) / 2 + keras.ops.sum(image, axis=(1, 2))
    return keras.Model(image, keras.layers.Dense(classes, "softmax")(flat))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.py"


def classifier_of(path: Path, code: str, function: str = "build", seed: int = 0) -> keras.Model:
    path.write_text(code)
    configuration = Configuration(model=f"file:{path}:{function}", seed=seed)
    return build_classifier(configuration, IMAGES)


@pytest.mark.parametrize("function", ["build", "build_compiled", "build_functional"])
def test_a_model_of_the_users_own_trains_in_the_graph(path, function):
    model = classifier_of(path, GOOD, function)
    before = model.get_weights()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    report = fit_in_graph(model, DATA[0], validation_data=DATA[1], jit_compile="off")
    assert report.engine == "graph" and report.graph_key is not None
    assert set(report.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert not same_state(model.get_weights(), before)


def test_its_weights_follow_from_the_seed(path):
    weights = classifier_of(path, GOOD).get_weights()
    assert same_state(classifier_of(path, GOOD).get_weights(), weights)
    assert not same_state(classifier_of(path, GOOD, seed=1).get_weights(), weights)


def test_the_saved_model_needs_keras_alone(path, tmp_path):
    trained = classifier_of(path, GOOD)
    model = with_scaler(trained, scaler_of(IMAGES), IMAGES)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "rows.npy", IMAGES.features)
    path.unlink()
    code = (
        "import keras, numpy; model = keras.saving.load_model('model.keras', safe_mode=True);"
        "numpy.save('told.npy', model.predict(numpy.load('rows.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    told = model.predict(IMAGES.features, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "told.npy"), told, rtol=1e-5)


def keras_code(body: str, before: str = "") -> str:
    return (
        f"import keras\nlayers = keras.layers\n{before}\ndef build(input_shape, classes):\n{body}"
    )


LAYER_OF_HIS_OWN = """
@keras.saving.register_keras_serializable()
class Mine(layers.Layer):
    def call(self, x):
        return 2 * x
"""
MODEL_OF_HIS_OWN = """
class Mine(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.last = layers.Dense(classes, "softmax")
    def call(self, x):
        return self.last(layers.Flatten()(x))
"""
LAST = "layers.Flatten(), layers.Dense(classes, 'softmax')"
WRONG = {
    "syntax": ("def build(:", "cannot be imported: SyntaxError: invalid syntax"),
    "import": ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named"),
    "script": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "no function": ("import keras", "has no function build"),
    "no function but a number": ("build = 3", "has no function build"),
    "other arguments": (
        "def build(shape): ...",
        "build raised TypeError: build() takes 1 positional argument but 2 were given",
    ),
    "raises": (
        keras_code("    raise ValueError('too\\nsmall')"),
        "build raised ValueError: too small",
    ),
    "no model": (keras_code("    return 5"), "build must give a keras.Model, not int"),
    "rows of another shape": (
        keras_code(f"    return keras.Sequential([keras.Input((5, 5, 1)), {LAST}])"),
        "its model does not take rows of shape (batch, 8, 8, 1): ValueError: Input 0",
    ),
    "other outputs": (
        keras_code("    return keras.Sequential([layers.Flatten(), layers.Dense(1, 'sigmoid')])"),
        "its model gives (batch, 1) and must give (batch, 3), a probability per class",
    ),
    "images out": (
        keras_code("    return keras.Sequential([layers.Dense(classes, 'softmax')])"),
        "its model gives (batch, 8, 8, 3) and must give (batch, 3)",
    ),
    "logits": (
        keras_code("    return keras.Sequential([layers.Flatten(), layers.Dense(classes)])"),
        "its model must end in probabilities, 0 to 1 and adding to 1: a softmax",
    ),
    "two outputs": (
        keras_code(
            "    x = keras.Input(input_shape)\n    y = layers.Dense(classes)(layers.Flatten()(x))\n"
            "    return keras.Model(x, [y, y])"
        ),
        "its model gives several outputs and must give (batch, 3)",
    ),
    "lambda layer": (
        keras_code(f"    return keras.Sequential([layers.Lambda(lambda x: 2 * x), {LAST}])"),
        "could not be loaded where this file is not; take Keras' own layers: ValueError: Requested",
    ),
    "layer of his own": (
        keras_code(f"    return keras.Sequential([Mine(), {LAST}])", LAYER_OF_HIS_OWN),
        "take Keras' own layers: Could not locate class 'Mine'.",
    ),
    "model of his own": (
        keras_code("    return Mine(classes)", MODEL_OF_HIS_OWN),
        "take Keras' own layers: ",
    ),
    "activation of his own": (
        keras_code(
            f"    return keras.Sequential([layers.Dense(2, activation=mine), {LAST}])",
            "def mine(x): return 2 * x",
        ),
        "take Keras' own layers: Could not locate function 'mine'.",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_trained_and_kept_is_refused_in_one_line_each_time(wrong, path):
    code, told = WRONG[wrong]
    for _ in range(2):  # what the first time leaves behind must not let it pass the second time
        with pytest.raises(InputError) as refused:
            classifier_of(path, code)
        message = str(refused.value)
        assert message.startswith(f"--model file:{path}:build: ") and told in message
        assert len(message) < len(str(path)) * 2 + 250


def test_a_file_that_is_not_there_or_no_python_is_refused(tmp_path):
    for name, told in (("none.py", "there is no file"), ("model.txt", "must end in .py")):
        (tmp_path / "model.txt").write_text(GOOD)
        with pytest.raises(InputError, match=told):
            build_classifier(Configuration(model=f"file:{tmp_path / name}:build"), IMAGES)
