"""Reading the quantization of a QDQ model: parameters of Q and DQ, clamps, and refusals of float values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from vla_isa.numerics import ROUND_NEAREST_EVEN, quantize
from vla_isa.program import MAX_SCALE
from vlac.errors import Refusal, UnsupportedError
from vlac.ir.graph import Tensor
from vlac.ops.spec import constant_input

__all__ = [
    "LABEL",
    "MAX_SCALE",
    "Result",
    "activation_parameters",
    "bound",
    "clamp_bounds",
    "clamped_result",
    "integer_type",
    "node_label",
    "unquantized",
    "value_label",
]

LABEL = "vlac.label"  # metadata of a float value that is not called as in the user's model


@dataclass
class Result:
    """Where an operator's result goes: its tensor, the integer clamp of absorbed Relu and Clip, and how it rounds."""

    tensor: Tensor
    lo: int
    hi: int
    label: str
    rounding: int = ROUND_NEAREST_EVEN


def node_label(node: ir.Node) -> str:
    """How a node is named to the user."""
    return node.name or (node.outputs[0].name or "?")


def value_label(value: ir.Value) -> str:
    """How a float value is named to the user: quantizing a model output renames what was computed."""
    return value.metadata_props.get(LABEL) or value.name or "?"


def unquantized(node: ir.Node, value: ir.Value, role: str) -> UnsupportedError:
    """The refusal of a float value where the machine needs integers."""
    return UnsupportedError(
        [
            Refusal(
                node.op_type,
                node_label(node),
                f"its {role} '{value.name}' is not quantized",
                advice="a model with QuantizeLinear or DequantizeLinear is taken as quantized throughout: put them "
                "there too, or compile the float model with --calib",
            )
        ]
    )


def clamp_bounds(node: ir.Node) -> tuple[float, float] | None:
    """The interval of a Relu or of a Clip with constant bounds, else None."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return None
    bounds = []
    for index, free in ((1, -np.inf), (2, np.inf)):
        if index < len(node.inputs) and node.inputs[index] is not None:
            found = constant_input(node, index)
            if found is None:
                return None
            free = float(found.reshape(-1)[0])
        bounds.append(free)
    return bounds[0], bounds[1]


def clamped_result(value: ir.Value) -> ir.Value:
    """A result, or that of the Relu or Clip that alone reads it: the device clamps where it makes the value."""
    readers = value.consumers()
    if len(readers) != 1 or value.is_graph_output() or clamp_bounds(readers[0]) is None:
        return value
    return clamped_result(readers[0].outputs[0])


def bound(x: float, tensor: Tensor, free: int, rounding: int = ROUND_NEAREST_EVEN) -> int:
    """A real bound as an integer of `tensor`, or `free` where it is infinite."""
    if not np.isfinite(x):
        return free
    return int(quantize(np.array([x]), tensor.scale, tensor.zero_point, rounding)[0])


def integer_type(node: ir.Node) -> np.dtype[Any]:
    """The type of the integers of a QuantizeLinear or DequantizeLinear; ONNX lets the zero point be left out."""
    integers = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    zero = constant_input(node, 2)
    if zero is not None:
        return zero.dtype
    return np.dtype(np.uint8 if integers is None or integers.dtype is None else integers.dtype.numpy())


def activation_parameters(node: ir.Node) -> tuple[float, int, bool]:
    """(scale, zero point in int8 terms, whether the integers are unsigned) of a Q or DQ of an activation.

    Raises:
        UnsupportedError: not 8 bits, not per tensor, or not constant.
    """
    scale, zero = constant_input(node, 1), constant_input(node, 2)
    name = node_label(node)
    if scale is None or scale.size != 1:
        raise UnsupportedError([f"{node.op_type} '{name}': an activation needs one constant scale per tensor"])
    if not ((scale > 0).all() and (scale <= MAX_SCALE).all()):
        raise UnsupportedError(
            [
                f"{node.op_type} '{name}': its scale is {scale.reshape(-1)[0]}, not a positive number up to "
                f"{MAX_SCALE:.3g}; do the weights and the calibration data keep all values finite and of usual size?"
            ]
        )
    kind = integer_type(node)
    if kind not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise UnsupportedError([f"{node.op_type} '{name}': {kind} is not supported; quantize to int8 or uint8"])
    unsigned = kind == np.dtype(np.uint8)
    value = 0 if zero is None else int(zero.reshape(-1)[0])
    return float(np.float32(scale.reshape(-1)[0])), value - 128 * unsigned, unsigned
