"""Reading the ONNX model: attributes, constants, shapes, dtypes and padding of nodes and values.

Not here: what the user calls them (`labels.py`), what a node means to the machine (`lowering/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.host_functions import DTYPES

__all__ = [
    "attribute",
    "computed_inputs",
    "constant",
    "constant_input",
    "dtype_of",
    "expert_choice",
    "input_name",
    "integer_type",
    "is_constant",
    "is_lookup",
    "pads4",
    "pair",
    "shape_of",
]


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute's value, or `default`."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of a constant value (initializer, Constant node, or DequantizeLinear of one), or None."""
    if value is None:
        return None
    if value.const_value is not None:
        return np.asarray(value.const_value.numpy())
    node = value.producer()
    if node is not None and node.op_type == "DequantizeLinear":
        return _dequantized(node)
    return None


def is_constant(value: ir.Value | None) -> bool:
    """Whether `constant` would find an array, without computing it."""
    if value is None or value.const_value is not None:
        return value is not None
    node = value.producer()
    quantized = node is not None and node.op_type == "DequantizeLinear"
    return quantized and all(v is None or v.const_value is not None for v in node.inputs)


def is_lookup(node: ir.Node) -> bool:
    """Whether a node takes rows of a constant table by computed numbers, as an embedding does."""
    return node.op_type == "Gather" and is_constant(node.inputs[0]) and not is_constant(node.inputs[1])


_WEIGHTS = ("Conv", "Gemm", "MatMul")


def expert_choice(value: ir.Value | None) -> ir.Node | None:
    """The node that chooses a weight or bias of layers among those of several experts, by one computed number.

    It is a Gather of a constant [experts, ...] along axis 0, and layers alone read it.
    """
    node = None if value is None else value.producer()
    if node is None or not is_lookup(node) or attribute(node, "axis", 0) or shape_of(node.inputs[1]):
        return None
    readers = [(u.op_type in _WEIGHTS and u.inputs[0] is not value) for u in node.outputs[0].consumers()]
    return node if readers and all(readers) and not node.outputs[0].is_graph_output() else None


def _dequantized(node: ir.Node) -> NDArray[Any] | None:
    parts = [constant(v) for v in node.inputs]
    if parts[0] is None or parts[1] is None:
        return None
    q, scale = parts[0].astype(np.int64), parts[1].astype(np.float32)
    zero = np.int64(0) if len(parts) < 3 or parts[2] is None else parts[2].astype(np.int64)
    if scale.ndim == 1 and q.ndim:
        axis = attribute(node, "axis", 1) % q.ndim
        shape = [-1 if i == axis else 1 for i in range(q.ndim)]
        scale, zero = scale.reshape(shape), np.reshape(zero, shape if np.ndim(zero) else ())
    return ((q - zero).astype(np.float32) * scale).astype(np.float32)


def constant_input(node: ir.Node, index: int) -> NDArray[Any] | None:
    """Input `index` as a constant, or None where it is absent or computed."""
    return constant(node.inputs[index]) if index < len(node.inputs) else None


def input_name(node: ir.Node, index: int) -> str:
    """The name of input `index` in quotes, for messages."""
    value = node.inputs[index]
    return f"'{None if value is None else value.name}'"


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """The static shape of a value."""
    if value is None or value.shape is None:
        return ()
    return tuple(int(d) for d in value.shape)


def pair(values: Sequence[int] | None, default: int) -> tuple[int, int]:
    """A two-element attribute."""
    return (default, default) if not values else (int(values[0]), int(values[1]))


def pads4(
    node: ir.Node, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int] = (1, 1)
) -> tuple[int, int, int, int]:
    """Padding as top, left, bottom, right, with auto_pad worked out."""
    mode = attribute(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        p = attribute(node, "pads", None) or (0, 0, 0, 0)
        return int(p[0]), int(p[1]), int(p[2]), int(p[3])
    if mode == "VALID":
        return 0, 0, 0, 0
    size = shape_of(node.inputs[0])[2:]
    begin, end = [], []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small, large = total // 2, total - total // 2
        begin.append(small if mode == "SAME_UPPER" else large)
        end.append(large if mode == "SAME_UPPER" else small)
    return begin[0], begin[1], end[0], end[1]


def dtype_of(value: ir.Value | None) -> str:
    """The numpy name of a value's dtype, "" where it is unknown or numpy has none."""
    try:
        name = str(value.dtype.numpy()) if value is not None and value.dtype is not None else ""
    except TypeError:
        return ""
    return name if name in DTYPES else ""


def computed_inputs(node: ir.Node) -> list[ir.Value]:
    """The inputs of a node that are no constants."""
    return [v for v in node.inputs if v is not None and not is_constant(v)]


def integer_type(node: ir.Node) -> np.dtype[Any]:
    """The type of the integers of a QuantizeLinear or DequantizeLinear; ONNX lets the zero point be left out."""
    integers = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    zero = constant_input(node, 2)
    if zero is not None:
        return zero.dtype
    return np.dtype(np.uint8 if integers is None or integers.dtype is None else integers.dtype.numpy())
