"""Files for LiteRT, run on one thread: what they tell, and a call to time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from steps.errors import one_line
from steps.scaling import ScaledRows

Rows = npt.NDArray[np.float32]

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class LiteRTModel:
    """A LiteRT file that takes scaled rows, float32, any number at a time.

    Attributes:
        content: the bytes of the ``.tflite`` file.
    """

    content: bytes

    def probabilities(self, rows: ScaledRows | Rows) -> Rows:
        """What the file tells of scaled rows.

        Args:
            rows: float32, shape (rows, *scaled_shape).

        Returns:
            float32, shape (rows, classes).

        Raises:
            ValueError: LiteRT cannot run the file on such rows.
        """
        starts = range(0, len(rows), ROWS_AT_ONCE)
        told: list[Rows] = []
        interpreter = None
        for block in (rows[start : start + ROWS_AT_ONCE] for start in starts):
            if interpreter is None or len(block) < ROWS_AT_ONCE:
                interpreter = self._ready(block)
            (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
            interpreter.set_tensor(entry["index"], block)
            interpreter.invoke()
            told.append(interpreter.get_tensor(exit_["index"]))
        return np.concatenate(told)

    def caller(self, rows: Rows) -> Callable[[], object]:
        """A function that runs the file on these rows, which are in place already, and no more.

        Raises:
            ValueError: LiteRT cannot run the file on such rows.
        """
        invoke: Callable[[], object] = self._ready(rows).invoke
        return invoke

    def _ready(self, rows: Rows) -> Any:
        """An interpreter that has run on these rows once."""
        interpreter = Interpreter(model_content=self.content, num_threads=1)
        entry = interpreter.get_input_details()[0]["index"]
        try:
            interpreter.resize_tensor_input(entry, rows.shape)
            interpreter.allocate_tensors()
            interpreter.set_tensor(entry, rows)
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"LiteRT cannot run the file ({one_line(error)})") from error
        return interpreter
