"""Attention: products, exponents and sums on the device, masks as limits or as what is added to logits.

Each of a batch is an attention of its own. Keys and values of earlier runs are joined with the new ones.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ir.operation import Tensor
from vlac.lowering.attention import Attention, Mask, lower_attention
from vlac.lowering.computed_mask import computed_mask
from vlac.lowering.context import LoweringContext
from vlac.lowering.host_graph import is_of_inputs
from vlac.lowering.softcap import LARGEST_CAP, MASK_UNIT
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.exponent_form import exponent_form
from vlac.model.labels import node_label
from vlac.model.mask_structure import LOGIT, mask_structure, past_length
from vlac.model.reading import attribute, input_name, is_constant, shape_of

__all__ = ["SPEC"]


def of_known_sizes(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Q, K and V must be of rank 3 or 4, with 2 keys or more where there is a mask."""
    shapes = [shape_of(v) for v in node.inputs[:3]]
    ok = all(len(s) in (3, 4) for s in shapes)
    ok = ok and past_length(node) + shapes[1][-2] > 1
    return RuleResult(ok, " and ".join(str(list(s)) for s in shapes))


def of_itself(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It may have a cap of its logits of at most 127, no lengths of keys, and no result that is read but Y and the
    present keys and values.
    """
    found = ["nonpad_kv_seqlen"] if _given(node, 6) else []
    found += [] if 0 <= _cap(node) <= LARGEST_CAP else [f"softcap {_cap(node):g}"]
    found += [f"result '{v.name}'" for v in node.outputs[3:] if _is_read(v)]
    return RuleResult(not found, " and ".join(found))


def keys_are_computed(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """K must be computed, and so must V where there are past values."""
    found = [f"constant {'QKV'[i]} {input_name(node, i)}" for i in (1, 2) if is_constant(node.inputs[i])]
    return RuleResult(not found or (not is_constant(node.inputs[1]) and not _given(node, 5)), " and ".join(found))


def mask_is_known(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The mask must be a constant, or computed of the model's inputs alone, by functions that the host has."""
    ok = not _given(node, 3) or is_of_inputs(node.inputs[3])
    return RuleResult(ok, "" if ok else f"computed mask {input_name(node, 3)}")


def _given(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _cap(node: ir.Node) -> float:
    return float(attribute(node, "softcap", 0.0))


def _is_read(value: ir.Value) -> bool:
    return bool(value.consumers()) or value.is_graph_output()


def _lower(low: LoweringContext, node: ir.Node) -> None:
    heads, key_heads = _head_counts(node)
    q = _packed(low, node, 0)
    k, v = (_with_past(low, node, i) for i in (1, 2))
    out = low.result(node)
    batch, queries = batch_of(node), shape_of(node.inputs[0])[-2]
    keys, width = k.w // batch, heads * (v.c // key_heads)
    four = len(out.tensor.shape) == 4
    target = out.tensor.like(f"{out.tensor.name}:packed", shape=(batch, queries, width)) if four else out.tensor
    scale = float(attribute(node, "scale", None) or 1 / math.sqrt(q.c // heads))
    form = exponent_form(node, keys)
    results = []
    for number in range(batch):
        a, b, c = (_of_batch(low, node, x, number, batch) for x in (q, k, v))
        name = f"{target.name}:batch{number}"
        one = target if batch == 1 else target.like(name, label=f"{target.label}:{number}", shape=(1, queries, width))
        mask = _mask(low, node, (heads, queries, keys), number)
        lower_attention(low, node, out.label, Attention(a, b, c, one, heads, key_heads, scale, mask, form, _cap(node)))
        results.append(one)
    if batch > 1:
        low.layout(node, results, np.arange(math.prod(target.shape)), target)
    if four:
        index = np.arange(math.prod(target.shape)).reshape(batch, queries, heads, -1).transpose(0, 2, 1, 3).reshape(-1)
        low.layout(node, [target], index, out.tensor)


def _of_batch(low: LoweringContext, node: ir.Node, x: Tensor, number: int, batch: int) -> Tensor:
    """The pixels of one of the batch."""
    if batch == 1:
        return x
    length = x.w // batch
    size = length * x.c
    out = x.like(f"{x.name}:batch{number}", shape=(1, length, x.c))
    return low.layout(node, [x], np.arange(number * size, (number + 1) * size), out)


def _with_past(low: LoweringContext, node: ir.Node, index: int) -> Tensor:
    """Keys or values, behind those of earlier runs where there are any, which the node then returns."""
    x = _packed(low, node, index)
    at = index + 3
    if not _given(node, at):
        return x
    present = node.outputs[index] if index < len(node.outputs) and _is_read(node.outputs[index]) else None
    result = None if present is None else low.result(node, index)
    old = _packed(low, node, at)
    like = old if result is None else result.tensor
    batch, d = batch_of(node), x.c
    parts = []
    for part in (old, x):
        fitting = part
        if not part.same_scale(like):
            fitting = like.like(f"{part.name}:scaled{index}", label=part.label, shape=part.shape)
            low.requantized(part, fitting, node_label(node), node.op_type)
        parts.append(fitting)
    numbers = [np.arange(p.w * d).reshape(batch, -1, d) for p in parts]
    whole = np.concatenate([numbers[0], numbers[0].size + numbers[1]], axis=1)
    name = f"{x.name}:joined"
    joined = low.layout(node, parts, whole.reshape(-1), like.like(name, label=x.label, shape=whole.shape))
    if result is not None:
        heads = _head_counts(node)[1]
        moved = np.arange(whole.size).reshape(batch, -1, heads, d // heads).transpose(0, 2, 1, 3).reshape(-1)
        low.layout(node, [joined], moved, result.tensor)
    return joined


def batch_of(node: ir.Node) -> int:
    """How many attentions a node is."""
    return shape_of(node.inputs[0])[0]


def _head_counts(node: ir.Node) -> tuple[int, int]:
    q, k = (shape_of(v) for v in node.inputs[:2])
    if len(q) == 4:
        return q[1], k[1]
    return int(attribute(node, "q_num_heads", 1)), int(attribute(node, "kv_num_heads", 1))


def _packed(low: LoweringContext, node: ir.Node, index: int) -> Tensor:
    """An operand as [batch, pixels, heads * d]."""
    x = low.operand(node, index)
    shape = shape_of(node.inputs[index])
    if len(shape) == 3:
        return x
    batch, heads, length, d = shape
    out = x.like(f"{x.name}:packed", shape=(batch, length, heads * d))
    moved = np.arange(math.prod(shape)).reshape(shape).transpose(0, 2, 1, 3).reshape(-1)
    return low.layout(node, [x], moved, out)


def _mask(low: LoweringContext, node: ir.Node, sizes: tuple[int, int, int], number: int) -> Mask:
    """The mask of attention `number` of the batch; sizes are heads, queries and keys."""
    found = mask_structure(node, number)
    unit = MASK_UNIT if _cap(node) else LOGIT
    computed = () if found.computed is None else computed_mask(low, found.computed, sizes, number, unit)
    return Mask(found.limit, found.limit_step, found.constant, computed)


SPEC = OpSpec(
    "Attention",
    "For each head K and V into weights (COPY), logits and their maxima (GEMM), exponents (ROW), reciprocals (RECIP), "
    "values (GEMM). Causal masks and padding at the end cost nothing, other masks are added to the logits; a "
    "computed one comes from the host. A cap of the logits takes ROW and REDUCE more, and adds any mask. Past keys and "
    "values lie in front of the new ones: COPY.",
    rules=(of_known_sizes, keys_are_computed, of_itself, mask_is_known),
    lower=_lower,
)
