"""What a LiteRT file stores: its weights, their widths, and what multiplying by them costs."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from steps.flops import layer_of
from steps.quantization_modes import FixedPoint

FLOAT_BITS = 32

BITS = {
    schema.TensorType.FLOAT32: 32,
    schema.TensorType.FLOAT16: 16,
    schema.TensorType.INT32: 32,
    schema.TensorType.INT16: 16,
    schema.TensorType.INT8: 8,
    schema.TensorType.UINT8: 8,
    schema.TensorType.INT4: 4,
    schema.TensorType.INT2: 2,
}
"""Width of a number by the type of its tensor."""

HYBRID_DATA_BITS = 8
"""LiteRT makes float inputs int8, row by row, where the weights they meet are whole numbers."""

INDEX_TYPES = (schema.TensorType.INT32, schema.TensorType.INT64, schema.TensorType.BOOL)
"""Constants of these types are shapes and axes, unless they are a bias."""

_Operator = schema.BuiltinOperator
DATA_INPUT = {
    _Operator.FULLY_CONNECTED: 0,
    _Operator.CONV_2D: 0,
    _Operator.DEPTHWISE_CONV_2D: 0,
    _Operator.CONV_3D: 0,
    _Operator.BATCH_MATMUL: 0,
    _Operator.TRANSPOSE_CONV: 2,
    _Operator.CONV_3D_TRANSPOSE: 2,
}
"""Which input of a dense or convolution operation is its data; its weights are always input 1."""

WEIGHTS_INPUT = 1
TRANSPOSED = (_Operator.TRANSPOSE_CONV, _Operator.CONV_3D_TRANSPOSE)


@dataclass(frozen=True)
class Product:
    """A dense or convolution operation of a file.

    Attributes:
        layer: name of the Keras layer that it comes from.
        weights: how many it has, its bias not counted.
        stored_bits: width of a weight in the file.
        data_bits: width of what it is multiplied with, as it is computed.
        weight_bits: width of a weight as it is computed: float16 becomes float32 first.
        multiply_adds: of one row.
    """

    layer: str
    weights: int
    stored_bits: int
    data_bits: int
    weight_bits: int
    multiply_adds: int


@dataclass(frozen=True)
class StoredWeights:
    """The weights of a LiteRT file.

    Attributes:
        products: its dense and convolution operations.
        size_bytes: of all its constants but shapes and axes, biases included; the step sizes of
            whole numbers and the rest of the file are not counted.
    """

    products: tuple[Product, ...]
    size_bytes: int

    @property
    def average_bitwidth(self) -> float | None:
        """Mean width of a dense or convolution weight as it is stored; None if there is none.

        As MASE has it: the widths of layers, weighted by their number of weights.
        """
        weights = sum(product.weights for product in self.products)
        bits = sum(product.weights * product.stored_bits for product in self.products)
        return bits / weights if weights else None

    @property
    def bit_operations(self) -> int:
        """Multiply-adds of one row, each as many times as its two numbers have bits, multiplied."""
        return sum(
            product.multiply_adds * product.data_bits * product.weight_bits
            for product in self.products
        )

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Names of the layers whose weights are stored as float32."""
        layers = (each.layer for each in self.products if each.stored_bits == FLOAT_BITS)
        return tuple(dict.fromkeys(layers))


