"""From a Keras classifier to files for LiteRT, of fewer and fewer bits.

TensorFlow's converter makes the float32 file, once; all smaller ones are made of that file by
LiteRT's own quantizer, which has taken the place of the converter's.
"""

import contextlib
import gc
import io
import re
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import Quantizer, qtyping
from litert_quantizer.algorithm_manager import AlgorithmName
from litert_quantizer.calibrator import Calibrator
from litert_quantizer.recipe_manager import RecipeManager

from steps.errors import one_line
from steps.quantize.litert import Rows

ROWS_AT_ONCE = 50
"""Of calibration rows: every number between the layers is kept for each of them."""

LONGEST_REASON = 300
"""Letters of what a converter has to say."""

EVERYTHING = (".*", qtyping.TFLOperationName.ALL_SUPPORTED)


def converted(classifier: keras.Model) -> bytes:
    """The float32 file of a classifier, for any number of rows at a time.

    Raises:
        ValueError: TensorFlow's converter does not take the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            # `from_keras_model` does the same, and prints about it.
            classifier.export(folder, verbose=False)
            # The converter collects garbage at its end: with TensorFlow's objects that would take
            # longer than the rest of a small model's conversion.
            gc.freeze()
            return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())
        except Exception as error:
            raise _refused("LiteRT's converter", error) from error
        finally:
            gc.unfreeze()


def quantized(float32: bytes, mode: str, calibration: Rows) -> bytes:
    """A smaller file.

    - ``dynamic``: weights int8, a step per output channel; inputs become int8 as they come.
    - ``float16``: weights float16, which LiteRT makes float32 again before it computes.
    - ``int8``: weights int8 and activations int8, whose ranges the calibration rows tell.
    - ``int16x8``: the same with activations int16.
    - ``int4``: weights int4, otherwise as ``dynamic``.

    Layers of which the quantizer has no such form stay float32; `steps.quantize.weights` tells
    which those are. Scaling stays outside: whole numbers have one step for all features of a raw
    row, which would wipe out the small ones.

    Args:
        float32: what `converted` gives.
        mode: one of the above.
        calibration: scaled training rows, float32, shape (rows, *scaled_shape).

    Raises:
        ValueError: the calibration rows are of another shape than the model takes, or the quantizer
            does not take the model.
    """
    recipe = _recipe(mode)
    if recipe.need_calibration():
        _require_shape(float32, calibration)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        # It warns that calibration keeps all numbers, which is what it is for, and draws a bar.
        warnings.simplefilter("ignore", UserWarning)
        try:
            ranges = _ranges(float32, recipe, calibration) if recipe.need_calibration() else None
            quantizer = Quantizer(bytearray(float32), recipe.get_quantization_recipe())
            return bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)
        except Exception as error:
            raise _refused("LiteRT's quantizer", error) from error


def _recipe(mode: str) -> RecipeManager:
    recipe = RecipeManager()
    if mode in ("dynamic", "int4"):
        recipe.add_dynamic_config(*EVERYTHING, num_bits=4 if mode == "int4" else 8)
    elif mode == "float16":
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        recipe.add_quantization_config(*EVERYTHING, config, AlgorithmName.FLOAT_CASTING)
    else:
        bits = {"int8": 8, "int16x8": 16}[mode]
        recipe.add_static_config(*EVERYTHING, activation_num_bits=bits, weight_num_bits=8)
        for edge in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            recipe.add_quantization_config(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return recipe


def _require_shape(float32: bytes, calibration: Rows) -> None:
    (entry,) = Interpreter(model_content=float32).get_input_details()
    taken = tuple(map(int, entry["shape"][1:]))
    if not len(calibration) or calibration.shape[1:] != taken:
        allowed = f"must be (rows, {', '.join(map(str, taken))})"
        raise ValueError(f"calibration rows have the shape {calibration.shape}, {allowed}")


def _ranges(float32: bytes, recipe: RecipeManager, calibration: Rows) -> Mapping[str, Any]:
    """Smallest and largest number of each tensor over the calibration rows."""
    signatures = Interpreter(model_content=float32).get_signature_list()
    ((signature, names),) = signatures.items()
    blocks = np.array_split(calibration, -(-len(calibration) // ROWS_AT_ONCE))
    samples = [{names["inputs"][0]: block} for block in blocks]
    calibrator = Calibrator(float32, num_threads=1, qsv_update_func=_wider)
    calibrator.calibrate({signature: samples}, recipe)
    ranges: Mapping[str, Any] = calibrator.get_model_qsvs()
    return ranges


def _wider(known: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """The range of both. The quantizer's own way, a moving mean, cuts off what is rare."""
    if not known:
        return new
    return {
        "min": np.minimum(known["min"], new["min"]),
        "max": np.maximum(known["max"], new["max"]),
    }


def _refused(tool: str, error: Exception) -> ValueError:
    """In one line what may be a page: of the converter's chain of places, what it ends with."""
    first = next((line for line in str(error).splitlines() if "error: " in line), one_line(error))
    reason = re.sub(r".*error: (loc\(.*\): )?", "", first)[:LONGEST_REASON]
    return ValueError(f"{tool} does not take the model ({reason})")
