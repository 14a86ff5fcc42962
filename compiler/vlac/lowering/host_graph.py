"""ONNX nodes as the host's functions: the part of a model in front of the device and behind it.

Not here: which nodes those are (`analysis/host_nodes.py`), what the functions compute (`vla_isa.host_functions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.host_functions import FUNCTIONS
from vla_isa.signature import HostOp, Value
from vlac.lowering.quantized import activation_parameters
from vlac.model.reading import attribute, computed_inputs, constant, constant_input, dtype_of, is_constant, shape_of
from vlac.model.rearranged import strided_slices

__all__ = ["FINAL", "MOVES", "NUMBERS", "HostGraph", "is_convertible", "is_of_inputs"]

_UNARY = (
    *("Abs", "Ceil", "Cos", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin"),
    *("Sqrt", "Tan", "Tanh"),
)
# of all operands, for masks, angles and row numbers
_SELECTS = ("And", "Or", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mod", "Where", "MatMul")
_BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_PICKS = ("Slice", "Gather", "Split")
MOVES = (*_VIEWS, *_PICKS, "Transpose", "Concat")
# operands that are masks, angles or row numbers: the host makes them of the model's inputs
NUMBERS = {"Attention": (3,), "RotaryEmbedding": (1, 2), "Gather": (1,), "TensorScatter": (2,)}
_NEVER = ("QuantizeLinear", "DequantizeLinear", "Conv", "ArgMax", "ArgMin")
FINAL = {"Softmax": -1, "LogSoftmax": -1, "ArgMax": 0, "ArgMin": 0}  # with the default axis


def is_convertible(node: ir.Node) -> bool:
    """Whether the host has functions for a node; of final functions and Q/DQ only where it reads real numbers."""
    values = computed_inputs(node)
    if node.domain not in ("", "ai.onnx") or not values or not all(map(dtype_of, [*values, node.outputs[0]])):
        return False
    kind = np.dtype(dtype_of(values[0])).kind
    if node.op_type in _UNARY:
        return kind in FUNCTIONS[node.op_type].kinds
    if node.op_type in _BINARY:
        dtypes = {dtype_of(v) if constant(v) is None else str(constant(v).dtype) for v in node.inputs}  # type: ignore[union-attr]
        return len(dtypes) == 1 and kind in FUNCTIONS[node.op_type].kinds
    if node.op_type in _PICKS:
        return values == list(node.inputs[:1]) and strided_slices(node) is not None
    if node.op_type == "Conv":
        return _per_channel(node) is not None
    if node.op_type in ("Clip", "Transpose", *_VIEWS):
        return values == list(node.inputs[:1])
    return node.op_type in ("Cast", "Concat", "QuantizeLinear", "DequantizeLinear", *FINAL)


def is_of_inputs(value: ir.Value | None) -> bool:
    """Whether the host can compute a value from the model's inputs: a mask, angles, or row numbers."""
    waiting, seen = [value], set[ir.Value | None]()
    while waiting:
        value = waiting.pop()
        if value in seen or value is None or is_constant(value) or value.is_graph_input():
            continue
        seen.add(value)
        node = value.producer()
        if node is None or not (is_convertible(node) or _makes_operands(node) or _is_place(node)):
            return False
        if node.op_type in _NEVER and not _is_place(node):
            return False
        waiting += node.inputs
    return True


def _is_place(node: ir.Node) -> bool:
    """Whether a node finds the first of the largest integers: the place of a token."""
    return node.op_type == "ArgMax" and dtype_of(node.inputs[0]) in ("int32", "int64")


def _makes_operands(node: ir.Node) -> bool:
    """Whether the host has a function for a node that makes masks, angles or row numbers, though not images."""
    if node.domain not in ("", "ai.onnx") or not all(map(dtype_of, [*computed_inputs(node), node.outputs[0]])):
        return False
    if node.op_type in ("Expand", "CumSum"):
        plain = not attribute(node, "exclusive", 0) and not attribute(node, "reverse", 0)
        return plain and is_constant(node.inputs[1])
    if node.op_type == "Gather":
        return not attribute(node, "axis", 0)
    if node.op_type == "Mod":
        return not attribute(node, "fmod", 0)
    return node.op_type in ("Not", *_SELECTS)


