"""The quantized model that a run keeps takes the same raw rows as the float one."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
from kept_models import frame, images, model_of, table

from pipeline import tracking
from steps.configuration import Configuration
from steps.quantize.convert import converted
from steps.scaling import learn_scaler
from steps.train.model import CLASSIFIER


def kept(dataset):
    """A float32 LiteRT file of an untrained network, kept as a quantized model is."""
    model = model_of(dataset)
    content = converted(model.get_layer(CLASSIFIER))
    scaler = learn_scaler("standardization", dataset.features.reshape(-1, *dataset.scaled_shape))
    with tracking.RunLog.start(tracking.open_experiment("green"), Configuration()) as log:
        log.keep_quantized_model(content, scaler, dataset)
    return mlflow.pyfunc.load_model(f"runs:/{log.run_id}/quantized_model"), model


def test_rows_of_a_table_get_the_answer_of_the_float_model_missing_cells_filled(store):
    dataset = table()
    served, model = kept(dataset)
    told = served.predict(frame(dataset))
    assert list(told.columns) == ["no", "yes"]
    expected = np.asarray(model(dataset.features.astype(np.float32), training=False))
    np.testing.assert_allclose(told, expected, atol=1e-5)


def test_images_get_the_answer_of_the_float_model(store):
    dataset = images()
    served, model = kept(dataset)
    expected = np.asarray(model(dataset.features, training=False))
    np.testing.assert_allclose(served.predict(dataset.features), expected, atol=1e-5)


def test_an_empty_cell_is_refused_where_training_rows_had_none(store):
    dataset = table(missing=False)
    served, _ = kept(dataset)
    rows = frame(dataset)
    rows.loc[3, "a"] = np.nan
    with pytest.raises(ValueError, match="column a is empty"):
        served.predict(rows)


def test_a_server_needs_neither_keras_nor_tensorflow(store):
    served, _ = kept(images())
    needed = mlflow.pyfunc.get_model_dependencies(served.metadata.get_model_info().model_uri)
    names = {line.partition("==")[0].strip() for line in Path(needed).read_text().splitlines()}
    assert names == {"mlflow", "ai-edge-litert", "numpy", "pandas"}
