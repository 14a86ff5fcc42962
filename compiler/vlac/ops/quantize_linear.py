"""QuantizeLinear: names the integers of a tensor; behind a DequantizeLinear it is a change of scale."""

from __future__ import annotations

import onnx_ir as ir

from vlac.lowering.context import LoweringContext
from vlac.lowering.spec import OpSpec

__all__ = ["SPEC"]


def _lower(low: LoweringContext, node: ir.Node) -> None:
    source, out = node.inputs[0], node.outputs[0]
    if source is None or out in low.values:
        return
    if source in low.host.numbers:
        _input(low, node, source)
        return
    tensor = low.operand(node, 0)
    target = low.new_tensor(node, source.name or "?")
    if tensor.same_scale(target):
        low.values[out] = tensor
        return
    low.requantized(tensor, target, node.name or target.name, node.op_type)
    low.values[out] = target


def _input(low: LoweringContext, node: ir.Node, source: ir.Value) -> None:
    """A value of the host that the device takes in this scale; the same tensor where it takes it already."""
    target, number = low.new_tensor(node, source.name or "?"), low.host.numbers[source]
    for known, (_, fed) in low.graph.input_labels.items():
        if fed == number and known.same_scale(target):
            low.values[node.outputs[0]] = known
            return
    low.device_input(target, source)
    low.values[node.outputs[0]] = target


SPEC = OpSpec(
    "QuantizeLinear",
    "Scale and zero point of a tensor; a table where it follows a DequantizeLinear.",
    lower=_lower,
    quantize=False,
)
