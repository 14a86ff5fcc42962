"""Reading the quantization of a QDQ model: parameters of Q and DQ, clamps, and refusals of float values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT8, INT16, UINT8, IntType
from vla_isa.numerics import quantize
from vla_isa.program import MAX_SCALE
from vlac.errors import Refusal, UnsupportedError
from vlac.ir.operation import Tensor
from vlac.model.labels import node_label
from vlac.model.reading import constant_input, integer_type

__all__ = [
    "Result",
    "Traced",
    "activation_parameters",
    "bound",
    "constant_tensor",
    "unquantized",
]


_TYPES = {kind.dtype: kind for kind in (INT8, UINT8, INT16)}


@dataclass
class Result:
    """Where an operator's result goes: its tensor, the integer clamp of absorbed Relu and Clip, and how it rounds."""

    tensor: Tensor
    lo: int
    hi: int
    label: str
    rounding: int = Rounding.NEAREST_EVEN


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


def bound(x: float, tensor: Tensor, free: int, rounding: int = Rounding.NEAREST_EVEN) -> int:
    """A real bound as an integer of `tensor`, or `free` where it is infinite."""
    if not np.isfinite(x):
        return free
    return int(quantize(np.array([x]), tensor.scale, tensor.zero_point, rounding, tensor.stored)[0])


def activation_parameters(node: ir.Node) -> tuple[float, int, IntType]:
    """(scale, zero point in terms of the stored integers, the model's type) of a Q or DQ of an activation.

    Raises:
        UnsupportedError: of another type, not per tensor, not constant, or an int16 that is not around 0.
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
    if kind not in _TYPES:
        raise UnsupportedError([f"{node.op_type} '{name}': {kind} is not supported; quantize to int8, uint8 or int16"])
    model = _TYPES[kind]
    value = 0 if zero is None else int(zero.reshape(-1)[0])
    if model == INT16 and value:
        raise UnsupportedError([f"{node.op_type} '{name}': int16 with zero point {value}; quantize it around 0"])
    return float(np.float32(scale.reshape(-1)[0])), value - (model.lo - model.stored.lo), model


@dataclass(frozen=True)
class Traced:
    """A float value as a function of a tensor: entry q + 128 of `values` (float32 [256]) is its value at an int8 q,
    of [257] that at an int16 256 q, between which it is a line.
    """

    x: Tensor
    values: NDArray[np.float32]


def constant_tensor(node: ir.Node) -> Tensor | None:
    """The integers of a DequantizeLinear of a per-tensor constant, as a tensor."""
    q, scale, zero = (constant_input(node, i) for i in range(3))
    if q is None or scale is None or scale.size != 1 or q.dtype not in _TYPES:
        return None
    kind = _TYPES[q.dtype]
    z = 0 if zero is None else int(zero.reshape(-1)[0])
    name = node.outputs[0].name or "?"
    return Tensor(
        name,
        name,
        q.shape,
        float(np.float32(scale.reshape(-1)[0])),
        z - (kind.lo - kind.stored.lo),
        constant=kind.to_stored(q),
        type=kind,
    )
