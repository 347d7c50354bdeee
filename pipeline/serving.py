"""Travels inside each saved model: raw rows in, one named probability per class out.

`mlflow models serve`, `mlflow models predict` and `mlflow.pyfunc.load_model` call `_load_pyfunc`.
The file is copied next to the model and has to work there alone.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd


class Classifier:
    """The Keras model behind MLflow's pyfunc interface."""

    def __init__(self, model: keras.Model, class_names: list[str]) -> None:
        """Args: takes raw rows (batch, features), and the names of its outputs in order."""
        self._model = model
        self._class_names = class_names

    def predict(self, rows: dict[str, Any], params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Probability of each class, one row per row; `rows` are columns by name, as signed."""
        columns = [np.asarray(column, np.float32).ravel() for column in rows.values()]
        probabilities = self._model.predict(np.column_stack(columns), verbose=0)
        return pd.DataFrame(probabilities, columns=self._class_names)


def _load_pyfunc(path: str) -> Classifier:
    folder = Path(path)
    class_names = json.loads((folder / "class_names.json").read_text(encoding="utf-8"))
    return Classifier(keras.saving.load_model(folder / "model.keras", safe_mode=True), class_names)
