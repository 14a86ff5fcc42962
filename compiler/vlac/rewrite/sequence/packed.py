"""One Attention node of views of queries, keys and values: heads side by side in the channels, as layers make them.

Repeated heads of keys and values are read once (grouped queries). Of one key alone there is no node: every query gets
its value. Keys and values of earlier runs that the model does not return are a Concat in front: ONNX Runtime computes
no Attention that has them and does not give them back. Not here: where the views come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.masks import Term, join
from vlac.rewrite.sequence.views import View

__all__ = ["Operands", "build"]


@dataclass(frozen=True)
class Operands:
    """What an attention computes with.

    Attributes:
        q: [batch, heads, queries, d].
        k: [batch, heads, keys, d], `v`: [batch, heads, keys, channels of a head]; expanded where heads share them.
        scale: of the logits.
        terms: of the mask, over [batch, heads, queries, keys].
        softcap: logits are softcap * tanh(logits / softcap) where it is not 0.
        causal: keys behind a query are masked too, besides the terms.
        past: keys and values of earlier runs [batch, heads of keys, past, d].
        returned: the model returns them with the new ones behind them: the Attention node does.
    """

    q: View
    k: View
    v: View
    scale: float
    terms: list[Term] = field(default_factory=list)
    softcap: float = 0.0
    causal: bool = False
    past: tuple[ir.Value, ir.Value] | None = None
    returned: bool = False


def build(new: Nodes, given: Operands) -> list[ir.Value] | None:
    """The node's results: [batch, queries, heads * channels], and keys and values where they are `returned`; None where
    it cannot be.

    What does not fit leaves `new` with nodes that nobody reads.
    """
    k, v = _ungrouped(given.k), _ungrouped(given.v)
    if k.shape[1] != v.shape[1]:
        k, v = given.k, given.v
    batch, heads, queries, _ = given.q.shape
    past = 0 if given.past is None else int(given.past[0].shape[2])
    total, terms, causal = past + k.shape[2], given.terms, given.causal
    joined = given.past is not None and not given.returned
    if joined and causal:  # of an Attention without a past, the first query sees the first key alone
        terms, causal = [*terms, Term(np.tri(queries, total, past, dtype=bool)[None, None], True)], False
    mask = join(new, terms, (batch, heads, queries, total), 0 if joined else past)
    if mask is not None and mask.value is None and total == 1:
        alone = _packed(new, given.v.expand((batch, heads, queries, given.v.shape[3])))
        return None if alone is None else [alone]
    inputs = [_packed(new, x) for x in (given.q, k, v)]
    if joined:
        inputs[1:] = [_behind(new, old, x) for old, x in zip(given.past or (), inputs[1:], strict=True)]
    if mask is None or None in inputs:
        return None
    attributes = {"q_num_heads": heads, "kv_num_heads": k.shape[1], "scale": given.scale}
    if causal or mask.causal:
        attributes["is_causal"] = 1
    if given.softcap:
        attributes["softcap"] = given.softcap
    outputs: list[tuple[Sequence[int], None]] = [((batch, queries, heads * v.shape[3]), None)]
    if mask.value is not None or given.returned:
        inputs.append(mask.value)
    if given.past is not None and given.returned:
        inputs += given.past
        outputs += [((batch, x.shape[1], total, x.shape[3]), None) for x in (k, v)]
    return new.several("Attention", inputs, outputs, attributes)


def _behind(new: Nodes, old: ir.Value, packed: ir.Value | None) -> ir.Value | None:
    """New keys or values behind those of earlier runs, [batch, keys, heads * channels]."""
    before = _packed(new, View.whole(old))
    if before is None or packed is None:
        return None
    batch, length, width = shape_of(packed)
    return new.add("Concat", [before, packed], (batch, shape_of(before)[1] + length, width), {"axis": 1})


def _ungrouped(view: View) -> View:
    """Without copies of one head beside each other."""
    batch, heads, *rest = view.axes
    if heads and heads[-1][1] == 0:
        return View(view.root, view.offset, (batch, heads[:-1], *rest))
    return view


def _packed(new: Nodes, view: View) -> ir.Value | None:
    batch, heads, length, d = view.shape
    packed = view.transpose((0, 2, 1, 3)).reshape((batch, length, heads * d))
    return None if packed is None else emit(new, packed)
