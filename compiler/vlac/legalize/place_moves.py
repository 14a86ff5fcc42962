"""Channel maps of choices of channels and of copies: which bytes can be read as they lie, which must be moved first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlac.device.conv import ConvOp
from vlac.device.copy import CopyOp
from vlac.device.gemm import GemmOp
from vlac.device.matrix import zero_one
from vlac.device.select import SelectOp
from vlac.ir.graph import Graph
from vlac.legalize.lanes import padded_lanes, settle

__all__ = ["forward_copy", "forward_select", "preset_copy"]

I64 = NDArray[np.int64]


# --- choices of channels --------------------------------------------------------------------------------


def forward_select(graph: Graph, op: SelectOp, block: int) -> None:
    """Read the input's bytes under other channel numbers, or make the choice a 0/1 matrix.

    The bytes stay where all of the chosen channels fill the blocks they lie in, or where a single convolution
    reads them (zero weights for the others cost no more than the matrix would).
    """
    x, out = op.inputs[0], op.output
    lanes, channels = x.lane_map(), op.channels
    renamed = np.full(x.c, -1, np.int64)
    kept = channels >= 0
    renamed[channels[kept]] = np.flatnonzero(kept)
    chosen = np.where(lanes < 0, -1, renamed[lanes])
    used = np.flatnonzero((chosen.reshape(-1, block) >= 0).any(axis=1))
    first, end = int(used[0]), int(used[-1]) + 1
    once = bool(kept.all()) and len(np.unique(channels)) == len(channels)
    dense = end - first <= -(-out.c // block)
    alone = len(out.consumers) == 1 and isinstance(out.consumers[0], (ConvOp, GemmOp))
    if once and (dense or alone) and out.parent is None and out.lanes is None:
        out.parent, out.offset = x, first
        out.lanes = chosen[first * block : end * block]
        return
    graph.replace_op(op, zero_one(op.node, op.op_type, x, out, channels, op.fill))
    out.lanes = padded_lanes(out.c, block) if out.lanes is None else out.lanes


# --- copies of words ------------------------------------------------------------------------------------


def _wanted(parts: list[I64], block: int) -> tuple[I64, list[int]]:
    """A channel map in which every part starts on a block, and their first blocks."""
    maps = [_numbered(p, padded_lanes(len(p), block)) for p in parts]
    starts = np.cumsum([0, *(len(m) // block for m in maps)])
    return np.concatenate(maps), [int(s) for s in starts[:-1]]


def _numbered(channels: I64, lanes: I64) -> I64:
    return np.where(lanes < 0, -1, channels[lanes])


def _found(lanes: I64, parts: list[I64], block: int) -> list[int] | None:
    """The first block of each part in a channel map, where each lies in order from the start of a block."""
    starts = []
    for part in parts:
        at = np.flatnonzero(lanes == part[0])
        if len(at) != 1 or at[0] % block or not np.array_equal(lanes[at[0] : at[0] + len(part)], part):
            return None
        starts.append(int(at[0]) // block)
    return starts


def preset_copy(graph: Graph, op: CopyOp, block: int) -> None:
    """Let a convolution or product that only this copy reads write its channels in the order the copy needs."""
    for x, parts in zip(op.inputs, op.in_parts, strict=True):
        maker = x.producer
        free = isinstance(maker, GemmOp) or (isinstance(maker, ConvOp) and maker.residual is None)
        lone = len(x.consumers) == 1 and x.parent is None and x.lanes is None and not graph.is_output(x)
        if parts is not None and free and lone and _found(padded_lanes(x.c, block), parts, block) is None:
            x.lanes = _wanted(parts, block)[0]


def forward_copy(graph: Graph, op: CopyOp, block: int) -> None:
    """Find the parts in the inputs' channel maps, reordering inputs where they do not lie so; set the output's map."""
    maps: list[list[I64]] = []  # of each part of each input: positions in it, -1 for padding
    for number, parts in enumerate(op.in_parts):
        if parts is None:
            settle(graph, op, number, op.inputs[0].lane_map())
            maps.append([op.inputs[0].lane_map()])
            op.in_starts.append([0])
            continue
        starts = _found(op.inputs[number].lane_map(), parts, block)
        if starts is None:
            lanes, starts = _wanted(parts, block)
            settle(graph, op, number, lanes)
        maps.append([padded_lanes(len(p), block) for p in parts])
        op.in_starts.append(starts)
    placed: list[I64] = []
    for target, channels in enumerate(op.out_parts):
        feeding = [maps[p.source][p.part] for p in op.pieces if p.target == target]
        part = feeding[0] if feeding else padded_lanes(len(channels), block)
        placed.append(_numbered(channels, part))
        op.out_starts.append(sum(op.out_blocks))
        op.out_blocks.append(len(part) // block)
    op.output.lanes = np.concatenate(placed)
