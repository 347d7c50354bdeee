"""The number format of weights and arithmetic, which Keras keeps as a global setting."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build and train models of that precision inside the block; the setting before comes back.

    Args:
        name: a Keras dtype policy: ``float32``, ``float16``, ``float64``, ``mixed_float16`` or
            ``mixed_bfloat16``.
    """
    policy, floats = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(name)
    if name == "float64":
        # Otherwise the data would be rounded to float32 on their way to the model. With 16 bits
        # they stay float32 until the first layer, and so do losses and metrics.
        keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_floatx(floats)


def slow_here(name: str, jit_compile: str) -> str | None:
    """Why training in this precision is far slower than float32 on this machine, or None.

    Seen on TensorFlow 2.21: 39 to 442 times slower on processors without XLA.
    """
    import tensorflow as tf

    if name not in ("float16", "mixed_float16") or jit_compile == "on":
        return None
    if tf.config.list_physical_devices("GPU"):
        return None
    return f"--precision {name} on a CPU without XLA runs 39 to 442 times slower than float32"
