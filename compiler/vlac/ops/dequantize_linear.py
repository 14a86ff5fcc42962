"""DequantizeLinear: its output stands for the tensor of its integer input, or for a constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vla_isa.numerics import to_int8
from vlac.ir.graph import Tensor
from vlac.ops.quantized import activation_parameters
from vlac.ops.spec import OpSpec, constant_input, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC", "constant_tensor"]


def _lower(low: Lowering, node: ir.Node) -> None:
    source, out = node.inputs[0], node.outputs[0]
    if source is not None and source in low.host.numbers and source not in low.values:
        _integer_input(low, node, source)
    low.values[out] = low.operand(node, 0)


def _integer_input(low: Lowering, node: ir.Node, source: ir.Value) -> None:
    """A model input that is already quantized."""
    scale, zero, unsigned = activation_parameters(node)
    tensor = Tensor(source.name or "", source.name or "", shape_of(source), scale, zero, unsigned=unsigned)
    low.device_input(tensor, source)
    low.values[source] = tensor


def constant_tensor(node: ir.Node) -> Tensor | None:
    """The integers of a DequantizeLinear of a per-tensor 8-bit constant, as a tensor."""
    q, scale, zero = (constant_input(node, i) for i in range(3))
    if q is None or scale is None or scale.size != 1 or q.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        return None
    unsigned = q.dtype == np.dtype(np.uint8)
    offset = 128 if unsigned else 0
    z = 0 if zero is None else int(zero.reshape(-1)[0])
    name = node.outputs[0].name or "?"
    return Tensor(
        name,
        name,
        q.shape,
        float(np.float32(scale.reshape(-1)[0])),
        z - offset,
        constant=to_int8(q.astype(np.int16) - offset),
        unsigned=unsigned,
    )


SPEC = OpSpec("DequantizeLinear", "Its output stands for the integers in front of it.", lower=_lower, quantize=False)
