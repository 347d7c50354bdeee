"""How the Keras model is kept in MLflow."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from pipeline.tracking.paths import MODEL

if TYPE_CHECKING:
    import keras

    from steps.preprocess import Table


def log_model(run_id: str, model: "keras.Model", table: "Table") -> None:
    """Log `model`, which takes raw rows, with a signature, an example and its class names."""
    import pandas as pd

    mlflow.models.Model.log(
        None,
        _Flavor,
        name=MODEL,
        run_id=run_id,
        model=model,
        input_example=pd.DataFrame(table.features[:3], columns=list(table.feature_names)),
        class_names=table.class_names,
        # Would load the model and predict, a second for what the evaluate step does anyway.
        validate_serving_input=False,
    )


class _Flavor:
    """MLflow's TensorFlow flavor, with rows of named columns as its signature.

    MLflow's own ``log_model`` signs a Keras model with one float32 tensor, with which ``mlflow
    models predict`` refuses a CSV, and its probabilities come without the names of the classes.
    """

    @staticmethod
    def save_model(
        path: str,
        mlflow_model: mlflow.models.Model,
        model: "keras.Model",
        input_example: Any,
        class_names: Sequence[str],
        **_: Any,
    ) -> None:
        """Called by ``mlflow.models.Model.log``; `path` is the folder to write."""

        def tensor(shape: tuple[int, ...], name: str | None = None) -> TensorSpec:
            return TensorSpec(np.dtype(np.float32), (-1, *shape), name)

        outputs = Schema([tensor(model.output_shape[1:])])
        mlflow.tensorflow.save_model(
            model,
            path,
            mlflow_model=mlflow_model,
            signature=ModelSignature(Schema([tensor(model.input_shape[1:])]), outputs),
            input_example=input_example,
            code_paths=[str(Path(__file__).parents[1] / "serving.py")],
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("mlflow", "tensorflow", "keras", "pandas")
            ],
        )
        Path(path, "data", "class_names.json").write_text(json.dumps(class_names), "utf-8")
        columns = Schema([tensor((), name) for name in input_example.columns])
        mlflow_model.signature = ModelSignature(columns, outputs)
        mlflow_model.flavors["python_function"]["loader_module"] = "serving"
        mlflow_model.save(str(Path(path, "MLmodel")))
