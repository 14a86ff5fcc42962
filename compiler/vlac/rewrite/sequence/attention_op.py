"""ONNX's own Attention (opset 23) in the form of `packed.py`: heads side by side, repeated ones once, masks joined.

Not matched: the product of queries and keys as an output, lengths of padded keys (opset 24), a Softmax in another type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.cache import joined_rows, past_of
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.masks import Term
from vlac.rewrite.sequence.match import is_op
from vlac.rewrite.sequence.packed import Operands, build
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["pack_attention"]


def pack_attention(model: ir.Model) -> None:
    """Rewrite every Attention node of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "Attention"):
            _pack(model.graph, node)


def _pack(graph: ir.Graph, node: ir.Node) -> None:
    inputs = [*node.inputs, *[None] * (7 - len(node.inputs))]
    read = len(node.outputs) > 3 and (node.outputs[3].consumers() or node.outputs[3].is_graph_output())
    if read or inputs[6] is not None or attribute(node, "softmax_precision", 1) not in (0, 1):
        return
    with Nodes(graph, node) as new:
        given = _operands(node, inputs)
        if given is None:
            return
        past = None if given.past or any(v.is_graph_output() for v in node.outputs[1:3]) else past_of(given.k, given.v)
        if past is not None and given.causal:
            past = None  # ONNX counts keys from the first of all, but with a past from the first new one
        if past is not None:
            given = replace(given, k=past.k, v=past.v, past=past.values, returned=past.returned)
        elif given.past is None:
            given = replace(given, k=joined_rows(new, given.k), v=joined_rows(new, given.v))
        results = build(new, given)
        if results is None:
            return
        if past is not None and past.returned:
            past.replace(results[1:])
        present = _present(new, node) if given.past is None else results[1:]
        _replace(new, node, results[0], present)


def _operands(node: ir.Node, inputs: list[ir.Value | None]) -> Operands | None:
    """What the node computes with."""
    views = [_with_heads(node, v, name) for v, name in zip(inputs, ("q", "kv", "kv"), strict=False)]
    if any(v is None for v in views):
        return None
    q, k, v = (x for x in views if x is not None)
    groups = q.shape[1] // k.shape[1]
    if q.shape[1] % k.shape[1] or k.shape[1] != v.shape[1]:
        return None
    if groups > 1:
        k, v = (_repeated(x, groups) for x in (k, v))
    scale = attribute(node, "scale", None) or 1 / math.sqrt(q.shape[3])
    terms: list[Term] = []
    mask = inputs[3]
    if mask is not None:
        keys = k.shape[2] + (0 if inputs[4] is None else shape_of(inputs[4])[2])
        array = _padded(constant(mask), keys)
        if array is None and shape_of(mask)[-1:] not in ((), (1,), (keys,)):
            return None
        keep = (mask.dtype == ir.DataType.BOOL) if array is None else array.dtype == bool
        source = view_of(mask) if array is None else array
        term = Term(source, keep).regrouped(q.shape[:2], q.shape[:2])
        if term is None:
            return None
        terms.append(term)
    past = (inputs[4], inputs[5]) if inputs[4] is not None and inputs[5] is not None else None
    returned = past is not None and any(v.consumers() or v.is_graph_output() for v in node.outputs[1:3])
    causal, softcap = bool(attribute(node, "is_causal", 0)), attribute(node, "softcap", 0.0)
    return Operands(q, k, v, scale, terms, softcap, causal, past, returned)


def _padded(mask: NDArray[np.generic] | None, keys: int) -> NDArray[np.generic] | None:
    """A constant mask whose last keys, which it may leave out, are hidden (opset 24)."""
    if mask is None or not mask.ndim or mask.shape[-1] == 1:
        return mask
    behind = [(0, 0)] * (mask.ndim - 1) + [(0, max(0, keys - mask.shape[-1]))]
    return np.pad(mask, behind, constant_values=False if mask.dtype == bool else -np.inf)


def _present(new: Nodes, node: ir.Node) -> list[ir.Value | None]:
    """Keys and values [batch, heads, keys, d] where nothing is in front of them: themselves; None where not read."""
    found: list[ir.Value | None] = []
    for given, out in zip(node.inputs[1:3], node.outputs[1:3], strict=False):
        read = bool(out.consumers()) or out.is_graph_output()
        view = _with_heads(node, given, "kv") if read else None
        value = None if view is None else emit(new, view)
        found.append(None if value is None else new.add("Identity", [value], shape_of(value)))
    return found


def _with_heads(node: ir.Node, value: ir.Value | None, which: str) -> View | None:
    if value is None:
        return None
    view = view_of(value)
    if len(view.axes) == 4:
        return view
    heads = attribute(node, f"{which}_num_heads", 0)
    batch, length, channels = view.shape
    split = view.reshape((batch, length, heads, channels // heads)) if heads else None
    return None if split is None else split.transpose((0, 2, 1, 3))


def _repeated(view: View, groups: int) -> View:
    batch, heads, *rest = view.axes
    return View(view.root, view.offset, (batch, (*heads, (groups, 0)), *rest))


def _replace(new: Nodes, node: ir.Node, y: ir.Value, present: Sequence[ir.Value | None]) -> None:
    out = shape_of(node.outputs[0])
    if len(out) == 4:
        view = View.whole(y).reshape((out[0], out[2], out[1], out[3]))
        assert view is not None
        moved = emit(new, view.transpose((0, 2, 1, 3)))
        assert moved is not None
        y = moved
    for old, fresh in zip(node.outputs[1:3], present, strict=False):
        if fresh is not None:
            old.replace_all_uses_with(fresh, replace_graph_outputs=True)
            old.name, fresh.name = f"{old.name}.old", old.name
    new.replace(y)
