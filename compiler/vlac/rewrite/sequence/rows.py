"""Layers that compute row by row read their source in its own shape, and Reshapes around them go behind them.

Sequence-first modules and matrix products over joined axes put a Reshape, or a Transpose of an axis of size 1, in front
of every layer and one behind. Layers do not care: y = Reshape(layer(x)) is what they made of Reshape(x). A Gemm becomes
MatMul and Add with it. Not here: the Reshapes that are left behind (`collapse_moves.py`).
"""

from __future__ import annotations

import onnx_ir as ir

from vlac.model.reading import attribute, constant, shape_of
from vlac.ops import BY_NAME
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op
from vlac.rewrite.sequence.views import view_of

__all__ = ["read_rows"]

_NORMS = ("LayerNormalization", "RMSNormalization")
Shape = tuple[int, ...]


def read_rows(model: ir.Model) -> None:
    """Rewrite every such layer of a float model of sequences, in place."""
    for node in list(model.graph):
        if len(node.outputs) == 1 and node.domain in ("", "ai.onnx") and node.outputs[0].dtype == ir.DataType.FLOAT:
            _move(model.graph, node)


def _move(graph: ir.Graph, node: ir.Node) -> None:
    computed = [v for v in node.inputs if v is not None and v.const_value is None]
    if not computed or not _is_of_rows(node, computed):
        return
    sources = [_source(v) for v in computed]
    shape = shape_of(sources[0])
    if any(shape_of(s) != shape for s in sources) or len(shape) != 3 or shape == shape_of(computed[0]):
        return
    new = Nodes(graph, node)
    found = dict(zip(computed, sources, strict=True))
    inputs = [v if v is None else found.get(v, v) for v in node.inputs]
    if is_op(node, "Gemm"):
        y = _product(new, node, inputs, shape)
    else:
        attributes = {name: a.value for name, a in node.attributes.items()}
        width = shape_of(node.outputs[0])[-1]
        y = new.add(node.op_type, inputs, (*shape[:-1], width), attributes)
    new.replace(new.reshape(y, shape_of(node.outputs[0])))


def _source(value: ir.Value) -> ir.Value:
    """What a value is a Reshape of, with the same last axis."""
    view = view_of(value)
    same = view.is_whole and shape_of(view.root)[-1:] == shape_of(value)[-1:]
    return view.root if same and view.root.const_value is None else value


def _is_of_rows(node: ir.Node, computed: list[ir.Value]) -> bool:
    """Whether a node computes each row, along the last axis, from that row of its computed inputs alone."""
    shape = shape_of(computed[0])
    if is_op(node, "MatMul"):
        weight = constant(node.inputs[1])
        return weight is not None and weight.ndim == 2 and len(shape) > 1
    if is_op(node, "Gemm"):
        plain = all(attribute(node, name, 1.0) == 1 for name in ("alpha", "beta")) and not attribute(node, "transA", 0)
        return plain and constant(node.inputs[1]) is not None and len(computed) == 1
    if is_op(node, *_NORMS):
        return attribute(node, "axis", -1) in (-1, len(shape) - 1) and len(computed) == 1
    spec = BY_NAME.get(node.op_type)
    known = is_op(node, "Gelu", "Swish") or (spec is not None and spec.function is not None)
    if not known or any(shape_of(v) != shape for v in computed) or shape_of(node.outputs[0]) != shape:
        return False
    constants = [constant(v) for v in node.inputs if v is not None and v.const_value is not None]
    return all(a is not None and a.ndim <= 1 and a.shape in ((), (1,), shape[-1:]) for a in constants)


def _product(new: Nodes, node: ir.Node, inputs: list[ir.Value | None], shape: Shape) -> ir.Value:
    weight = constant(inputs[1])
    assert weight is not None
    turned = new.constant(weight.T) if attribute(node, "transB", 0) else inputs[1]
    out = (*shape[:-1], shape_of(node.outputs[0])[-1])
    y = new.add("MatMul", [inputs[0], turned], out)
    bias = inputs[2] if len(inputs) > 2 else None
    if bias is None:
        return y
    array = constant(bias)
    assert array is not None
    return new.add("Add", [y, new.constant(array.reshape(-1))], out)
