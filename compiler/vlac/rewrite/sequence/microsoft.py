"""Operators that ONNX Runtime's optimizer fuses (com.microsoft) become ONNX's own: norms, activations, embeddings.

Not matched: outputs that only training reads (mean and deviation). Attention is in `microsoft_attention.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.microsoft_attention import ATTENTIONS

__all__ = ["expand_microsoft"]

DOMAIN = "com.microsoft"
Inputs = list[ir.Value | None]


def expand_microsoft(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    for node in list(model.graph):
        make = _MAKERS.get(node.op_type) if node.domain == DOMAIN else None
        if make is None:
            continue
        with Nodes(model.graph, node) as new:
            inputs = [*node.inputs, *[None] * (12 - len(node.inputs))]
            results = make(new, node, inputs)
            if results is not None and _fits(node, results):
                _replace(new, node, results)


def _fits(node: ir.Node, results: Inputs) -> bool:
    """Whether all outputs that something reads are there."""
    read = [bool(v.consumers()) or v.is_graph_output() for v in node.outputs]
    padded = [*results, *[None] * (len(read) - len(results))]
    return all(made is not None or not wanted for made, wanted in zip(padded, read, strict=False))


def _replace(new: Nodes, node: ir.Node, results: Inputs) -> None:
    for old, made in list(zip(node.outputs, results, strict=False))[1:]:
        if made is not None and (old.consumers() or old.is_graph_output()):
            old.replace_all_uses_with(made, replace_graph_outputs=True)
            old.name, made.name = f"{old.name}.old", old.name
    assert results[0] is not None
    new.replace(results[0])


def _added(new: Nodes, a: ir.Value, b: ir.Value | None) -> ir.Value:
    return a if b is None else new.add("Add", [a, b], np.broadcast_shapes(shape_of(a), shape_of(b)))


def _skip_norm(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    """SkipLayerNormalization(x, skip, gamma, beta, bias) -> y, mean, deviation, x + skip + bias."""
    x, skip, gamma, beta, bias = inputs[:5]
    rms = node.op_type == "SkipSimplifiedLayerNormalization"
    if rms:
        beta, bias = None, inputs[3]
    if x is None or skip is None:
        return None
    total = _added(new, _added(new, x, skip), bias)
    parameters: Inputs = [gamma] if beta is None else [gamma, beta]
    attributes = {"axis": -1, "epsilon": attribute(node, "epsilon", 1e-12)}
    op = "RMSNormalization" if rms else "LayerNormalization"
    return [new.add(op, [total, *parameters], shape_of(x), attributes), None, None, total]


def _embed_norm(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    """EmbedLayerNormalization(ids, segments, words, positions, segment table, gamma, beta, mask, position numbers)."""
    ids, segments, words, places, kinds, gamma, beta, mask, numbers = inputs[:9]
    if ids is None or words is None or places is None:
        return None
    shape = (*shape_of(ids), shape_of(words)[1])
    total = new.add("Gather", [words, ids], shape, {"axis": 0}, words.dtype)
    if numbers is None:
        numbers = new.constant(np.arange(shape[1])[None])
    total = _added(new, total, new.add("Gather", [places, numbers], (*shape_of(numbers), shape[2]), {"axis": 0}))
    if segments is not None and kinds is not None:
        total = _added(new, total, new.add("Gather", [kinds, segments], shape, {"axis": 0}))
    attributes = {"axis": -1, "epsilon": attribute(node, "epsilon", 1e-12)}
    y = new.add("LayerNormalization", [total, gamma, beta], shape, attributes)
    count: ir.Value | None = None
    if mask is not None:
        axes = new.constant(np.array([1]))
        count = new.add("ReduceSum", [mask, axes], shape[:1], {"keepdims": 0}, mask.dtype)
    return [y, count, total]


def _gelu(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    x, bias = inputs[:2]
    if x is None:
        return None
    total = _added(new, x, bias)
    attributes = {"approximate": "tanh"} if node.op_type == "FastGelu" else {}
    return [new.add("Gelu", [total], shape_of(total), attributes)]


def _quick_gelu(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    return [new.add("Swish", inputs[:1], shape_of(inputs[0]), {"alpha": attribute(node, "alpha", 1.702)})]


_MAKERS: dict[str, Callable[[Nodes, ir.Node, Inputs], Inputs | None]] = {
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
    "EmbedLayerNormalization": _embed_norm,
    "Gelu": _gelu,
    "FastGelu": _gelu,
    "BiasGelu": _gelu,
    "QuickGelu": _quick_gelu,
    **ATTENTIONS,
}
