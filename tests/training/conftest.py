"""Small models, data, and `model.fit` on the very batches of `fit_in_graph`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Iterator

import keras
import pytest

from steps.train import fit


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """No graph and no dtype policy reaches the next test."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    yield
    fit.GRAPHS.clear()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)
