import keras
import numpy as np
import pytest

from steps.quantize.convert import LONGEST_REASON, converted, quantized
from steps.quantize.litert import ROWS_AT_ONCE, LiteRTModel

layers = keras.layers

ROWS = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
MODES = ("dynamic", "float16", "int8", "int16x8", "int4")


def classifier(activation: str) -> keras.Model:
    rows = keras.Input((12,))
    hidden = layers.Dense(40, activation, name="hidden")(rows)
    told = layers.Dense(3, "softmax", name="told")(hidden)
    model = keras.Model(rows, told, name="classifier")
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return classifier("relu")


@pytest.fixture(scope="module")
def float32(model) -> bytes:
    return converted(model)


def test_the_float32_file_tells_what_the_model_tells(model, float32):
    told = LiteRTModel(float32).probabilities(ROWS)
    np.testing.assert_allclose(told, model(ROWS).numpy(), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_takes_any_number_of_float_rows_and_tells_each_the_same(float32, mode):
    file = LiteRTModel(quantized(float32, mode, ROWS))
    every = file.probabilities(ROWS)
    assert len(ROWS) > ROWS_AT_ONCE
    assert every.shape == (300, 3)
    assert every.dtype == np.float32
    one_by_one = np.concatenate([file.probabilities(ROWS[i : i + 1]) for i in range(0, 300, 23)])
    np.testing.assert_allclose(every[::23], one_by_one, atol=1e-6)


@pytest.fixture(scope="module", params=["relu", "elu", "gelu"])
def activated(request) -> bytes:
    return converted(classifier(request.param))


@pytest.mark.parametrize("mode", MODES)
def test_a_smaller_file_tells_about_what_the_float32_one_tells(activated, mode):
    told = LiteRTModel(quantized(activated, mode, ROWS)).probabilities(ROWS)
    wanted = LiteRTModel(activated).probabilities(ROWS)
    largest = {"float16": 2e-3, "int16x8": 4e-2, "int4": 0.4}.get(mode, 8e-2)
    assert 0 < np.abs(told - wanted).max() <= largest
    assert (told.argmax(1) == wanted.argmax(1)).mean() >= (0.85 if mode == "int4" else 0.95)


def test_a_rare_large_row_of_the_calibration_widens_the_range(float32):
    rare = ROWS.copy()
    rare[7] *= 8
    file = LiteRTModel(quantized(float32, "int16x8", rare))
    told, wanted = (each.probabilities(rare[7:8]) for each in (file, LiteRTModel(float32)))
    np.testing.assert_allclose(told, wanted, atol=0.05)


@pytest.mark.parametrize("shape", [(20, 11), (20, 12, 1), (0, 12)])
def test_calibration_rows_of_another_shape_are_refused_with_both(float32, shape):
    with pytest.raises(ValueError, match=r".") as refused:
        quantized(float32, "int8", np.zeros(shape, np.float32))
    assert str(refused.value) == (f"calibration rows have the shape {shape}, must be (rows, 12)")


def test_a_model_that_the_converter_does_not_take_is_refused_in_one_line():
    rows = keras.Input((4, 3))
    model = keras.Model(rows, layers.LSTM(5, name="memory")(rows), name="classifier")
    with pytest.raises(ValueError, match=r"^LiteRT's converter does not take the model") as refused:
        converted(model)
    message = str(refused.value)
    assert "'tf.TensorListReserve' op requires element_shape to be static" in message
    assert len(message.splitlines()) == 1
    assert len(message) < LONGEST_REASON + 100


def test_a_file_that_the_quantizer_does_not_take_is_refused_in_one_line(float32):
    with pytest.raises(ValueError, match=r"^LiteRT's quantizer does not take the model") as refused:
        quantized(float32[: len(float32) // 2], "dynamic", ROWS)
    assert len(str(refused.value).splitlines()) == 1


def test_rows_that_a_file_does_not_take_are_refused_in_one_line(float32):
    with pytest.raises(ValueError, match=r"^LiteRT cannot run the file") as refused:
        LiteRTModel(float32).probabilities(ROWS[:, :5])
    assert len(str(refused.value).splitlines()) == 1


def test_a_call_works_on_the_rows_that_it_was_made_for(float32):
    call = LiteRTModel(float32).caller(ROWS[:5])
    assert call() is None


def test_calibration_prints_nothing(float32, capfd):
    with np.testing.suppress_warnings() as warnings:
        seen = warnings.record(UserWarning)
        quantized(float32, "int8", ROWS)
    assert seen == []
    assert "Calibration" not in "".join(capfd.readouterr())
