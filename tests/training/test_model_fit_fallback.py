"""What one graph call cannot hold trains by `model.fit`, to the same weights, and says so."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import BATCH_SIZE, graph_fit, keras_fit, mlp, same_state, state, table

from steps.train.rows import as_arrays, class_weights


def test_data_above_the_limit_train_by_model_fit_to_the_same_state() -> None:
    reference, model = mlp(), mlp()
    expected = graph_fit(reference, table(), 3, validation_batch_size=BATCH_SIZE)
    report = graph_fit(model, table(), 3, memory_limit_bytes=1000, validation_batch_size=BATCH_SIZE)
    assert (expected.engine, report.engine) == ("graph", "model.fit")
    assert "1000 bytes" in report.engine_reason
    assert same_state(state(model), state(reference))
    assert report.history == expected.history
    assert report.batch_losses is None and report.compile_time_s is None
    assert len(report.epoch_times_s) == 3


def test_a_model_that_runs_eagerly_trains_by_model_fit() -> None:
    report = graph_fit(mlp(run_eagerly=True), table(), 1)
    assert (report.engine, report.engine_reason) == (
        "model.fit",
        "the model is compiled with run_eagerly=True",
    )


def test_model_fit_stops_when_a_callback_says_so() -> None:
    stopping = keras.callbacks.EarlyStopping("val_loss", min_delta=1e9, patience=1)
    report = graph_fit(mlp(), table(), 9, callbacks=[stopping], memory_limit_bytes=0)
    assert len(report.epoch_times_s) == 2


def test_model_fit_leaves_the_model_compiled_as_it_was() -> None:
    model = mlp(steps_per_execution=2)
    graph_fit(model, table(), 1, memory_limit_bytes=0)
    assert model.steps_per_execution == 2
    keras_fit(model, table(), range(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0: must be 1 or more"),
        ({"epochs": 0}, "epochs 0: must be 1 or more"),
        ({"shuffle_seed": -1}, "shuffle_seed -1: must be 0 to 2147483647"),
        ({"jit_compile": "maybe"}, "jit_compile maybe: must be on, off or auto"),
        (
            {"sample_weight": np.ones(90), "class_weight": {0: 1.0}},
            "sample_weight and class_weight: give one of them",
        ),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_fit(mlp(), table(), **{"epochs": 1, **options})  # type: ignore[arg-type]


def test_data_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="training data has 2, 3 rows"):
        as_arrays("training data", (np.ones((3, 2)), np.ones(2)))


@given(st.lists(st.integers(0, 4), min_size=1), st.dictionaries(st.integers(0, 4), st.floats(0, 9)))
def test_each_row_weighs_what_its_class_does(labels: list[int], weights: dict[int, float]) -> None:
    one_hot = np.eye(5)[labels]
    expected = np.array([weights.get(label, 1.0) for label in labels], np.float32)
    for y in (np.array(labels), np.array(labels, np.float32)[:, None], one_hot):
        np.testing.assert_array_equal(class_weights(y, weights), expected)
