"""Chains of layout operations as one: which element of which tensor each element comes from. Nothing is changed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vlac.device.layout_op import LayoutOp
from vlac.device.view import View
from vlac.ir.operation import Tensor

__all__ = ["composed", "is_permutation", "used"]

I64 = NDArray[np.int64]


def composed(op: LayoutOp | View) -> tuple[list[Tensor], I64, int]:
    """The whole chain behind an operation as one rearrangement; one fill value at most."""
    fill = op.fill if isinstance(op, LayoutOp) else 0
    parts: list[tuple[list[Tensor], I64]] = []
    has_fill = isinstance(op, LayoutOp) and bool((op.index < 0).any())
    for t in op.inputs:
        size = math.prod(t.shape)
        part: tuple[list[Tensor], I64] = ([t], np.arange(size))
        if isinstance(t.producer, (LayoutOp, View)):
            sources, index, other = composed(t.producer)
            filled = bool((index < 0).any())
            if not (filled and has_fill and other != fill):
                part = (sources, index)
                fill, has_fill = (other, True) if filled else (fill, has_fill)
        parts.append(part)
    inputs: list[Tensor] = []
    tables = []
    for sources, index in parts:
        start = np.concatenate([[0], np.cumsum([math.prod(s.shape) for s in sources])])
        local = np.searchsorted(start, index, side="right") - 1
        bases = []
        for s in sources:
            if s not in inputs:
                inputs.append(s)
            bases.append(sum(math.prod(k.shape) for k in inputs[: inputs.index(s)]))
        shift = np.array([*bases, 0]) - start
        tables.append(np.where(index < 0, -1, index + shift[local]))
    table = np.concatenate(tables)
    own = op.index if isinstance(op, LayoutOp) else (np.arange(len(table)) if op.order is None else op.order)
    return inputs, np.where(own < 0, -1, table[own]), fill


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
