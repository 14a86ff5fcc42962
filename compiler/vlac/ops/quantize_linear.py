"""QuantizeLinear: names the integers of a tensor; behind a DequantizeLinear it is a change of scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vlac.errors import UnsupportedError
from vlac.ops.quantized import node_label
from vlac.ops.spec import OpSpec

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def _lower(low: Lowering, node: ir.Node) -> None:
    source, out = node.inputs[0], node.outputs[0]
    if source is None or out in low.values:
        return
    if source.is_graph_input():
        _input(low, node, source)
        return
    tensor = low.operand(node, 0)
    target = low.new_tensor(node, source.name or "?")
    if (tensor.scale, tensor.zero_point) == (target.scale, target.zero_point):
        low.values[out] = tensor
        return
    low.requantized(tensor, target, node.name or target.name, node.op_type)
    low.values[out] = target


def _input(low: Lowering, node: ir.Node, source: ir.Value) -> None:
    target = low.new_tensor(node, source.name or "?")
    dtype = str(source.dtype.numpy()) if source.dtype is not None else "float32"
    for known in low.graph.inputs:
        if low.graph.input_labels[known][0] != source.name:
            continue
        if (known.scale, known.zero_point) != (target.scale, target.zero_point):
            raise UnsupportedError(
                [
                    f"QuantizeLinear '{node_label(node)}': model input '{source.name}' is quantized a second time with "
                    f"scale {target.scale:g} instead of {known.scale:g}; use one QuantizeLinear per model input"
                ]
            )
        low.values[node.outputs[0]] = known
        return
    low.graph.inputs.append(target)
    low.graph.input_labels[target] = (source.name or "?", dtype)
    low.values[node.outputs[0]] = target


SPEC = OpSpec(
    "QuantizeLinear",
    "Scale and zero point of a tensor; a table where it follows a DequantizeLinear.",
    lower=_lower,
    quantize=False,
)
