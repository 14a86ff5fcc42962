"""Tasks in a program: for each an image of the parameters, and the packets that load it, in a heap of their own.

Weights are there once, and the packets of all tasks are the same but for where they load parameters from.
Not here: what is live (`legalize/mask_tasks.py`), how an image is made (`vla_isa.tasks`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import encode, make_packet
from vla_isa.errors import EncodingError
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import Move
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.program import Program, Segment, SourceEntry
from vla_isa.tasks import DENSE, LiveBlocks, MaskedConv, MaskedPacket, Tasks, live_bits, task_image
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.emit.ordered import in_order
from vlac.emit.trimmed import trimmed
from vlac.errors import UnsupportedError
from vlac.ir.operation import Tensor
from vlac.ir.packet import RelocatablePacket
from vlac.plan.data_space import DataSpace
from vlac.plan.plan import Plan

__all__ = ["Dense", "TaskCounts", "add_tasks", "everything_live", "image_of", "masked_convs", "param_starts"]


def masked_convs(plan: Plan, starts: list[int], hw: HardwareConfig) -> dict[int, MaskedConv]:
    """By number in the plan the convolutions that tasks mask.

    Args:
        starts: the first parameter word of each operation in an image.
    """
    found = {}
    for number, (p, owner) in enumerate(zip(plan.plans, plan.owners, strict=True)):
        op, cut = p.op, p.cut
        if not isinstance(op, ConvOp) or op.masks is None or owner != number:
            continue
        assert cut.weights is not None and cut.params.mask is not None
        records = [
            starts[number] + first + o - a
            for (a, b), first in zip(cut.chunks, cut.params.records, strict=True)
            for o in range(a, b)
        ]
        found[number] = MaskedConv(
            op.node,
            plan.weight_starts[number],
            op.weight.shape[2] * op.weight.shape[3],
            len(cut.weights.live),
            cut.weights.live.shape[1],
            op.inputs[0].zero_point,
            starts[number] + cut.params.mask,
            records,
            _channels(op.output, hw.block),
            _channels(op.inputs[0], hw.block),
        )
    return found


def param_starts(plan: Plan) -> list[int]:
    """The first parameter word of each operation in an image."""
    sizes = [
        p.cut.params.size * len(p.op.experts) if owner == number else 0
        for number, (p, owner) in enumerate(zip(plan.plans, plan.owners, strict=True))
    ]
    return list(accumulate(sizes, initial=0))


def everything_live(convs: dict[int, MaskedConv]) -> list[LiveBlocks]:
    """Of each convolution all blocks."""
    return [LiveBlocks(list(range(c.outs)), list(range(c.ins))) for c in convs.values()]


def image_of(
    dense: NDArray[np.uint8],
    weights: NDArray[np.int8],
    convs: dict[int, MaskedConv],
    live: list[LiveBlocks],
    hw: HardwareConfig,
) -> NDArray[np.uint8]:
    """The image of a task.

    Raises:
        UnsupportedError: a bias that does not fit.
    """
    try:
        return task_image(dense, weights, list(convs.values()), live, hw)
    except EncodingError as e:
        raise UnsupportedError([str(e)]) from e


@dataclass(frozen=True)
class Dense:
    """The program of everything live: its packets before and after they were ordered, its image of the parameters."""

    open_order: list[RelocatablePacket]
    scheduled: list[RelocatablePacket]
    image: NDArray[np.uint8]
    line: int


def add_tasks(program: Program, tasks: tuple[str, ...], data: DataSpace, dense: Dense, counts: TaskCounts) -> None:
    """Add an entry point for each task to the program of everything live.

    Raises:
        UnsupportedError: a bias that does not fit.
    """
    convs, lines = counts.convs, {DENSE: dense.line}
    live = {task: [op.masks[task] for op in counts.ops if op.masks is not None] for task in tasks}
    numbers: dict[str, dict[str, int]] = {}
    made = Tasks(len(dense.image), lines, list(convs.values()), counts.packets(dense.scheduled), live)
    numbers[DENSE] = {"parameters": counts.parameters(everything_live(convs), program.weights)}
    for name, blocks in live.items():
        numbers[name] = {"parameters": counts.parameters(blocks, program.weights)}
        image = image_of(dense.image, program.weights, convs, blocks, program.config)
        lines[name] = data.add_constant(image, f"{name}:parameters")
        first = sum(len(h.data) // PACKET_BYTES for h in program.heaps)
        packets, scheduled = in_order(_of_task(dense, counts, name, lines[name], program), program.config)
        packets.append(make_packet("HALT"))
        line = data.take(len(packets), f"{name}:instructions")
        program.heaps.append(Segment(line, b"".join(encode(p) for p in packets)))
        program.entries[name] = first
        program.sources += [
            SourceEntry(first + i, p.node, p.op or p.name.lower(), p.macs) for i, p in enumerate(scheduled)
        ]
    program.constants, program.data_bytes = data.constants, data.bytes
    program.memory_map += data.memory_map[-2 * len(tasks) :]
    program.tasks = made
    program.manifest["tasks"] = numbers


def _of_task(dense: Dense, counts: TaskCounts, task: str, line: int, program: Program) -> list[RelocatablePacket]:
    """The packets of a task, which load the image at `line`."""
    whole = range(dense.line, dense.line + dense.image.nbytes // LINE_BYTES)
    bits = {
        number: live_bits(conv, op.masks[task], program.weights)
        for (number, conv), op in zip(counts.convs.items(), counts.ops, strict=True)
        if op.masks is not None
    }
    unread = {number: op.unread[task] for number, op in zip(counts.convs, counts.ops, strict=True)}
    made: list[RelocatablePacket] = []
    for p in dense.open_order:
        if p.in_blocks:
            made += trimmed(p, counts.convs[p.owner], bits[p.owner], unread[p.owner], program.config)
        elif p.name == "COPY" and p.values["move"] == Move.DATA_TO_PARAM and p.values["src"] in whole:
            made.append(replace(p, values={**p.values, "src": p.values["src"] + line - dense.line}))
        else:
            made.append(p)
    return made


class TaskCounts:
    """What a task counts for: the multiply-accumulates of its packets, and its parameters."""

    def __init__(self, plan: Plan, convs: dict[int, MaskedConv]) -> None:
        self._plan, self.convs = plan, convs

    @property
    def ops(self) -> list[ConvOp]:
        """The convolutions that tasks mask."""
        return [op for op in (self._plan.plans[number].op for number in self.convs) if isinstance(op, ConvOp)]

    def packets(self, scheduled: list[RelocatablePacket]) -> list[MaskedPacket]:
        """Those that are parts of these."""
        order, found = list(self.convs), []
        for number, p in enumerate(scheduled):
            if p.in_blocks:
                assert p.weights is not None
                conv = self.convs[p.owner]
                first = (p.weights[0] - conv.weight_word) // (conv.ins * conv.taps)
                found.append(MaskedPacket(number, order.index(p.owner), first, first + p.values["out_blocks"]))
        return found

    def parameters(self, live: list[LiveBlocks], weights: NDArray[np.int8]) -> int:
        """Weights and biases of live blocks, and of everything that tasks do not mask."""
        total, masked = 0, dict(zip(self.convs, live, strict=True))
        for number, (p, owner) in enumerate(zip(self._plan.plans, self._plan.owners, strict=True)):
            for op in p.op.experts if owner == number else []:
                if number in masked and isinstance(op, ConvOp):
                    conv, blocks = self.convs[number], masked[number]
                    pairs = np.multiply.outer(conv.out_channels, conv.in_channels)
                    share = (pairs * live_bits(conv, blocks, weights)).sum() / pairs.sum()
                    total += round(op.macs * op.output.c * float(share)) + sum(
                        conv.out_channels[o] for o in blocks.outs
                    )
                elif isinstance(op, ConvOp | GemmOp):
                    total += op.weight.size + len(op.requant.bias)
        return total


def _channels(tensor: Tensor, block: int) -> list[int]:
    """In each block."""
    return [int(n) for n in (tensor.known_map() >= 0).reshape(-1, block).sum(axis=1)]
