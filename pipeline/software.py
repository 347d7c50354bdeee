"""The software that a training ran on, as far as its weights depend on it."""

import platform
from functools import cache
from importlib.metadata import version

LIBRARIES = {"TensorFlow": "tensorflow", "Keras": "keras", "NumPy": "numpy"}


@cache
def software() -> str:
    """Such as ``Python 3.11.7, TensorFlow 2.21.0, Keras 3.15.1, NumPy 2.4.2``; imports none."""
    libraries = (f"{name} {version(package)}" for name, package in LIBRARIES.items())
    return ", ".join((f"Python {platform.python_version()}", *libraries))
