"""Chains of layout operations as one: which element of which tensor each element comes from. Nothing is changed."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from vlac.device.layout_op import LayoutOp
from vlac.device.view import View
from vlac.ir.operation import Tensor

__all__ = ["composed", "is_permutation", "used"]

I64 = NDArray[np.int64]


def composed(op: LayoutOp | View, wanted: I64 | None = None) -> tuple[list[Tensor], I64, int]:
    """The whole chain behind an operation as one rearrangement; one fill value at most.

    Args:
        op: the last one of the chain.
        wanted: elements of its output; all of them when None. A slice of a large tensor follows its own elements only.
    """
    fill = op.fill if isinstance(op, LayoutOp) else 0
    own = _own(op) if wanted is None else _own(op)[wanted]
    has_fill = bool((own < 0).any())
    inputs: list[Tensor] = []
    found, start = np.full_like(own, -1), 0
    for t in op.inputs:
        size = math.prod(t.shape)
        here: I64 | slice = slice(None)
        if len(op.inputs) == 1 and not has_fill:
            local = own
        else:
            here = np.flatnonzero((own >= start) & (own < start + size))
            local = own[here] - start
        start += size
        part: tuple[list[Tensor], I64] = ([t], local)
        if isinstance(t.producer, (LayoutOp, View)):
            sources, index, other = composed(t.producer, local)
            filled = bool((index < 0).any())
            if not (filled and has_fill and other != fill):
                part = (sources, index)
                fill, has_fill = (other, True) if filled else (fill, has_fill)
        found[here] = _among(inputs, *part)
    return inputs, found, fill


def _own(op: LayoutOp | View) -> I64:
    """Which element of its inputs, one behind another, each element of its output is."""
    order = op.index if isinstance(op, LayoutOp) else op.order
    return np.arange(sum(math.prod(t.shape) for t in op.inputs)) if order is None else order


def _among(inputs: list[Tensor], sources: list[Tensor], index: I64) -> I64:
    """Elements of `sources` as those of `inputs`, which get the sources that are new."""
    inputs += [s for s in dict.fromkeys(sources) if s not in inputs]
    starts = dict(zip(inputs, accumulate([math.prod(t.shape) for t in inputs], initial=0), strict=False))
    if len(sources) == 1:
        return index if starts[sources[0]] == 0 else np.where(index < 0, -1, index + starts[sources[0]])
    first = np.array([0, *accumulate(math.prod(s.shape) for s in sources)])
    shift = np.array([*(starts[s] for s in sources), 0]) - first
    return np.where(index < 0, -1, index + shift[np.searchsorted(first, index, side="right") - 1])


def used(inputs: list[Tensor], index: I64) -> tuple[list[Tensor], I64]:
    """Without the inputs that no element comes from (one is kept)."""
    kept: list[Tensor] = []
    parts = np.full_like(index, -1)
    start = base = 0
    for t in inputs:
        size = math.prod(t.shape)
        here = (index >= start) & (index < start + size)
        if here.any() or (t is inputs[-1] and not kept):
            parts[here] = index[here] - start + base
            kept.append(t)
            base += size
        start += size
    return kept, parts


def is_permutation(index: I64, x: Tensor) -> bool:
    """Whether every element of `x` comes once."""
    return len(index) == math.prod(x.shape) and bool((np.bincount(index + 1, minlength=1 + len(index))[1:] == 1).all())
