"""Public datasets by name: bundled with scikit-learn, from OpenML, and from Keras."""

import contextlib
import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pandas as pd
from sklearn import datasets

from steps.configuration import Configuration
from steps.errors import InputError, one_line
from steps.parsing import count
from steps.preprocess.arrays import Part, dataset_of_arrays
from steps.preprocess.dataset import Column, Dataset
from steps.preprocess.sheet import Sheet
from steps.preprocess.table import Roles, dataset_of

BUNDLED: dict[str, Callable[[], Any]] = {
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "iris": datasets.load_iris,
}
IMAGE_SHAPES = {"digits": (8, 8, 1)}
KERAS = ("mnist", "fashion_mnist", "cifar10", "cifar100")
TIMEOUT_S = 5.0
"""Without an answer for so long there is no network."""


def read_bundled(configuration: Configuration) -> Dataset:
    """A dataset that comes with scikit-learn."""
    name = configuration.dataset
    bunch = BUNDLED[name]()
    return Dataset(
        source=name,
        features=np.asarray(bunch.data, np.float64),
        labels=np.asarray(bunch.target, np.int64),
        class_names=tuple(map(str, bunch.target_names)),
        columns=tuple(Column(str(column)) for column in bunch.feature_names),
        image_shape=IMAGE_SHAPES.get(name),
    )


def read_openml(configuration: Configuration) -> Dataset:
    """``openml:NAME_OR_ID`` by `sklearn.datasets.fetch_openml`, which keeps what it has fetched.

    Of a name the oldest version that is active. The label is OpenML's own target, unless the user
    names another.

    Raises:
        InputError: there is none of that name, it is no table for classification, or it is not
            kept yet and there is no network.
    """
    source = configuration.dataset
    name = source.removeprefix("openml:")
    if not re.fullmatch(r"[\w.()+-]+", name, re.ASCII):
        raise InputError("--dataset", source, "must be openml:NAME or openml:ID as on openml.org")
    number = count(name)
    which: dict[str, str | int] = {"name": name} if number is None else {"data_id": number}
    try:
        with _impatient():
            bunch = datasets.fetch_openml(**which, as_frame=True, parser="auto", n_retries=1)
    except HTTPError as error:
        problem = f"openml.org answered {error.code} ({error.reason})"
        raise InputError("--dataset", source, problem) from None
    except OSError as error:
        raise _no_network(source, error) from None
    except ValueError as error:
        raise InputError("--dataset", source, one_line(error)) from None
    if len(bunch.target_names) != 1 and not configuration.label:
        found = ", ".join(bunch.target_names) or "none"
        problem = f"has no single label on openml.org, but {found}; choose a column by --label"
        raise InputError("--dataset", source, problem)
    cells: pd.DataFrame = bunch.frame
    label = bunch.target_names[0] if bunch.target_names else ""
    roles = Roles.of(configuration, list(cells.columns), label)
    return dataset_of(configuration, [Sheet("--dataset", source, cells)], roles)


def read_keras(configuration: Configuration) -> Dataset:
    """``keras:NAME`` by `keras.datasets`, which keeps what it has fetched.

    Raises:
        InputError: another name, or it is not kept yet and there is no network.
    """
    source = configuration.dataset
    name = source.removeprefix("keras:")
    if name not in KERAS:
        raise InputError("--dataset", source, f"choose one of keras:{', keras:'.join(KERAS)}")
    # Reading a table must not wait for TensorFlow.
    import keras

    try:
        with _impatient(), contextlib.redirect_stdout(sys.stderr):
            train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises no narrower one for a URL that does not answer.
        raise _no_network(source, error) from None
    parts = [
        Part(train[0], train[1], "x_train", "y_train"),
        Part(test[0], test[1], "x_test", "y_test"),
    ]
    return dataset_of_arrays(source, parts, {})


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Neither scikit-learn nor Keras gives up by itself on a network that does not answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A network error occurred")
            yield
    finally:
        socket.setdefaulttimeout(before)


def _no_network(source: str, error: Exception) -> InputError:
    problem = f"needs the network once, and is kept from then on: {one_line(error)}"
    return InputError("--dataset", source, problem)