def _per_channel(node: ir.Node) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Factors and offsets [1, C, 1, ...] of a depthwise Conv of one pixel, as BatchNormalization becomes; else None."""
    x, weight = node.inputs[0], constant_input(node, 1)
    bias = constant_input(node, 2)
    shape = shape_of(x)
    if weight is None or weight.dtype != np.float32 or (bias is None and len(node.inputs) > 2):
        return None
    plain = all(set(attribute(node, name, ()) or ()) <= {value} for name, value in (("strides", 1), ("pads", 0)))
    channels = weight.shape[0]
    if weight.size != channels or attribute(node, "group", 1) != channels or channels != shape[1] or not plain:
        return None
    form = (1, channels, *(1 for _ in shape[2:]))
    offset = np.zeros(channels, np.float32) if bias is None else bias
    return weight.reshape(form), offset.reshape(form)


class HostGraph:
    """The host's functions of a model while they are collected; `numbers` are the values known so far."""

    def __init__(self, model: ir.Model) -> None:
        """Start with the model's inputs."""
        graph_inputs = list(model.graph.inputs)
        self.inputs = [Value(v.name or "", shape_of(v), dtype_of(v) or str(v.dtype).lower()) for v in graph_inputs]
        self.numbers: dict[ir.Value, int] = {v: i for i, v in enumerate(graph_inputs)}
        self.ops: list[HostOp] = []
        self.arrays: list[NDArray[Any]] = []

    def add(
        self, function: str, operands: Sequence[int], shape: tuple[int, ...], dtype: str, numbers: Sequence[int] = ()
    ) -> int:
        """A function; returns the number of its result."""
        self.ops.append(HostOp(function, tuple(operands), shape, dtype, tuple(int(n) for n in numbers)))
        return len(self.inputs) + len(self.ops) - 1

    def constant(self, array: NDArray[Any]) -> int:
        """A constant."""
        self.arrays.append(np.asarray(array))
        return self.add("Constant", (), array.shape, str(array.dtype), (len(self.arrays) - 1,))

    def dtype(self, number: int) -> str:
        """The dtype of a value."""
        return self.inputs[number].dtype if number < len(self.inputs) else self.ops[number - len(self.inputs)].dtype

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a value."""
        return self.inputs[number].shape if number < len(self.inputs) else self.ops[number - len(self.inputs)].shape

    def cast(self, number: int, dtype: str, shape: tuple[int, ...]) -> int:
        """A value in another dtype."""
        return number if self.dtype(number) == dtype else self.add("Cast", (number,), shape, dtype)

    def convert(self, node: ir.Node, read: Callable[[ir.Value], int]) -> None:
        """Add the functions of a convertible node; `read` gives the number of an operand."""
        out = node.outputs[0]
        shape, dtype = shape_of(out), dtype_of(out)

        def add(function: str, operands: Sequence[int], numbers: Sequence[int] = ()) -> int:
            return self.add(function, operands, shape, dtype, numbers)

        chosen = node.op_type == "Gather" and not is_constant(node.inputs[1])
        if node.op_type in _PICKS and not chosen:
            self._pick(node, read)
            return
        if chosen:  # numbers first
            operands = [read(v) for v in node.inputs[::-1] if v is not None]
        elif node.op_type in ("Concat", *_SELECTS, *_BINARY):
            operands = [read(v) for v in node.inputs if v is not None]
        else:
            operands = [read(v) for v in node.inputs[:1] if v is not None]
        if node.op_type in _BINARY:
            found = self._folded(node, operands)
        elif node.op_type == "Clip":
            found = self._clip(node, operands[0])
        elif node.op_type == "Conv":
            found = self._affine(node, operands[0])
        elif node.op_type in _VIEWS:
            found = add("Reshape", operands)
        elif node.op_type == "Transpose":
            rank = len(shape)
            found = add("Transpose", operands, attribute(node, "perm", None) or range(rank)[::-1])
        elif node.op_type == "CumSum":
            axis = constant_input(node, 1)
            found = add("CumSum", operands, (0 if axis is None else int(axis.reshape(-1)[0]) % len(shape),))
        elif node.op_type == "Concat":
            found = add("Concat", operands, (attribute(node, "axis", 0) % len(shape),))
        elif node.op_type in FINAL:
            found = self._final(node, operands)
        elif node.op_type == "QuantizeLinear":
            scale, zero, _ = activation_parameters(node)
            real = shape_of(node.inputs[0])
            found = self.add(
                "Quantize", [*operands, self.constant(np.array(scale, np.float32))], real, "float32", (zero,)
            )
        elif node.op_type == "DequantizeLinear":
            found = operands[0]  # what Quantize made is real numbers
        else:
            found = add(node.op_type, operands)
        self.numbers[out] = found

    def _folded(self, node: ir.Node, operands: list[int]) -> int:
        """A function of two operands, taken one after the other where there are more."""
        total, shape = operands[0], shape_of(node.inputs[0])
        for value, operand in zip(node.inputs[1:], operands[1:], strict=True):
            shape = tuple(np.broadcast_shapes(shape, shape_of(value)))
            total = self.add(node.op_type, (total, operand), shape, self.dtype(operand))
        return total

    def _clip(self, node: ir.Node, x: int) -> int:
        for index, function in ((1, "Max"), (2, "Min")):
            bound = constant_input(node, index)
            if bound is not None:
                x = self.add(function, (x, self.constant(bound.reshape(()))), shape_of(node.outputs[0]), self.dtype(x))
        return x

    def _affine(self, node: ir.Node, x: int) -> int:
        found = _per_channel(node)
        assert found is not None
        for function, array in zip(("Mul", "Add"), found, strict=True):
            x = self.add(function, (x, self.constant(array)), shape_of(node.outputs[0]), "float32")
        return x

    def _final(self, node: ir.Node, operands: list[int]) -> int:
        rank = len(shape_of(node.inputs[0]))
        numbers = [int(attribute(node, "axis", FINAL[node.op_type])) % max(rank, 1)]
        if node.op_type.startswith("Arg"):
            numbers.append(int(attribute(node, "select_last_index", 0)))
        return self.add(node.op_type, operands, shape_of(node.outputs[0]), dtype_of(node.outputs[0]), numbers)

    def _pick(self, node: ir.Node, read: Callable[[ir.Value], int]) -> None:
        source, slices = node.inputs[0], strided_slices(node)
        assert source is not None and slices is not None
        x, dtype = read(source), dtype_of(source)
        for out, (starts, steps, sizes) in zip(node.outputs, slices, strict=True):
            found = self.add("Slice", (x,), sizes, dtype, (*starts, *steps))
            if sizes != shape_of(out):
                found = self.add("Reshape", (found,), shape_of(out), dtype)
            self.numbers[out] = found
