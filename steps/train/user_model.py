"""The user's own model, from a function in a Python file."""

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from steps.errors import InputError, one_line

MODULE = "greenest_user_model"
"""What the file is called while it is imported."""

ROWS_TO_TRY = 8
ROUNDING = 0.05
"""Of a sum of probabilities; bfloat16 has three digits."""

Refusal = Callable[[str], InputError]


def user_model(value: str, rows: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Class probabilities by the model that the user's function builds.

    The function is called as ``FUNCTION(input_shape, classes)``, where `input_shape` is the shape
    of one scaled row, and gives a `keras.Model` from rows (batch, *input_shape) to probabilities
    (batch, classes), also where there are two classes. The layers of the model are
    used, not how it is compiled, nor a ``train_step`` of its own.

    The layers have to be Keras' own, so that the saved model can be loaded where the file is not.
    The seed of the run decides what Keras draws, not what the file draws by other means.

    Args:
        value: ``file:PATH.py:FUNCTION``.
        rows: scaled, shape (batch, *input_shape).
        classes: how many probabilities to give.

    Raises:
        InputError: there is no such function, it fails, or it gives no such model.
    """
    refusal = partial(InputError, "--model", value)
    path, _, name = value.removeprefix("file:").rpartition(":")
    with _forgotten_afterwards():
        model = _built(_imported(Path(path), refusal), name, rows, classes, refusal)
        probabilities = _called(model, rows, refusal)
    shape = getattr(probabilities, "shape", None)
    if shape != (None, classes):
        found = "several outputs" if shape is None else _batch_of(shape)
        problem = f"its model gives {found} and must give {_batch_of((None, classes))}"
        raise refusal(f"{problem}, a probability per class")
    _require_probabilities(keras.Model(rows, probabilities), refusal)
    _require_loadable(model, refusal)
    return probabilities


@contextmanager
def _forgotten_afterwards() -> Iterator[None]:
    """What the user's file registers is taken back, as it is unknown wherever the file is not."""
    registered = keras.saving.get_custom_objects()
    before = dict(registered)
    try:
        yield
    finally:
        registered.clear()
        registered.update(before)
        sys.modules.pop(MODULE, None)


def _imported(path: Path, refusal: Refusal) -> Any:
    if not path.is_file():
        raise refusal(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise refusal(f"{path} must end in .py")
    module = sys.modules[MODULE] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise refusal(f"{path} cannot be imported: {_told(error)}") from None
    return module


def _built(
    module: Any, name: str, rows: keras.KerasTensor, classes: int, refusal: Refusal
) -> keras.Model:
    function = getattr(module, name, None)
    if not callable(function):
        raise refusal(f"{module.__file__} has no function {name}")
    try:
        model = function(tuple(rows.shape[1:]), classes)
    except Exception as error:
        raise refusal(f"{name} raised {_told(error)}") from None
    if not isinstance(model, keras.Model):
        raise refusal(f"{name} must give a keras.Model, not {type(model).__name__}")
    return model


def _called(model: keras.Model, rows: keras.KerasTensor, refusal: Refusal) -> Any:
    try:
        return model(rows)
    except Exception as error:
        problem = f"its model does not take rows of shape {_batch_of(rows.shape)}"
        raise refusal(f"{problem}: {_told(error)}") from None


def _require_probabilities(model: keras.Model, refusal: Refusal) -> None:
    """By a few rows: logits would train badly, and stop the evaluate step hours later."""
    rows = np.random.default_rng(0).normal(size=(ROWS_TO_TRY, *model.input_shape[1:]))
    told = keras.ops.convert_to_numpy(model(rows.astype(np.float32))).astype(np.float64)
    if (told < 0).any() or (abs(told.sum(axis=1) - 1) > ROUNDING).any():
        raise refusal("its model must end in probabilities, 0 to 1 and adding to 1: a softmax")


def _require_loadable(model: keras.Model, refusal: Refusal) -> None:
    """By the way that a saved model goes: to JSON and, in Keras' safe mode, back."""
    try:
        text = json.dumps(keras.saving.serialize_keras_object(model))
        keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)
    except Exception as error:
        innermost = _told(error).rpartition("Exception encountered: ")[2]
        sentence = re.split(r"(?<=[.!?])\s", innermost)[0]
        problem = "its model could not be loaded where this file is not; take Keras' own layers"
        raise refusal(f"{problem}: {sentence}") from None


def _told(error: BaseException) -> str:
    """Type and message in one line; of a message that Keras wraps, what it has in bold."""
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    said = " ".join(bold[1].split()) if bold else one_line(error)
    kind = type(error).__name__
    return kind if said in (kind, "") else f"{kind}: {said}"


def _batch_of(shape: tuple[int | None, ...]) -> str:
    return f"(batch, {', '.join(map(str, shape[1:]))})"
