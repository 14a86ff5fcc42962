"""A constant factor behind Reshape, Transpose and their like goes in front of them, into the layer that is there.

matches: Mul or Div by one constant number behind operators that only move values, which nothing else reads, behind a
layer. `velocity.unflatten(1, (16, 2)) / steps` of a sampler is such a one. Not matched: factors of rows or channels.
"""

from __future__ import annotations

import onnx_ir as ir

from vlac.model.reading import constant, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["factor_before_moves"]

_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def factor_before_moves(model: ir.Model) -> None:
    """Rewrite every such factor of a float model, in place."""
    for node in list(model.graph):
        if node.op_type in ("Mul", "Div") and node.domain in ("", "ai.onnx"):
            _move(model.graph, node)


def _move(graph: ir.Graph, node: ir.Node) -> None:
    a, b = node.inputs
    value, factor = (a, b) if node.op_type == "Div" or constant(b) is not None else (b, a)
    array = constant(factor)
    if array is None or array.size != 1 or value is None or shape_of(node.outputs[0]) != shape_of(value):
        return
    first, at = value, None
    while (made := first.producer()) is not None and made.op_type in _MOVES and _is_read_once(first):
        at, source = made, made.inputs[0]
        assert source is not None
        first = source
    if at is None or made is None or made.op_type not in _LAYERS or not _is_read_once(first):
        return
    new = Nodes(graph, at)
    scaled = new.add(node.op_type, [first, new.constant(array.reshape(()))], shape_of(first))
    new.insert()
    at.replace_input_with(0, scaled)
    ir.convenience.replace_all_uses_with(node.outputs[0], value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _is_read_once(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()
