"""Rows that are joined are made where they are read, and rows that are cut off are read where they lie.

Without COPYs: what makes some rows of a Concat writes them there, an input (a prefix of keys) is loaded there, and what
lies elsewhere is copied there; once for all rounds where no round changes it. Where a Concat joins more to what another
one has joined, that is copied as one. A Slice of rows is a part of its input.
Not here: sequences in bands (`rows.py`), which move parts of tensors themselves; channels (`device/concat.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlac.device.bands import JoinOp, PixelSlice
from vlac.device.copy import CopyOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor
from vlac.ir.records import Piece, Run

__all__ = ["joined_rows", "rows_in_place"]

_ROW = Run(0, 1, 0, 1, 1)
_Joined = dict[tuple[Tensor | bytes, ...], Tensor]  # tensors, or constants, and where they lie one behind another


def rows_in_place(graph: Graph, block: int) -> Callable[[], None] | None:
    """Replace the copies of rows of a placed graph; returns what undoes it, None where there is nothing to replace."""
    undone: list[Callable[[], None]] = []
    joined: _Joined = {}
    for op in list(graph.ops):
        if not isinstance(op, CopyOp) or not _moves_rows(op) or graph.is_output(op.output):
            continue
        if len(op.pieces) == 1 and _is_part(op, block):
            undone.append(_sliced(graph, op))
        elif _is_whole(op) and any(t.producer is not None and _made_in_place(graph, t, block) for t in op.inputs):
            undone.append(_joined(graph, op, joined, block))

    def undo() -> None:
        for back in reversed(undone):
            back()

    return undo if undone else None


def joined_rows(op: CopyOp) -> list[tuple[int, Tensor]] | None:
    """Where each input begins in the output, in order, of rows that are joined; None of other copies."""
    if not _moves_rows(op) or not _is_whole(op):
        return None
    return sorted(((p.pixels.out0, op.inputs[p.source]) for p in op.pieces), key=lambda part: part[0])


def _moves_rows(op: CopyOp) -> bool:
    """Whether it moves pixels of matrices alone."""
    matrices = all(t.h == 1 and t.home is Home.MATRIX for t in (*op.inputs, op.output))
    return op.fill is None and matrices and _same_channels(op)


def _same_channels(op: CopyOp) -> bool:
    """Whether it moves all channels of pixels, as they lie."""
    channels = op.output.known_map()
    return len(op.out_parts) == 1 and all(
        len(parts or [0]) == 1 and np.array_equal(t.known_map(), channels)
        for t, parts in zip(op.inputs, op.in_parts, strict=True)
    )


def _is_part(op: CopyOp, block: int) -> bool:
    """Whether its output can be some pixels of its input that follow each other."""
    pixels, out = op.pieces[0].pixels, op.output
    follow = pixels.count == out.w and (pixels.in_step == 1 or out.w == 1)
    alone = out.parent is None and not out.with_items and op.inputs[0].constant is None
    return follow and alone and _is_read_exactly(out, block)


def _is_whole(op: CopyOp) -> bool:
    """Whether it puts its inputs, whole and each once, one behind another."""
    pieces = sorted(op.pieces, key=lambda p: p.pixels.out0)
    if sorted(p.source for p in pieces) != list(range(len(op.inputs))) or len(set(op.inputs)) < len(op.inputs):
        return False
    for p in pieces:
        x, run = op.inputs[p.source], p.pixels
        if (run.in0, run.count) != (0, x.w) or (run.count > 1 and (run.in_step, run.out_step) != (1, 1)):
            return False
    ends = [p.pixels.out0 + p.pixels.count for p in pieces]
    return all(a == b.pixels.out0 for a, b in zip([0, *ends], [*pieces], strict=False)) and ends[-1] == op.output.w


def _is_read_exactly(t: Tensor, block: int) -> bool:
    """Whether nobody touches pixels behind its last one, where others' would be."""
    return all(op.touched_pixels(t, block) == t.w and op.view_of is None for op in t.consumers)


def _made_in_place(graph: Graph, t: Tensor, block: int) -> bool:
    """Whether what makes a tensor can write it somewhere inside another."""
    made = t.producer
    if t.parent is not None or t.with_items or graph.is_output(t) or not _is_read_exactly(t, block):
        return False
    if made is None:  # it is loaded; not what rounds change
        return t in graph.inputs and t.w > 1 and graph.input_labels[t][0] not in graph.carried
    return bool(made.queue) and made.view_of is None and made.touched_pixels(t, block) == t.w


def _sliced(graph: Graph, op: CopyOp) -> Callable[[], None]:
    out, made = op.output, PixelSlice(op.node, op.op_type, op.inputs, op.output)
    out.parent, out.pixel = op.inputs[0], op.pieces[0].pixels.in0
    graph.replace_op(op, made)

    def undo() -> None:
        out.parent, out.pixel = None, 0
        graph.replace_op(made, op)

    return undo


def _joined(graph: Graph, op: CopyOp, joined: _Joined, block: int) -> Callable[[], None]:
    rows = [op.inputs[p.source] for p in sorted(op.pieces, key=lambda p: p.pixels.out0)]
    whole = tuple(t if t.constant is None else t.constant.tobytes() for t in rows)
    known = next((n for n in range(len(rows) - 1, 1, -1) if whole[:n] in joined), 0)
    if known and joined[whole[:known]].same_scale(op.output):
        rows = [joined[whole[:known]], *rows[known:]]
    joined[whole] = op.output
    new: list[Op] = []
    parts: list[Tensor] = []
    moved: list[Tensor] = []
    first = 0
    for number, part in enumerate(rows):
        if _made_in_place(graph, part, block):
            moved.append(part)
        else:
            part, copy = _copied(op, part, number)
            new.append(copy)
        part.parent, part.pixel = op.output, first
        parts.append(part)
        first += part.w
    join = JoinOp(op.node, op.op_type, parts, op.output)
    graph.replace_op(op, *new, join)

    def undo() -> None:
        for t in moved:
            t.parent, t.pixel = None, 0
        graph.replace_op(join, op)
        for made in new:
            graph.erase(made)

    return undo


def _copied(op: CopyOp, x: Tensor, number: int) -> tuple[Tensor, CopyOp]:
    """Some rows where they go, and the copy that brings them there."""
    part = x.like(f"{op.output.name}:{number}", label=f"{op.output.label}:{number}")
    part.channel_map = x.known_map()
    whole = Piece(0, 0, 0, _ROW, Run(0, 1, 0, 1, x.w))
    copy = CopyOp(op.node, op.op_type, [x], part, [None], op.out_parts, [whole], None)
    copy.parts.in_starts.append([0])
    copy.parts.out_starts.append(0)
    copy.parts.out_blocks.extend(op.parts.out_blocks)
    return part, copy
