"""Realize rearrangements: each chain of layout operations becomes what the machine does cheapest.

In this order: groups of channels as rows of a norm; the host packs a model input or unpacks an output that way;
nothing, where the bytes already lie so; a View between image and vector; a choice of channels; the exchange of pixels
and channels; copies of words; and for small tensors of int8 a product with a 0/1 matrix. A chain is first tried as one
rearrangement and then, where that fails, step by step.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.copy import CopyOp
from vlac.device.group_rows import GroupRowsOp, regroups
from vlac.device.layout_op import LayoutOp
from vlac.device.matrix import zero_one
from vlac.device.reduce import ReduceOp
from vlac.device.row import RowOp
from vlac.device.select import SelectOp
from vlac.device.to_weights import TransposeOp
from vlac.device.view import View
from vlac.errors import UnsupportedError
from vlac.ir.graph import Alias, Graph
from vlac.ir.operation import Op, Tensor
from vlac.legalize.compose import composed, is_permutation, used
from vlac.legalize.match import MAX_PIECES, Copies, channel_choice, grid_of, match_copies
from vlac.legalize.prune import prune
from vlac.legalize.reorder import can_pack_chain, pack_chain, reorder

__all__ = ["realize_layout_ops"]

I64 = NDArray[np.int64]
_MATRIX = 1024  # largest vector that a 0/1 matrix rearranges


@dataclass(frozen=True)
class _Moves:
    """What a rearrangement is: a choice of channels, pixels and channels exchanged, copies, or none of them."""

    channels: I64 | None = None
    is_transpose: bool = False
    copies: Copies | None = None


_Known = dict[tuple[object, ...], _Moves]  # of rearrangements that were looked at: those of alike layers are equal


def realize_layout_ops(graph: Graph, hw: HardwareConfig) -> None:
    """Replace every LayoutOp that somebody reads.

    Raises:
        UnsupportedError: all rearrangements that the machine cannot do.
    """
    reasons: dict[str, str] = {}
    known: _Known = {}
    for op in list(graph.ops):
        read = graph.is_output(op.output) or any(not isinstance(c, LayoutOp) for c in op.output.consumers)
        if isinstance(op, LayoutOp) and read and op.output.producer is op and not _realize(graph, op, hw, known):
            x = op.inputs[0]
            reasons[op.node] = (
                f"{op.op_type} '{op.node}': {list(x.shape)} -> {list(op.output.shape)} moves data between pixels and "
                "channels; supported are flattening, the exchange of pixels of one row and channels, choices of "
                f"channels, moves of pixels in at most {MAX_PIECES} pieces, any order of axes at the model's inputs "
                f"and outputs, and any move of at most {_MATRIX} values, int8"
            )
    if reasons:
        raise UnsupportedError(reasons.values(), nodes=reasons)
    for op in graph.ops:  # steps of a chain that was realized as a whole
        if isinstance(op, LayoutOp):
            graph.aliases.append(Alias(op.output, op.inputs, op.index, op.fill))
    prune(graph)


def _realize(graph: Graph, op: LayoutOp, hw: HardwareConfig, known: _Known) -> bool:
    """Replace one LayoutOp; False where the machine cannot do it."""
    inputs, index, fill = composed(op)
    kept = next((t.producer for t in inputs if isinstance(t.producer, LayoutOp)), None)
    if kept is not None:  # a step that fills with another value
        return _realize(graph, kept, hw, known) and _realize(graph, op, hw, known)
    steps = [t.producer for t in op.inputs if isinstance(t.producer, LayoutOp)]
    shared = next((s for s in steps if len(s.output.consumers) > 1 and can_pack_chain(graph, s)), None)
    if shared is not None:  # free for all of its readers
        pack_chain(graph, shared)
        return _realize(graph, op, hw, known)
    if _regrouped(graph, op, inputs, index, hw) or _reordered(graph, op, inputs, index):
        return True
    packable = next((s for s in steps if can_pack_chain(graph, s)), None)
    if packable is not None:
        pack_chain(graph, packable)
        return _realize(graph, op, hw, known)
    if _try(graph, op, inputs, index, fill, hw, known):
        return True
    for t in list(op.inputs):
        if isinstance(t.producer, LayoutOp) and not _realize(graph, t.producer, hw, known):
            return False
    return _try(graph, op, op.inputs, op.index, op.fill, hw, known)


def _try(
    graph: Graph, op: LayoutOp, inputs: list[Tensor], index: I64, fill: int, hw: HardwareConfig, known: _Known
) -> bool:
    """Realize `op` as one rearrangement of `inputs`, or leave everything as it is."""
    inputs, index = used(inputs, index)
    if _reordered(graph, op, inputs, index):
        return True
    out = op.output
    key = (*((t.shape, t.h, t.w, t.c) for t in (*inputs, out)), hashlib.sha256(index.data).digest())
    if key not in known:
        known[key] = _moves(inputs, index, out)
    moves = known[key]
    if moves.channels is not None:
        graph.replace_op(op, SelectOp(op.node, op.op_type, inputs, out, moves.channels, fill))
        return True
    if moves.is_transpose:
        graph.replace_op(op, TransposeOp(op.node, op.op_type, inputs, out))
        return True
    if (copies := moves.copies) is not None:
        parts = [*copies.in_parts], [*copies.out_parts], [*copies.pieces], fill if copies.is_filled else None
        graph.replace_op(op, CopyOp(op.node, op.op_type, inputs, out, *parts))
        return True
    if len(inputs) == 1 and out.planes == 1 and max(len(index), math.prod(inputs[0].shape)) <= _MATRIX:
        _multiplied(graph, op, inputs[0], index, fill)
        return True
    return False


def _moves(inputs: list[Tensor], index: I64, out: Tensor) -> _Moves:
    """From shapes and numbers alone."""
    grid = grid_of(inputs, index, out)
    if len(inputs) == 1:
        channels = channel_choice(grid, inputs[0], out)
        if channels is not None:
            return _Moves(channels=channels)
        if _is_transpose(inputs[0], out, index):
            return _Moves(is_transpose=True)
    return _Moves(copies=match_copies(grid, inputs, out))


def _is_transpose(x: Tensor, out: Tensor, index: I64) -> bool:
    """Whether pixels of one row and channels change places."""
    if (x.h, out.h) != (1, 1) or (x.w, x.c) != (out.c, out.w) or min(x.w, x.c) == 1:
        return False
    return np.array_equal(out.to_hwc(index)[0], x.to_hwc(np.arange(len(index)))[0].T)


def _regrouped(graph: Graph, op: LayoutOp, inputs: list[Tensor], index: I64, hw: HardwareConfig) -> bool:
    """Realize `op` between an image and rows of a norm; False where it is something else."""
    near = [inputs[0].producer, *op.output.consumers]
    if len(inputs) > 1 or not any(isinstance(o, ReduceOp | RowOp) for o in near):
        return False
    if not regroups(index, inputs[0], op.output, hw):
        return False
    graph.replace_op(op, GroupRowsOp(op.node, op.op_type, inputs, op.output))
    return True


def _reordered(graph: Graph, op: LayoutOp, inputs: list[Tensor], index: I64) -> bool:
    """Realize `op` without an instruction where it only changes an order; False where something is left to do."""
    return len(inputs) == 1 and is_permutation(index, inputs[0]) and reorder(graph, op, inputs[0], index)


# --- by a 0/1 matrix ------------------------------------------------------------------------------------


def _multiplied(graph: Graph, op: LayoutOp, x: Tensor, index: I64, fill: int) -> None:
    """Flatten, multiply by a 0/1 matrix, and read the product in the output's shape."""
    new: list[Op] = []

    def vector(name: str, size: int) -> Tensor:
        return x.like(f"{op.output.name}:{name}", label=op.output.label, shape=(1, size))

    source, target = x, op.output
    if not x.is_vector:
        source = vector("flat", math.prod(x.shape))
        new.append(View(op.node, op.op_type, [x], source))
    if not target.is_vector:
        target = vector("moved", len(index))
    new.append(zero_one(op.node, op.op_type, source, target, index, fill))
    if target is not op.output:
        new.append(View(op.node, op.op_type, [target], op.output))
    graph.replace_op(op, *new)
