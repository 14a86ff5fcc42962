"""Attention and rotary embeddings of ONNX Runtime's optimizer (com.microsoft) as ONNX's own.

Attention has its projection inside, MultiHeadAttention its biases, GroupQueryAttention rotations. Masks of keys are
numbers 0 and 1 or the lengths of rows. Not matched, so refused as they are: keys of earlier runs in one tensor, lengths
that depend on the input (GroupQueryAttention behind the first tokens), packed queries and keys, local windows, sinks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["ATTENTIONS"]

Inputs = list[ir.Value | None]


def _attention(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    """Attention(x, weights, bias, mask, past, added to logits)."""
    x, weights, bias, mask, past, added = inputs[:6]
    plain = not attribute(node, "do_rotary", 0) and not attribute(node, "past_present_share_buffer", 0)
    if x is None or weights is None or past is not None or not plain:
        return None
    heads, width = attribute(node, "num_heads", 0), shape_of(weights)[1]
    sizes = [int(n) for n in attribute(node, "qkv_hidden_sizes", None) or [width // 3] * 3]
    total = new.add("MatMul", [x, weights], (*shape_of(x)[:2], width))
    if bias is not None:
        total = new.add("Add", [total, bias], shape_of(total))
    parts = [_channels(new, total, sum(sizes[:i]), n) for i, n in enumerate(sizes)]
    return _standard(new, node, parts, (heads, heads), mask, added)


def _multi_head(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    """MultiHeadAttention(q, k, v, bias, mask, added to logits, past key, past value)."""
    q, k, v, bias, mask, added, past_k, past_v = inputs[:8]
    if q is None or k is None or v is None or len(shape_of(q)) != 3 or any(x is not None for x in inputs[8:]):
        return None
    heads, parts = attribute(node, "num_heads", 0), [q, k, v]
    first = 0
    for i, x in enumerate(parts):
        if bias is not None and len(shape_of(x)) == 3:
            width = shape_of(x)[2]
            array = constant(bias)
            if array is None:
                return None
            parts[i] = new.add("Add", [x, new.constant(array[first : first + width])], shape_of(x))
            first += width
        elif len(shape_of(x)) not in (3, 4) or bias is not None:
            return None
    parts = [x if len(shape_of(x)) == 3 else _joined(new, x) for x in parts]
    past = None if past_k is None or past_v is None else (past_k, past_v)
    return _standard(new, node, parts, (heads, heads), mask, added, past)


def _grouped(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    """GroupQueryAttention(q, k, v, past key, past value, last key's number, keys, cos, sin) of the first tokens."""
    q, k, v, past_k, past_v, last, _, cos, sin = inputs[:9]
    heads, groups = attribute(node, "num_heads", 0), attribute(node, "kv_num_heads", 0)
    known = constant(last)
    plain = attribute(node, "local_window_size", -1) == -1 and not attribute(node, "smooth_softmax", 0)
    more = any(x is not None for x in inputs[9:])
    if q is None or k is None or v is None or past_k is not None or past_v is not None or not plain or more:
        return None
    if known is None or not (known == shape_of(q)[1] - 1).all():
        return None
    parts = [q, k, v]
    if attribute(node, "do_rotary", 0):
        numbers = new.constant(np.broadcast_to(np.arange(shape_of(q)[1]), shape_of(q)[:2]))
        for i, count in enumerate((heads, groups)):
            attributes = {"num_heads": count, "interleaved": attribute(node, "rotary_interleaved", 0)}
            rotated = 2 * shape_of(cos)[1]
            if rotated < shape_of(parts[i])[2] // count:
                attributes["rotary_embedding_dim"] = rotated
            parts[i] = new.add("RotaryEmbedding", [parts[i], cos, sin, numbers], shape_of(parts[i]), attributes)
    y = _standard(new, node, parts, (heads, groups), None, None, causal=True)
    if y is not None:
        y = [y[0], *(_split(new, x, groups) for x in parts[1:])]
    return y


def _rotary(new: Nodes, node: ir.Node, inputs: Inputs) -> Inputs | None:
    """RotaryEmbedding(x, position numbers or the first, cos, sin)."""
    x, numbers, cos, sin = inputs[:4]
    if x is None or numbers is None or attribute(node, "scale", 1.0) != 1 or attribute(node, "is_packed_batching", 0):
        return None
    shape = shape_of(x)
    batch, length = shape[0], shape[1] if len(shape) == 3 else shape[2]
    if shape_of(numbers) == (1,):
        steps = new.constant(np.arange(length)[None])
        numbers = new.add("Add", [numbers, steps], (1, length), dtype=numbers.dtype)
        target = new.constant(np.array([batch, length]))
        numbers = new.add("Expand", [numbers, target], (batch, length), dtype=numbers.dtype)
    rotated = attribute(node, "rotary_embedding_dim", 0)
    attributes = {"interleaved": attribute(node, "interleaved", 0)}
    if rotated:
        attributes["rotary_embedding_dim"] = rotated
    if len(shape) == 3:
        attributes["num_heads"] = attribute(node, "num_heads", 0) or shape[2] // (2 * shape_of(cos)[1])
    return [new.add("RotaryEmbedding", [x, cos, sin, numbers], shape, attributes)]


ATTENTIONS: dict[str, Callable[[Nodes, ir.Node, Inputs], Inputs | None]] = {
    "Attention": _attention,
    "MultiHeadAttention": _multi_head,
    "GroupQueryAttention": _grouped,
    "RotaryEmbedding": _rotary,
}


# --- parts ------------------------------------------------------------------------------------------------


def _standard(
    new: Nodes,
    node: ir.Node,
    parts: list[ir.Value],
    heads: tuple[int, int],
    mask: ir.Value | None,
    added: ir.Value | None,
    past: tuple[ir.Value, ir.Value] | None = None,
    causal: bool = False,
) -> Inputs | None:
    """ONNX's Attention of packed q, k and v."""
    q, k, v = parts
    batch, queries, width = shape_of(q)
    before = 0 if past is None else shape_of(past[0])[2]
    keys = before + shape_of(k)[1]
    total = _mask(new, mask, (batch, queries, keys))
    if mask is not None and total is None:
        return None
    if added is not None:
        total = added if total is None else _sum(new, added, total)
    if total is not None:
        shape = (*shape_of(total)[:2], queries, keys)
        target = new.constant(np.array(shape))
        total = new.add("Expand", [total, target], shape, dtype=total.dtype)
    scale = attribute(node, "scale", 0.0) or 1 / math.sqrt(width // heads[0])
    attributes = {"q_num_heads": heads[0], "kv_num_heads": heads[1], "scale": scale}
    if causal or attribute(node, "unidirectional", 0):
        attributes["is_causal"] = 1
    if attribute(node, "softcap", 0.0):
        attributes["softcap"] = attribute(node, "softcap", 0.0)
    out = (batch, queries, heads[0] * (shape_of(v)[2] // heads[1]))
    if past is None:
        return [new.add("Attention", [q, k, v, total], out, attributes)]
    presents = [((batch, heads[1], keys, shape_of(x)[2] // heads[1]), None) for x in (k, v)]
    return [*new.several("Attention", [q, k, v, total, *past], [(out, None), *presents], attributes)]


def _mask(new: Nodes, mask: ir.Value | None, shape: tuple[int, int, int]) -> ir.Value | None:
    """Truth values [B, 1, Sq or 1, keys] of a mask of 0 and 1, [B, keys] or [B, Sq, keys], or of lengths [B]."""
    batch, queries, keys = shape
    if mask is None:
        return None
    if shape_of(mask) == (batch,):
        lengths = new.add(
            "Reshape", [mask, new.constant(np.array([batch, 1, 1, 1]))], (batch, 1, 1, 1), dtype=mask.dtype
        )
        lengths = new.add("Cast", [lengths], (batch, 1, 1, 1), {"to": ir.DataType.INT64}, ir.DataType.INT64)
        numbers = new.constant(np.arange(keys).reshape(1, 1, 1, keys))
        return new.add("Less", [numbers, lengths], (batch, 1, 1, keys), dtype=ir.DataType.BOOL)
    wide = {(batch, keys): (batch, 1, 1, keys), (batch, queries, keys): (batch, 1, queries, keys)}.get(shape_of(mask))
    if wide is None:
        return None
    four = new.add("Reshape", [mask, new.constant(np.array(wide))], wide, dtype=mask.dtype)
    return new.add("Cast", [four], wide, {"to": ir.DataType.BOOL}, ir.DataType.BOOL)


def _sum(new: Nodes, added: ir.Value, keep: ir.Value) -> ir.Value:
    choice = [keep, new.constant(np.float32(0)), new.constant(np.float32(-np.inf))]
    floats = new.add("Where", choice, shape_of(keep), dtype=added.dtype)
    return new.add("Add", [added, floats], np.broadcast_shapes(shape_of(added), shape_of(keep)), dtype=added.dtype)


def _channels(new: Nodes, x: ir.Value, first: int, count: int) -> ir.Value:
    bounds = [new.constant(np.array([v])) for v in (first, first + count, 2)]
    return new.add("Slice", [x, *bounds], (*shape_of(x)[:2], count))


def _joined(new: Nodes, x: ir.Value) -> ir.Value:
    """[B, S, H * D] of heads in front."""
    batch, heads, length, d = shape_of(x)
    turned = new.add("Transpose", [x], (batch, length, heads, d), {"perm": [0, 2, 1, 3]})
    return new.reshape(turned, (batch, length, heads * d))


def _split(new: Nodes, x: ir.Value, heads: int) -> ir.Value:
    """Heads in front, of [B, S, H * D]."""
    batch, length, width = shape_of(x)
    wide = new.reshape(x, (batch, length, heads, width // heads))
    return new.add("Transpose", [wide], (batch, heads, length, width // heads), {"perm": [0, 2, 1, 3]})
