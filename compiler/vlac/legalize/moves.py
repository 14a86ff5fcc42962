"""Realize rearrangements: each chain of MoveOps becomes what the machine does cheapest.

In this order: the host packs a model input or unpacks an output that way; nothing, where the bytes already lie so;
a View between image and vector; a choice of channels; copies of words; and for small tensors a product with a
0/1 matrix. A chain is first tried as one rearrangement and then, where that fails, step by step.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.copy import CopyOp
from vlac.device.matrix import zero_one
from vlac.device.move import MoveOp
from vlac.device.select import SelectOp
from vlac.device.view import View
from vlac.errors import UnsupportedError
from vlac.ir.graph import Alias, Graph
from vlac.ir.operation import Op, Tensor
from vlac.legalize.match import MAX_PIECES, axis_order, channel_choice, grid_of, match_copies
from vlac.legalize.prune import prune

__all__ = ["realize_moves"]

I64 = NDArray[np.int64]
_MATRIX = 1024  # largest vector that a 0/1 matrix rearranges


def realize_moves(graph: Graph, hw: HardwareConfig) -> None:
    """Replace every MoveOp that somebody reads.

    Raises:
        UnsupportedError: all rearrangements that the machine cannot do.
    """
    reasons: dict[str, str] = {}
    for op in list(graph.ops):
        read = graph.is_output(op.output) or any(not isinstance(c, MoveOp) for c in op.output.consumers)
        if isinstance(op, MoveOp) and read and op in graph.ops and not _realize(graph, op, hw):
            x = op.inputs[0]
            reasons[op.node] = (
                f"{op.op_type} '{op.node}': {list(x.shape)} -> {list(op.output.shape)} moves data between pixels and "
                f"channels; supported are flattening, choices of channels, moves of pixels in at most {MAX_PIECES} "
                f"pieces, any order of axes at the model's inputs and outputs, and any move of at most {_MATRIX} values"
            )
    if reasons:
        raise UnsupportedError(reasons.values(), nodes=reasons)
    for op in graph.ops:  # steps of a chain that was realized as a whole
        if isinstance(op, MoveOp):
            graph.aliases.append(Alias(op.output, op.inputs, op.index, op.fill))
    prune(graph)


def _realize(graph: Graph, op: MoveOp, hw: HardwareConfig) -> bool:
    """Replace one MoveOp; False where the machine cannot do it."""
    inputs, index, fill = _composed(op)
    kept = next((t.producer for t in inputs if isinstance(t.producer, MoveOp)), None)
    if kept is not None:  # a step that fills with another value
        return _realize(graph, kept, hw) and _realize(graph, op, hw)
    steps = [t.producer for t in op.inputs if isinstance(t.producer, MoveOp)]
    if any(len(s.output.consumers) > 1 and _is_packed(graph, s) for s in steps):  # free for all of its readers
        return _realize(graph, op, hw)
    if _is_free(graph, op, inputs, index):
        return True
    if any(_is_packed(graph, s) for s in steps):
        return _realize(graph, op, hw)
    if _try(graph, op, inputs, index, fill, hw):
        return True
    for t in list(op.inputs):
        if isinstance(t.producer, MoveOp) and not _realize(graph, t.producer, hw):
            return False
    return _try(graph, op, op.inputs, op.index, op.fill, hw)


def _composed(op: MoveOp | View) -> tuple[list[Tensor], I64, int]:
    """The whole chain behind an operation as one rearrangement; one fill value at most."""
    fill = op.fill if isinstance(op, MoveOp) else 0
    parts: list[tuple[list[Tensor], I64]] = []
    has_fill = isinstance(op, MoveOp) and bool((op.index < 0).any())
    for t in op.inputs:
        size = math.prod(t.shape)
        part: tuple[list[Tensor], I64] = ([t], np.arange(size))
        if isinstance(t.producer, (MoveOp, View)):
            sources, index, other = _composed(t.producer)
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
    own = op.index if isinstance(op, MoveOp) else (np.arange(len(table)) if op.order is None else op.order)
    return inputs, np.where(own < 0, -1, table[own]), fill


def _used(inputs: list[Tensor], index: I64) -> tuple[list[Tensor], I64]:
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


def _try(graph: Graph, op: MoveOp, inputs: list[Tensor], index: I64, fill: int, hw: HardwareConfig) -> bool:
    """Realize `op` as one rearrangement of `inputs`, or leave everything as it is."""
    inputs, index = _used(inputs, index)
    if _is_free(graph, op, inputs, index):
        return True
    out = op.output
    grid = grid_of(inputs, index, out)
    if len(inputs) == 1:
        channels = channel_choice(grid, inputs[0], out)
        if channels is not None:
            graph.replace_op(op, SelectOp(op.node, op.op_type, inputs, out, channels, fill))
            return True
    copies = match_copies(grid, inputs, out)
    if copies is not None:
        parts = copies.in_parts, copies.out_parts, copies.pieces, fill if copies.is_filled else None
        graph.replace_op(op, CopyOp(op.node, op.op_type, inputs, out, *parts))
        return True
    if len(inputs) == 1 and max(len(index), math.prod(inputs[0].shape)) <= _MATRIX:
        _multiplied(graph, op, inputs[0], index, fill)
        return True
    return False


def _is_free(graph: Graph, op: MoveOp, inputs: list[Tensor], index: I64) -> bool:
    """Realize `op` without an instruction, if possible."""
    return len(inputs) == 1 and _is_permutation(index, inputs[0]) and _reordered(graph, op, inputs[0], index)


def _is_packed(graph: Graph, op: MoveOp) -> bool:
    """Let the host pack a model input for the first steps of a chain, if possible: what follows moves less then."""
    inputs, index, _ = _composed(op)
    return len(inputs) == 1 and _is_permutation(index, inputs[0]) and _at_input(graph, op, inputs[0], index)


def _is_permutation(index: I64, x: Tensor) -> bool:
    return len(index) == math.prod(x.shape) and bool((np.bincount(index + 1, minlength=1 + len(index))[1:] == 1).all())


def _reordered(graph: Graph, op: MoveOp, x: Tensor, index: I64) -> bool:
    """All values in another order: without an instruction, if possible."""
    out = op.output
    same = (x.h, x.w, x.c) == (out.h, out.w, out.c)
    if same and np.array_equal(out.to_hwc(index), x.to_hwc(np.arange(len(index)))):
        plain = np.array_equal(index, np.arange(len(index)))
        if plain or not graph.is_output(out) or _at_output(graph, out, x, index):
            graph.erase(op)
            _renumber(out, index)
            graph.replace(out, x)
            graph.aliases.append(Alias(out, [x], index))
            return True
    if graph.is_output(out) and out.consumers and _at_input(graph, op, x, index):
        return True
    if graph.is_output(out) and _at_output(graph, out, x, index) and not out.consumers:
        graph.erase(op)
        graph.aliases.append(Alias(out, [x], index))
        return True
    order = None if np.array_equal(index, np.arange(len(index))) else index
    packed = x in graph.inputs and x.is_vector and order is not None
    if x.is_vector != out.is_vector and not packed and not (graph.is_output(out) and order is not None):
        known = next((v for v in x.consumers if isinstance(v, View) and _alike(v, order, out)), None)
        if known is None:
            graph.replace_op(op, View(op.node, op.op_type, [x], out, order))
        else:
            graph.erase(op)
            graph.replace(out, known.output)
        return True
    return _at_input(graph, op, x, index)


def _renumber(tensor: Tensor, index: I64) -> None:
    """Let what reads `tensor` by element numbers count as the tensor does that takes its place: e is its `index[e]`."""
    for op in tensor.consumers:
        if isinstance(op, View):
            op.order = index if op.order is None else index[op.order]
        elif isinstance(op, MoveOp):
            bases = np.cumsum([0, *(math.prod(t.shape) for t in op.inputs)])
            for base in {int(b) for b, t in zip(bases, op.inputs, strict=False) if t is tensor}:
                here = (op.index >= base) & (op.index < base + len(index))
                op.index = np.where(here, base + index[np.where(here, op.index - base, 0)], op.index)


def _alike(view: View, order: I64 | None, out: Tensor) -> bool:
    other = view.output
    same = view.order is order if view.order is None or order is None else np.array_equal(view.order, order)
    return same and other.same_order(out)


def _at_input(graph: Graph, op: MoveOp, x: Tensor, index: I64) -> bool:
    """Let the host pack a model input that only this chain reads in the order of the result."""
    step = op.inputs[0]
    while len(step.consumers) == 1 and not graph.is_output(step) and step is not x and step.producer is not None:
        step = step.producer.inputs[0]
    layout = axis_order(op.output.to_hwc(index).reshape(-1))
    lone = step is x and len(x.consumers) == 1 and not graph.is_output(x)
    if not lone or layout is None or x not in graph.inputs or x in graph.input_layouts:
        return False
    out = op.output
    graph.erase(op)
    graph.inputs[graph.inputs.index(x)] = out
    graph.input_labels[out] = graph.input_labels.pop(x)
    graph.input_layouts[out] = (x.shape, *layout)
    graph.input_moves[out] = index
    return True


def _at_output(graph: Graph, out: Tensor, x: Tensor, index: I64) -> bool:
    """Let the host unpack the model's output from `x`."""
    layout = axis_order(np.argsort(index)[x.to_hwc(np.arange(len(index))).reshape(-1)])
    if layout is None:
        return False
    graph.outputs = [replace(o, tensor=x, moved=index, layout=layout) if o.tensor is out else o for o in graph.outputs]
    return True


# --- by a 0/1 matrix ------------------------------------------------------------------------------------


def _multiplied(graph: Graph, op: MoveOp, x: Tensor, index: I64, fill: int) -> None:
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
