"""What the mask of an Attention node is to the machine: a limit of keys, and what is added to the logits.

limit, limit_step   key j of query i counts where j < limit + limit_step * i (the logits' GEMM knows it for free)
added               none, one row for all queries, or a tensor; without what the limit masks already
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.sequence.masks import NEVER

__all__ = ["MaskStructure", "mask_structure"]

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class MaskStructure:
    """A mask over `keys` keys.

    Attributes:
        limit: of the first query; `keys` where no limit is.
        limit_step: 0 or 1, by which it grows with each query.
        constant: what is added besides, [B or 1, H or 1, Sq or 1, keys], -inf is never; None where nothing is.
        computed: a value of these shapes that depends on the model's inputs: truth values, or what is added.
    """

    limit: int
    limit_step: int
    constant: F32 | None = None
    computed: ir.Value | None = None

    @property
    def kind(self) -> str:
        """What is added: "none", "row" or "tensor"."""
        shape = shape_of(self.computed) if self.constant is None else self.constant.shape
        if not shape:
            return "none"
        return "row" if shape[-2] == 1 else "tensor"


def mask_structure(node: ir.Node) -> MaskStructure:
    """The structure of an Attention node's mask."""
    queries = shape_of(node.inputs[0])[1]
    past = shape_of(node.inputs[4])[2] if len(node.inputs) > 4 and node.inputs[4] is not None else 0
    keys = past + shape_of(node.inputs[1])[1]
    causal = bool(attribute(node, "is_causal", 0))
    limit, step = (past + 1, 1) if causal else (keys, 0)
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    if mask is None:
        return MaskStructure(limit, step)
    array = constant(mask)
    if array is None:
        return MaskStructure(limit, step, computed=_row(mask))
    added = np.where(array, 0.0, -np.inf) if array.dtype == bool else array
    if not causal:
        limit, step = _limit(added, queries, keys)
    return MaskStructure(limit, step, _rest(added, limit, step, queries))


def _row(mask: ir.Value) -> ir.Value:
    """The value in front of an Expand over the queries."""
    node = mask.producer()
    row = None if node is None or node.op_type != "Expand" else node.inputs[0]
    return mask if row is None or shape_of(row)[-2:-1] != (1,) else row


def _limit(added: NDArray[np.floating], queries: int, keys: int) -> tuple[int, int]:
    """The tightest limit that masks nothing that counts: one that grows where that masks more."""
    whole = np.broadcast_to(added > NEVER, (*added.shape[:2], queries, keys))
    counts = [int(np.flatnonzero(whole[:, :, i].any(axis=(0, 1))).max(initial=-1)) + 1 for i in range(queries)]
    flat = max(counts)
    growing = max(1, *(n - i for i, n in enumerate(counts)))
    grown = sum(max(keys - growing - i, 0) for i in range(queries))
    return (growing, 1) if queries > 1 and grown > (keys - flat) * queries else (flat, 0)


def _rest(added: NDArray[np.floating], limit: int, step: int, queries: int) -> F32 | None:
    """What is added to the logits that a limit leaves; None where that is nothing."""
    keys = added.shape[-1]
    inside = np.arange(keys) < (limit + step * np.arange(queries))[:, None]
    kept = np.where(inside, added, 0.0).astype(np.float32)
    if not kept.any():
        return None
    rows = np.where(inside, kept, np.nan)
    with np.errstate(invalid="ignore"):
        same = np.nanmax(rows, axis=-2, initial=-np.inf, keepdims=True)
        alike = np.where(inside, rows, same) == same
    whole = bool(alike.all()) and bool(np.isfinite(same).any())
    return np.asarray(same if whole else kept, np.float32)
