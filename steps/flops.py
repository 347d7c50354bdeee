"""FLOPs of a Keras model, by TensorFlow's profiler, and which layers it could not count."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

MOVING = """
    Const Identity IdentityN NoOp Placeholder Cast Shape Rank Size StopGradient Reshape Squeeze
    ExpandDims Transpose Concat ConcatV2 Pack Unpack Split SplitV Slice StridedSlice Gather GatherV2
    GatherNd Pad PadV2 MirrorPad Tile Fill ZerosLike OnesLike Range BroadcastTo ReverseV2
    SpaceToBatchND BatchToSpaceND ResizeNearestNeighbor OneHot
"""
MAPPING = """
    Select SelectV2 Max Min All Any IsNan IsInf IsFinite LogicalAnd LogicalOr LogicalNot Abs Sign
    Round Floor Ceil Relu Relu6 LeakyRelu Elu Selu Softplus Softsign Sigmoid Tanh Erf Erfc Exp Expm1
    Log1p Sqrt LogSoftmax
"""
"""Comparisons, and functions of one number each, most of which the profiler knows no formula of."""

FREE = frozenset(MOVING.split() + MAPPING.split())
"""Kinds of operations that are no sums of products: that they are not counted says nothing."""


@dataclass(frozen=True)
class Flops:
    """What one row costs on its way through a model.

    Attributes:
        count: multiplications and additions, each for itself, of what could be counted.
        uncounted: names of the layers of which something is missing in `count`, in their order.
    """

    count: int
    uncounted: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether `count` is of the whole model."""
        return not self.uncounted


def flops(model: keras.Model) -> Flops:
    """Count the FLOPs of one row, forward.

    TensorFlow's profiler knows a formula for most kinds of operations, a product and its sum being
    two. A loop such as that of an LSTM has none, nor has a product written as an `einsum`.

    Args:
        model: with one input, from rows to anything; batch statistics are as in inference.
    """
    row = tf.TensorSpec((1, *model.input_shape[1:]), model.inputs[0].dtype)
    traced = tf.function(lambda rows: model(rows, training=False), autograph=False)
    # Loops stay one operation: taken apart, the profiler would count a single turn of theirs.
    frozen = convert_variables_to_constants_v2(
        traced.get_concrete_function(row), lower_control_flow=False
    )
    counted = _profiled(frozen.graph)
    names = [layer.name for layer in leaf_layers(model)]
    uncounted = {
        layer_of(operation.name, names)
        for operation in frozen.graph.get_operations()
        if operation.name not in counted and operation.type not in FREE
    }
    # What is of no layer, such as an operation between two, comes last.
    ordered = sorted(uncounted, key=[*names, *sorted(uncounted)].index)
    return Flops(sum(counted.values()), tuple(ordered))


def leaf_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers; of a model inside of it, the layers of that."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def layer_of(path: str, names: Collection[str]) -> str:
    """The layer that an operation or tensor belongs to.

    Args:
        path: its name in a graph, such as ``classifier_1/hidden_1_1/MatMul``: Keras puts a count
            behind the name of each layer that it calls.
        names: of the layers that it may be.

    Returns:
        The layer's name; the whole path where it is of none of them.
    """
    for part in path.split("/"):
        for name in (re.sub(r"_\d+$", "", part), part):
            if name in names:
                return name
    return path


def _profiled(graph: Any) -> Mapping[str, int]:
    """FLOPs by name of the operation, of those that have some."""
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    tree = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
    counted: dict[str, int] = {}
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children)
        if node.float_ops:
            counted[node.name] = int(node.float_ops)
    return counted