def stored_weights(content: bytes, layers: Sequence[str]) -> StoredWeights:
    """Read a file by its tensors' own types.

    Args:
        content: of a ``.tflite`` file for one row at a time or any number.
        layers: names of the Keras layers with kernels that it comes from.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    products: list[Product] = []
    sizes: dict[int, int] = {}
    for subgraph in model.subgraphs:
        reader = _Reader(model, subgraph, layers)
        products.extend(reader.products())
        sizes |= reader.sizes()
    return StoredWeights(tuple(products), sum(sizes.values()))


class _Reader:
    """One graph of a file."""

    def __init__(self, model: Any, subgraph: Any, layers: Sequence[str]) -> None:
        self._model = model
        self._subgraph = subgraph
        self._layers = layers
        self._dequantized = {
            operator.outputs[0]: operator.inputs[0]
            for operator in subgraph.operators
            if self._kind(operator) == _Operator.DEQUANTIZE
        }

    def products(self) -> Iterator[Product]:
        counted: set[int] = set()
        for operator in self._subgraph.operators:
            kind = self._kind(operator)
            if kind not in DATA_INPUT:
                continue
            computed = operator.inputs[WEIGHTS_INPUT]
            stored = self._dequantized.get(computed, computed)
            if not self._size(stored):  # a product of two activations
                continue
            data, result = operator.inputs[DATA_INPUT[kind]], operator.outputs[0]
            tensor = self._tensor(stored)
            yield Product(
                layer=self._layer(tensor.name.decode()),
                # Shared by several operations, they are stored once.
                weights=0 if tensor.buffer in counted else math.prod(map(int, tensor.shape)),
                stored_bits=self._bits(stored),
                data_bits=self._data_bits(data, computed),
                weight_bits=self._bits(computed),
                multiply_adds=_multiply_adds(
                    self._tensor(data if kind in TRANSPOSED else result).shape, tensor.shape
                ),
            )
            counted.add(tensor.buffer)

    def _layer(self, name: str) -> str:
        """Where layers were made one, the tensor has all their names."""
        owners = (layer_of(path, self._layers) for path in name.split(";"))
        return next((owner for owner in owners if owner in self._layers), name)

    def sizes(self) -> dict[int, int]:
        """Bytes of the constants by their place in the file."""
        return {
            self._tensor(index).buffer: self._size(index)
            for operator in self._subgraph.operators
            for place, index in enumerate(operator.inputs)
            # An input that is left out has the index -1.
            if index >= 0 and self._is_weight(operator, place, index)
        }

    def _is_weight(self, operator: Any, place: int, index: int) -> bool:
        is_bias = self._kind(operator) in DATA_INPUT and place > WEIGHTS_INPUT
        return is_bias or self._tensor(index).type not in INDEX_TYPES

    def _kind(self, operator: Any) -> int:
        code = self._model.operatorCodes[operator.opcodeIndex]
        # Kinds from before 2020 stand in the narrow field.
        return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))

    def _tensor(self, index: int) -> Any:
        return self._subgraph.tensors[index]

    def _bits(self, index: int) -> int:
        return BITS[self._tensor(index).type]

    def _data_bits(self, data: int, weights: int) -> int:
        is_float = self._tensor(data).type == schema.TensorType.FLOAT32
        is_hybrid = is_float and self._tensor(weights).type != schema.TensorType.FLOAT32
        return HYBRID_DATA_BITS if is_hybrid else self._bits(data)

    def _size(self, index: int) -> int:
        buffer = self._model.buffers[self._tensor(index).buffer]
        # In larger files the numbers stand behind the tables, which only tell where.
        return int(buffer.size) if buffer.data is None else len(buffer.data)


def _multiply_adds(result: Sequence[int], weights: Sequence[int]) -> int:
    """Each number of the result (of the data, if transposed) meets its channel's share of weights.

    All kinds have as many channels of weights as the last axis of that shape has.
    """
    return math.prod(map(int, result)) * math.prod(map(int, weights)) // int(result[-1])


def fixed_bit_operations(
    products: Sequence[Product],
    covered: Collection[str],
    uncovered: Collection[str],
    widths: FixedPoint,
) -> int | None:
    """As `StoredWeights.bit_operations`, of the same products in fixed point.

    Args:
        products: of the float32 file.
        covered: names of the layers that are in fixed point.
        uncovered: names of those that stay as they are.
        widths: of the numbers of the covered ones.

    Returns:
        None where a product is of none of them: the converter gives a kernel that is used several
        times a name of its own.
    """
    if not all(each.layer in covered or each.layer in uncovered for each in products):
        return None
    fixed = widths.data_width * widths.weight_width
    return sum(
        each.multiply_adds * (fixed if each.layer in covered else each.data_bits * each.weight_bits)
        for each in products
    )
