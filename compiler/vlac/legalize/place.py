"""Give every tensor its channel map and its place inside other tensors.

A Concat's inputs lie in slices of its output, each on a new channel block; an image that is flattened lies
row by row in its vector. Convolutions and Gemms may write any channel order (their weights are permuted),
everything else keeps the order it reads. Where two readers disagree, a copy or a 0/1 matrix settles it; int16 tensors
keep their channels in order, as nothing reorders them.
Not here: what each operation wants (`device/`), addresses (`plan/`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.matrix import REORDER, zero_one
from vlac.device.row import RowOp
from vlac.device.vec import VecOp
from vlac.ir.channel_maps import in_channel_order, padded_map
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor
from vlac.legalize.wide_order import wide_order

__all__ = ["place"]

I64 = NDArray[np.int64]


def place(graph: Graph, hw: HardwareConfig) -> None:
    """Set `channel_map`, `parent` and `offset` of every tensor."""
    block = hw.block
    placer = _Placer(graph, block)
    views = [op for op in graph.ops if op.view_of is not None]
    for op in (*views, *(op for op in graph.ops if op.view_of is None)):  # a Concat copies what lies in a vector
        op.nest(placer)
    for op in reversed(graph.ops):
        op.preset(placer)
    states = _states(graph)
    for tensor in graph.inputs:
        if tensor.channel_map is None:
            plain = tensor in graph.input_layouts or tensor in states.values() or tensor.planes == 2
            tensor.channel_map = padded_map(tensor.c, block) if plain else _input_map(tensor, block)
    for op in list(graph.ops):
        op.place(placer)
    for i, out in enumerate(graph.outputs):
        tensor = out.tensor
        viewed = tensor.producer is not None and tensor.producer.view_of is not None
        wanted = states.get(out.name)
        alike = wanted is not None and (tensor.h, tensor.w, tensor.c) == (wanted.h, wanted.w, wanted.c)
        if wanted is not None and alike and tensor.planes == 1 and in_channel_order(wanted.known_map()):
            channel_map = wanted.known_map()
            other = not np.array_equal(tensor.known_map(), channel_map)
        else:
            other = not in_channel_order(tensor.known_map())
            channel_map = padded_map(tensor.c, block)
        if other and not viewed:
            graph.outputs[i] = replace(out, tensor=placer.reordered(tensor, channel_map), source=tensor)


def _states(graph: Graph) -> dict[str, Tensor]:
    """By output the input that it is in the next run, whose place it takes."""
    names = [] if graph.signature is None else [v.name for v in graph.signature.inputs]
    given = {names[number]: t for t, (_, number) in graph.input_labels.items() if number < len(names)}
    return {result: given[name] for name, result in graph.carried.items() if name in given}


def _input_map(tensor: Tensor, block: int) -> I64:
    """A vector with a divisor of at most B channels is packed with that many per word, so that its lines are full."""
    if tensor.is_vector:
        per_word = max(d for d in range(1, block + 1) if tensor.c % d == 0)
        if tensor.c // per_word <= 2 * -(-tensor.c // block):
            channel_map = np.full((tensor.c // per_word, block), -1, np.int64)
            channel_map[:, :per_word] = np.arange(tensor.c).reshape(-1, per_word)
            return channel_map.reshape(-1)
    return padded_map(tensor.c, block)


class _Placer:
    """The edits that operations ask for; see `ir.operation.Placer`."""

    def __init__(self, graph: Graph, block: int) -> None:
        self._graph, self.block = graph, block

    def is_input(self, tensor: Tensor) -> bool:
        return tensor in self._graph.inputs

    def is_output(self, tensor: Tensor) -> bool:
        return self._graph.is_output(tensor)

    def read_as(self, op: Op, index: int, channel_map: I64) -> None:
        tensor = op.inputs[index]
        if not np.array_equal(tensor.known_map(), channel_map):
            self._graph.set_input(op, index, self.reordered(tensor, channel_map, before=op))

    def zero_padded(self, op: Op, index: int) -> None:
        tensor = op.inputs[index]
        if not tensor.pads_zero:
            self._graph.set_input(op, index, self.reordered(tensor, tensor.known_map(), before=op))

    def copied(self, op: Op, index: int) -> Tensor:
        """By a VEC just before it, or a ROW."""
        tensor = op.inputs[index]
        copy = tensor.like(f"{tensor.name}:copy{len(self._graph.ops)}")
        self._graph.set_input(op, index, copy)
        make = VecOp.identity if tensor.planes == 1 else RowOp.identity
        self._graph.insert(make(op.node, "Copy", tensor, copy), before=op)
        return copy

    def by_matrix(self, op: Op, channels: I64, fill: int) -> None:
        out = op.output
        wide = self._wide_order(op.node, op.op_type, op.inputs[0], out, channels) if out.channel_map is None else None
        if wide is not None:
            self._graph.replace_op(op, *wide)
            return
        self._graph.replace_op(op, zero_one(op.node, op.op_type, op.inputs[0], out, channels, fill))
        out.channel_map = padded_map(out.c, self.block) if out.channel_map is None else out.channel_map

    def reordered(self, tensor: Tensor, channel_map: I64, before: Op | None = None) -> Tensor:
        """`tensor` with another channel map, by a 0/1 matrix in front of `before` or at the end; of int16 by moves."""
        out = tensor.like(f"{tensor.name}:order{len(self._graph.ops)}")
        plain = np.array_equal(channel_map, padded_map(tensor.c, self.block))
        wide = self._wide_order(tensor.label, REORDER, tensor, out, np.arange(tensor.c)) if plain else None
        if wide is not None:
            for op in wide:
                self._graph.insert(op, before)
            return out
        out.channel_map = channel_map
        self._graph.insert(zero_one(tensor.label, REORDER, tensor, out, np.arange(tensor.c)), before)
        return out

    def _wide_order(self, node: str, op_type: str, x: Tensor, out: Tensor, channels: I64) -> list[Op] | None:
        return wide_order(node, op_type, x, out, channels, self) if x.planes == 2 else None
