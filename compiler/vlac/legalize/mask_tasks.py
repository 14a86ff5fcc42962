"""Tasks on the device graph: of every convolution the blocks that are live in each task, and those that it may skip.

A channel is dead where it is its tensor's zero point whatever the input is. That goes through tables, clamps, pools,
sums of dead channels, products with what no task masks, and Concat, where zero stays zero; everything else makes live
channels. What is live in two tasks united is what is live in one of them, so a session can unite them without knowing
the graph: of a product of two masked tensors, each of which may be dead in another task, this would not hold.
Not here: what the user wrote (`model/task_masks.py`), masks and biases (`vla_isa.tasks`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import apply_table, residual_add
from vla_isa.tasks import LiveBlocks
from vlac.device.channel_slice import ChannelSlice
from vlac.device.concat import ConcatOp
from vlac.device.conv import ConvOp
from vlac.device.pool import PoolOp
from vlac.device.vec import VecOp
from vlac.device.weights import over_positions
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor
from vlac.model.task_masks import TaskMasks

__all__ = ["mask_tasks"]

Bools = NDArray[np.bool_]


def mask_tasks(graph: Graph, masks: TaskMasks, hw: HardwareConfig) -> None:
    """Give the convolutions of a placed graph their live blocks in each task.

    Raises:
        UnsupportedError: a convolution that is none of its own on the device, or whose channels it mixes in blocks.
    """
    convs = [op for op in graph.ops if isinstance(op, ConvOp) and op.group == 1]
    graph.tasks = tuple(masks.channels)
    lost = set(masks.convs) - {op.gate for op in convs}
    if lost:
        text = "it is no convolution with constant weights on the device; leave it out of the tasks"
        raise UnsupportedError([f"{masks.origin}: Conv '{name}': {text}" for name in sorted(lost)])
    masked = _masked(graph, masks.convs)
    found = {task: _live_channels(graph, channels, masked) for task, channels in masks.channels.items()}
    for op in convs:
        out, source = op.output.known_map(), op.inputs[0].known_map()
        outs = {task: _blocks(_gate(op, c), out, hw.block, op, masks.origin) for task, c in masks.channels.items()}
        ins = {task: _blocks(live[op.inputs[0]], source, hw.block) for task, live in found.items()}
        if all(b.all() for b in (*outs.values(), *ins.values())):
            continue
        if len(source) // hw.block > 8 * hw.param_word_bytes:
            limit = 8 * hw.param_word_bytes
            raise UnsupportedError(
                [f"{masks.origin}: Conv '{op.node}' reads {len(source) // hw.block} blocks; a mask has {limit} bits"]
            )
        op.masks = {t: LiveBlocks(_numbers(outs[t]), _numbers(ins[t])) for t in masks.channels}
    for op in convs:
        op.unread = {task: _unread(graph, op, task, live, hw.block) for task, live in found.items()}


def _unread(graph: Graph, op: ConvOp, task: str, live: Mapping[Tensor, Bools], block: int) -> list[int]:
    """Its dead out blocks, where convolutions that skip them are all that reads it.

    A reader must have a live weight block for each of its live out blocks: otherwise it keeps one, and reads zeros.
    """
    out = op.output
    readers = [r for r in out.consumers if isinstance(r, ConvOp) and r.masks is not None and r.inputs == [out]]
    alone = op.residual is None and out.parent is None and not graph.is_output(out)
    if not alone or not readers or len(readers) < len(out.consumers):
        return []
    dead = ~_blocks(live[out], out.known_map(), block)
    for reader in readers:
        assert reader.masks is not None
        outs, ins = reader.masks[task].outs, reader.masks[task].ins
        used = over_positions(np.asarray(reader.weight.any(axis=(2, 3))), 1, out.known_map(), reader.output.known_map())
        blocks = np.asarray(used.reshape(-1, block, len(out.known_map()) // block, block).any(axis=(1, 3)))
        if not blocks[np.ix_(outs, ins)].any(axis=1).all():
            return []
    return _numbers(dead)


def _numbers(blocks: Bools) -> list[int]:
    return [int(b) for b in np.flatnonzero(blocks)]


def _gate(op: ConvOp, channels: Mapping[str, Bools]) -> Bools:
    """Its live output channels in front of a residual."""
    return channels.get(op.gate, np.ones(op.output.c, np.bool_))


def _blocks(live: Bools, channel_map: NDArray[np.int64], block: int, op: Op | None = None, origin: str = "") -> Bools:
    """Blocks with a live channel; of `op` no block may have a dead one beside it."""
    real = channel_map >= 0
    at = np.zeros(len(channel_map), np.bool_)
    at[real] = live[channel_map[real]]
    some = np.asarray(at.reshape(-1, block).any(axis=1))
    if op is not None and (some.repeat(block) & real & ~at).any():
        text = f"the device puts live and dead channels into one block of {block}; leave it out of the tasks"
        raise UnsupportedError([f"{origin}: Conv '{op.node}': {text}"])
    return some


def _masked(graph: Graph, convs: Container[str]) -> set[Tensor]:
    """The tensors that depend on these convolutions."""
    found: set[Tensor] = set()
    for op in graph.ops:
        if (isinstance(op, ConvOp) and op.gate in convs) or not found.isdisjoint(op.inputs):
            found.add(op.output)
    return found


def _live_channels(graph: Graph, channels: Mapping[str, Bools], masked: Container[Tensor]) -> dict[Tensor, Bools]:
    """Of each tensor bool [c]: which of its channels may be other than zero."""
    live = {t: np.ones(t.c, np.bool_) for t in (*graph.inputs, *(t for op in graph.ops for t in op.inputs))}
    for op in graph.ops:
        live[op.output] = _made(op, [live[t] for t in op.inputs], channels, masked)
    return live


def _made(op: Op, inputs: list[Bools], channels: Mapping[str, Bools], masked: Container[Tensor]) -> Bools:
    """The live channels of an operation's output; `masked` tensors depend on the tasks."""
    everything = np.ones(op.output.c, np.bool_)
    if isinstance(op, ConcatOp):
        joined = np.concatenate(inputs)
        return joined if op.order is None else joined[np.argsort(op.order)]
    if isinstance(op, ChannelSlice):
        return inputs[0][op.channels]
    if isinstance(op, ConvOp) and op.group == 1:
        made = [_gate(op, channels), *inputs[1:]]
    elif isinstance(op, VecOp):
        factors = [i for t, i in zip(op.inputs, inputs, strict=True) if t in masked]
        made = factors if op.function == "mul" and len(factors) == 1 else inputs
    elif isinstance(op, PoolOp):
        made = inputs
    else:
        return everything
    if any(len(one) != op.output.c for one in made):  # one value for all channels
        return everything
    return np.logical_or.reduce(made) if _of_zero(op) == op.output.zero_point else everything


def _of_zero(op: Op) -> int:
    """What an operation makes of zeros; a convolution: of a sum of 0 without bias."""
    if isinstance(op, VecOp):
        return int(op.meaning([np.full((1, 1, 1), t.zero_point, np.int64) for t in op.inputs])[0, 0, 0])
    if isinstance(op, PoolOp):
        zero = op.zero_point if op.is_average else op.inputs[0].zero_point
        return min(max(zero, op.lo), op.hi)
    assert isinstance(op, ConvOp)
    r = op.requant
    q = np.array([min(max(r.zero_point, r.lo), r.hi)])
    q = q if r.table is None else apply_table(q, r.table)
    if op.residual is not None:
        q = residual_add(q, np.array([op.inputs[1].zero_point]), op.residual, r.rounding)
    return int(q[0])
