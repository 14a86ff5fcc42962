"""What the mask of an Attention node is to the machine: a limit of keys, and what is added to the logits.

limit, limit_step   key j of query i counts where j < limit + limit_step * i (the logits' GEMM knows it for free)
added               none, one row for all queries, or a tensor; without what the limit masks already

Constants are in the device's integers, so that what rounds to nothing costs nothing. These reach 128 nat: where the
largest number of a row is far from 0 (ALiBi by key positions), it is taken from the row, which no share of a softmax
depends on.
Not here: how a computed mask comes to the device (`lowering/computed_mask.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT16
from vlac.model.reading import attribute, constant, shape_of

__all__ = ["LOGIT", "NEVER", "MaskStructure", "mask_structure", "past_length", "without_row_maxima"]

LOGIT = 1 / 256  # nat, the unit of logits
NEVER = -1e4  # a mask of so much, and less, is one that hides: exp is 0 there beside any logit of a network
_FAR = 8.0  # nat; up to it there is room enough for logits
_NONE = INT16.lo  # the integer of a masked key
I16 = NDArray[np.int16]


@dataclass(frozen=True)
class MaskStructure:
    """A mask over the keys of one of a batch.

    Attributes:
        limit: of the first query; the number of keys where no limit is.
        limit_step: 0 or 1, by which it grows with each query.
        constant: what is added besides, [H or 1, Sq or 1, keys] in units of LOGIT, -32768 is never; None where nothing
            is.
        computed: a value of 4 axes or fewer that depends on the model's inputs: truth values, or what is added.
    """

    limit: int
    limit_step: int
    constant: I16 | None = None
    computed: ir.Value | None = None

    @property
    def kind(self) -> str:
        """What is added: "none", "row" or "tensor"."""
        shape = shape_of(self.computed) if self.constant is None else self.constant.shape
        if not shape:
            return "none"
        return "row" if shape[-2:-1] in ((), (1,)) else "tensor"


def mask_structure(node: ir.Node, number: int = 0) -> MaskStructure:
    """The structure of an Attention node's mask.

    Args:
        node: its Q, K and V are of rank 3 or 4.
        number: of the attention in the batch.
    """
    past = past_length(node)
    queries, keys = shape_of(node.inputs[0])[-2], past + shape_of(node.inputs[1])[-2]
    causal = bool(attribute(node, "is_causal", 0))
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    given = constant(mask)
    if given is None:
        limits = (past + 1, 1) if causal else (keys, 0)
        return MaskStructure(*limits, computed=None if mask is None else _row(mask))
    given = given.reshape((1,) * (4 - given.ndim) + given.shape)
    given = np.broadcast_to(given[number if len(given) > 1 else 0], (given.shape[1], queries, keys))
    seen = np.tri(queries, keys, past, dtype=bool) if causal else np.ones((queries, keys), bool)
    units = np.where(seen, _logit_units(given, seen), np.int16(_NONE))
    return min((_rest(units, *limits) for limits in _limits(units)), key=_cost)


def past_length(node: ir.Node) -> int:
    """Keys of earlier runs."""
    return shape_of(node.inputs[4])[-2] if len(node.inputs) > 4 and node.inputs[4] is not None else 0


def _logit_units(mask: NDArray[np.generic], seen: NDArray[np.bool_]) -> I16:
    """A mask of truth values or numbers over keys that are seen in units of LOGIT; NEVER and less is -32768."""
    if mask.dtype == np.bool_:
        return np.where(mask, 0, _NONE).astype(np.int16)
    real = mask.astype(np.float64)
    hides = real <= NEVER
    real = without_row_maxima(np.where(seen, real, -np.inf))
    units = np.clip(np.rint(real / LOGIT), _NONE + 1, INT16.hi)
    return np.where(hides, _NONE, units).astype(np.int16)


def without_row_maxima(mask: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mask [..., keys] less the largest that counts of each row, where one of these is far from 0."""
    counts = mask > NEVER
    largest = np.where(counts, mask, -np.inf).max(axis=-1, keepdims=True)
    largest = np.where(counts.any(axis=-1, keepdims=True), largest, 0)
    return mask - largest if np.abs(largest).max() > _FAR else mask


def _row(mask: ir.Value) -> ir.Value:
    """The value in front of an Expand over the queries."""
    node = mask.producer()
    row = None if node is None or node.op_type != "Expand" else node.inputs[0]
    return mask if row is None or shape_of(row)[-2:-1] != (1,) else row


def _limits(units: I16) -> list[tuple[int, int]]:
    """The tightest limits that mask nothing that counts: the one that masks more first."""
    queries, keys = units.shape[1:]
    seen = (units != _NONE).any(axis=0)
    counts = [int(np.flatnonzero(row).max(initial=-1)) + 1 for row in seen]
    flat = max(counts)
    growing = max(0, *(n - i for i, n in enumerate(counts)))
    grown = sum(max(keys - growing - i, 0) for i in range(queries))
    found = [(flat, 0), (growing, 1)]
    inside = growing + queries - 1 <= keys  # else it takes two packets
    return found[::-1] if queries > 1 and inside and grown > (keys - flat) * queries else found


def _cost(mask: MaskStructure) -> int:
    """Less is cheaper: nothing, a row, a tensor."""
    return ("none", "row", "tensor").index(mask.kind)


def _rest(units: I16, limit: int, step: int) -> MaskStructure:
    """The mask with a limit: what is added to the logits that the limit leaves."""
    queries, keys = units.shape[1:]
    inside = np.arange(keys) < (limit + step * np.arange(queries))[:, None]
    kept = np.where(inside, units, np.int16(0))
    if not kept.any():
        return MaskStructure(limit, step)
    if (kept == kept[:1]).all():
        kept = kept[:1]
    same = np.where(inside, kept, np.int16(_NONE)).max(axis=1, keepdims=True)
    alike = bool((np.where(inside, kept, same) == same).all())
    return MaskStructure(limit, step, np.ascontiguousarray(same if alike else kept))
