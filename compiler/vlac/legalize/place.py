"""Give every tensor its channel map and its place inside other tensors.

A Concat's inputs lie in slices of its output, each on a new channel block; an image that is flattened lies
row by row in its vector. Convolutions and Gemms may write any channel order (their weights are permuted),
everything else keeps the order it reads. Where two readers disagree, a copy or a 0/1 matrix settles it.
Not here: addresses (`allocate/`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.concat import ConcatOp
from vlac.device.conv import ConvOp
from vlac.device.copy import CopyOp
from vlac.device.pool import PoolOp
from vlac.device.select import SelectOp
from vlac.device.vec import VecOp
from vlac.device.view import View
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor
from vlac.legalize.lanes import in_channel_order, padded_lanes, reordered, settle
from vlac.legalize.place_moves import forward_copy, forward_select, preset_copy

__all__ = ["place"]

I64 = NDArray[np.int64]


def place(graph: Graph, hw: HardwareConfig) -> None:
    """Set `lanes`, `parent` and `offset` of every tensor."""
    block = hw.block
    _nest_views(graph)
    _nest_concats(graph)
    _preset(graph, block)
    for tensor in graph.inputs:
        if tensor.lanes is None:
            packed = tensor in graph.input_layouts
            tensor.lanes = padded_lanes(tensor.c, block) if packed else _input_lanes(tensor, block)
    for op in list(graph.ops):
        _forward(graph, op, block)
    for i, out in enumerate(graph.outputs):
        if not isinstance(out.tensor.producer, View) and not in_channel_order(out.tensor):
            moved = reordered(graph, out.tensor, padded_lanes(out.tensor.c, block))
            graph.outputs[i] = replace(out, tensor=moved, source=out.tensor)


def _input_lanes(tensor: Tensor, block: int) -> I64:
    """A vector with a divisor of at most B channels is packed with that many per word, so that its lines are full."""
    if tensor.is_vector:
        per_word = max(d for d in range(1, block + 1) if tensor.c % d == 0)
        if tensor.c // per_word <= 2 * -(-tensor.c // block):
            lanes = np.full((tensor.c // per_word, block), -1, np.int64)
            lanes[:, :per_word] = np.arange(tensor.c).reshape(-1, per_word)
            return lanes.reshape(-1)
    return padded_lanes(tensor.c, block)


# --- tensors inside tensors ----------------------------------------------------------------------------


def _nest_views(graph: Graph) -> None:
    for op in list(graph.ops):
        if not isinstance(op, View):
            continue
        image, vector = (op.output, op.inputs[0]) if op.inputs[0].is_vector else (op.inputs[0], op.output)
        if image.parent is not None:
            image = _copied(graph, image, op)
        image.parent = vector


def _nest_concats(graph: Graph) -> None:
    for op in list(graph.ops):
        if not isinstance(op, ConcatOp):
            continue
        for tensor in list(op.inputs):
            fixed = tensor.parent is not None or (tensor in graph.inputs and not tensor.is_vector)
            if fixed or op.inputs.count(tensor) > 1:
                tensor = _copied(graph, tensor, op)
            tensor.parent = op.output


def _copied(graph: Graph, tensor: Tensor, reader: Op) -> Tensor:
    """A copy of `tensor` for one reader (its first mention), made by VEC just before it."""
    copy = tensor.like(f"{tensor.name}:copy{len(graph.ops)}")
    graph.set_input(reader, reader.inputs.index(tensor), copy)
    graph.insert(VecOp.identity(reader.node, "Copy", tensor, copy), before=reader)
    return copy


# --- channel maps ---------------------------------------------------------------------------------------


def _preset(graph: Graph, block: int) -> None:
    """A vector that is read as an image takes the image's order, and so does what it was computed from."""
    for op in reversed(graph.ops):
        if isinstance(op, View) and op.inputs[0].is_vector:
            op.output.lanes = padded_lanes(op.output.c, block)
            op.inputs[0].lanes = op.image_lanes(block)
        elif isinstance(op, CopyOp):
            preset_copy(graph, op, block)
        elif isinstance(op, VecOp) and op.output.lanes is not None and op.inputs[0].lanes is None:
            op.inputs[0].lanes = op.output.lanes


def _forward(graph: Graph, op: Op, block: int) -> None:
    """Set the output's lanes from the inputs' (or choose them), and nest offsets of concats."""
    out = op.output
    if isinstance(op, View):
        if op.inputs[0].is_vector:
            settle(graph, op, 0, op.image_lanes(block))
            out.parent = op.inputs[0]
        else:
            out.lanes = op.image_lanes(block)
    elif isinstance(op, ConcatOp):
        offset, first, parts = 0, 0, []
        for t in op.inputs:
            t.offset = offset
            parts.append(np.where(t.lane_map() < 0, -1, t.lane_map() + first))
            offset, first = offset + t.blocks(block), first + t.c
        out.lanes = np.concatenate(parts)
    elif isinstance(op, PoolOp):
        out.lanes = op.inputs[0].lane_map()
    elif isinstance(op, CopyOp):
        forward_copy(graph, op, block)
    elif isinstance(op, SelectOp):
        forward_select(graph, op, block)
    elif isinstance(op, VecOp):
        _forward_vec(graph, op, block)
    elif isinstance(op, ConvOp) and op.residual is not None:
        out.lanes = op.inputs[1].lane_map()
    elif out.lanes is None:
        out.lanes = _wanted(op, block)


def _forward_vec(graph: Graph, op: VecOp, block: int) -> None:
    a = op.inputs[0]
    if a.lanes is None:  # a constant, on its way into a Concat
        a.lanes = padded_lanes(a.c, block)
    lanes = a.lane_map()
    for number, b in enumerate(op.inputs[1:], 1):
        if b.lanes is None:
            b.lanes = lanes
        else:
            settle(graph, op, number, lanes)
    op.output.lanes = lanes


def _wanted(op: Op, block: int) -> I64:
    """The input's order for a depthwise convolution, an elementwise reader's other operand's, or plain order."""
    out = op.output
    if isinstance(op, ConvOp) and 1 < op.group == op.inputs[0].c == out.c:
        return op.inputs[0].lane_map()
    for reader in out.consumers:
        if isinstance(reader, VecOp):
            for other in reader.inputs:
                if other is not out and other.lanes is not None and other.c == out.c:
                    return other.lanes
    return padded_lanes(out.c, block)
