"""DequantizeLinear: its output stands for the tensor of its integer input, or for a constant."""

from __future__ import annotations

import onnx_ir as ir

from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.quantized import activation_parameters
from vlac.lowering.spec import OpSpec
from vlac.model.reading import shape_of

__all__ = ["SPEC"]


def _lower(low: LoweringContext, node: ir.Node) -> None:
    source, out = node.inputs[0], node.outputs[0]
    if source is not None and source in low.host.numbers and source not in low.values:
        _integer_input(low, node, source)
    low.values[out] = low.operand(node, 0)


def _integer_input(low: LoweringContext, node: ir.Node, source: ir.Value) -> None:
    """A model input that is already quantized."""
    scale, zero, kind = activation_parameters(node)
    tensor = Tensor(source.name or "", source.name or "", shape_of(source), scale, zero, type=kind)
    low.device_input(tensor, source)
    low.values[source] = tensor


SPEC = OpSpec("DequantizeLinear", "Its output stands for the integers in front of it.", lower=_lower, quantize=False)
