"""Attention of one batch: products, exponents and sums on the device, masks as limits or as what is added to logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT16
from vlac.ir.operation import Tensor
from vlac.lowering.attention import LOGIT, Attention, Mask, lower_attention
from vlac.lowering.context import LoweringContext
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute, constant_input, input_name, is_constant, shape_of

__all__ = ["SPEC"]

_NEVER = -1e4  # a mask of so much, and less, is one that hides


def one_batch(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Q, K and V must be of batch 1 and rank 3 or 4, with 2 keys or more."""
    shapes = [shape_of(v) for v in node.inputs[:3]]
    ok = all(len(s) in (3, 4) and s[0] == 1 for s in shapes)
    ok = ok and shapes[1][-2] > 1
    return RuleResult(ok, " and ".join(str(list(s)) for s in shapes))


def of_itself(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It may have no past keys and values, no cap of its logits, no lengths of keys, and one result that is read."""
    found = [name for i, name in ((4, "past_key"), (5, "past_value"), (6, "nonpad_kv_seqlen")) if _given(node, i)]
    found += [f"softcap {attribute(node, 'softcap', 0.0):g}"] if attribute(node, "softcap", 0.0) else []
    found += [f"result '{v.name}'" for v in node.outputs[1:] if v.consumers() or v.is_graph_output()]
    return RuleResult(not found, " and ".join(found))


def operands_are_computed(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Q, K and V must be computed, not constants."""
    found = [f"constant {'QKV'[i]} {input_name(node, i)}" for i in range(3) if is_constant(node.inputs[i])]
    return RuleResult(not found, " and ".join(found))


def mask_is_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The mask must be a constant."""
    ok = not _given(node, 3) or is_constant(node.inputs[3])
    return RuleResult(ok, "" if ok else f"computed mask {input_name(node, 3)}")


def _given(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _lower(low: LoweringContext, node: ir.Node) -> None:
    heads, key_heads = _head_counts(node)
    tensors = [_packed(low, node, i) for i in range(3)]
    q, k, v = tensors
    out = low.result(node)
    width = heads * (v.c // key_heads)
    four = len(out.tensor.shape) == 4
    shape = (1, q.w, width)
    target = out.tensor.like(f"{out.tensor.name}:packed", shape=shape) if four else out.tensor
    scale = attribute(node, "scale", None) or 1 / math.sqrt(q.c // heads)
    given = Attention(q, k, v, target, heads, key_heads, float(scale), _mask(node, heads, q.w, k.w))
    lower_attention(low, node, out.label, given)
    if four:
        index = np.arange(math.prod(shape)).reshape(1, q.w, heads, -1).transpose(0, 2, 1, 3).reshape(-1)
        low.layout(node, [target], index, out.tensor)


def _head_counts(node: ir.Node) -> tuple[int, int]:
    q, k = (shape_of(v) for v in node.inputs[:2])
    if len(q) == 4:
        return q[1], k[1]
    return int(attribute(node, "q_num_heads", 1)), int(attribute(node, "kv_num_heads", 1))


def _packed(low: LoweringContext, node: ir.Node, index: int) -> Tensor:
    """An operand as [1, pixels, heads * d]."""
    x = low.operand(node, index)
    shape = shape_of(node.inputs[index])
    if len(shape) == 3:
        return x
    _, heads, length, d = shape
    out = x.like(f"{x.name}:packed", shape=(1, length, heads * d))
    moved = np.arange(math.prod(shape)).reshape(shape).transpose(0, 2, 1, 3).reshape(-1)
    return low.layout(node, [x], moved, out)


def _mask(node: ir.Node, heads: int, queries: int, keys: int) -> Mask:
    causal = bool(attribute(node, "is_causal", 0))
    limit, step = (1, 1) if causal else (keys, 0)
    given = constant_input(node, 3)
    if given is None:
        return Mask(limit, step)
    added = _units(given)
    added = np.broadcast_to(added.reshape((1,) * (4 - added.ndim) + added.shape), _spread(added.shape, queries, keys))
    added = added[0]
    if (added == added[:, :1]).all():
        added = added[:, :1]
    hidden = added[0, 0] == INT16.lo
    seen = int(keys - hidden.sum())
    if len(added) == 1 and added.shape[1] == 1 and not causal and not added[0, 0, :seen].any() and hidden[seen:].all():
        return Mask(seen)
    return Mask(limit, step, np.ascontiguousarray(added))


def _spread(shape: tuple[int, ...], queries: int, keys: int) -> tuple[int, ...]:
    full = (1,) * (4 - len(shape)) + shape
    return (1, full[1], queries, keys)


def _units(mask: NDArray[Any]) -> NDArray[np.int16]:
    """A mask of truth values or numbers in the unit of logits."""
    if mask.dtype == np.bool_:
        return np.where(mask, 0, INT16.lo).astype(np.int16)
    units = np.clip(np.rint(mask.astype(np.float64) / LOGIT), INT16.lo + 1, INT16.hi)
    return np.where(mask <= _NEVER, INT16.lo, units).astype(np.int16)


SPEC = OpSpec(
    "Attention",
    "For each head K and V into weights (COPY), logits and their maxima (GEMM), exponents (ROW), reciprocals (RECIP), "
    "values (GEMM). Causal masks and padding cost nothing, other masks are added to the logits.",
    rules=(one_batch, operands_are_computed, of_itself, mask_is_constant),
    lower=_lower,
)
