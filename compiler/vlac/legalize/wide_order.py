"""Channels of an int16 tensor in another order: pixels and channels change places, pixels are copied, and back.

A product with a 0/1 matrix, which does the same for int8, reads no int16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlac.device.copy import CopyOp
from vlac.device.to_weights import TransposeOp
from vlac.ir.channel_maps import padded_map
from vlac.ir.operation import Op, Placer, Tensor
from vlac.legalize.match import grid_of, match_copies

__all__ = ["wide_order"]

I64 = NDArray[np.int64]


def wide_order(node: str, op_type: str, x: Tensor, out: Tensor, channels: I64, placer: Placer) -> list[Op] | None:
    """Placed operations after which channel i of `out`, of one row, is channel `channels[i]` of `x`, in plain order.

    None where they would be too many, or where a channel is none of `x`. A vector is made two pixels before, as the
    transposer writes whole blocks of pixels.
    """
    if x.h != 1 or (channels < 0).any():
        return None
    if x.is_vector:
        two, moved = (t.like(f"{out.name}:{n}", shape=(1, 2, t.c)) for t, n in ((x, "twice"), (out, "moved")))
        before = _copy(node, op_type, x, two, np.tile(np.arange(x.c), 2), placer)
        middle = wide_order(node, op_type, two, moved, channels, placer)
        after = None if middle is None else _copy(node, op_type, moved, out, np.arange(out.c), placer)
        return None if before is None or middle is None or after is None else [before, *middle, after]
    positions = x.known_map()
    where = np.full(x.c, -1)
    where[positions[positions >= 0]] = np.flatnonzero(positions >= 0)
    turned = x.like(f"{out.name}:turned", shape=(1, len(positions), x.w))
    picked = x.like(f"{out.name}:picked", shape=(1, out.c, x.w))
    turned.channel_map = padded_map(x.w, placer.block)
    index = (where[channels][:, None] * x.w + np.arange(x.w)).reshape(-1)
    move = _copy(node, op_type, turned, picked, index, placer)
    if move is None:
        return None
    back = TransposeOp(node, op_type, [picked], out)
    back.place(placer)
    return [TransposeOp(node, op_type, [x], turned, positions), move, back]


def _copy(node: str, op_type: str, x: Tensor, out: Tensor, index: I64, placer: Placer) -> CopyOp | None:
    """Pixels as they lie; element i of `out` is element `index[i]` of `x`."""
    copies = match_copies(grid_of([x], index, out), [x], out)
    if copies is None:
        return None
    op = CopyOp(node, op_type, [x], out, copies.in_parts, copies.out_parts, copies.pieces, None)
    op.place(placer)
    return op
