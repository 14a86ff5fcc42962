"""Tasks of one network: which blocks of its convolutions are live, and the parameters that follow from that.

All tasks execute the same packets on the same weights; a task is the masks that these packets read, and biases. Both
lie in the task's own image of the parameters, so an entry point differs from another in nothing but where it loads
parameters from, and uniting tasks is making another image. Not here: which blocks are live (`vlac`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import RECORD_BYTES, pack_records, unpack_records

__all__ = [
    "DENSE",
    "MAX_NAME",
    "MAX_TASKS",
    "LiveBlocks",
    "MaskedConv",
    "MaskedPacket",
    "Tasks",
    "live_bits",
    "live_shares",
    "task_image",
    "united",
]

DENSE = "main"  # the entry point at which everything is live
MAX_TASKS, MAX_NAME = 256, 100  # of a program; characters

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Words = NDArray[np.int8]


@dataclass(frozen=True)
class MaskedConv:
    """A convolution that tasks mask.

    Attributes:
        node: of the model.
        weight_word: its first word in the weight space, where all its blocks lie: [outs][ins][taps].
        taps, outs, ins: of the kernel; channel blocks of output and input.
        in_zero: zero point of the input.
        mask: parameter word, in an image, of out block 0's mask; the others follow.
        records: parameter word of each out block's records.
        out_channels, in_channels: real channels of each block.
    """

    node: str
    weight_word: int
    taps: int
    outs: int
    ins: int
    in_zero: int
    mask: int
    records: list[int]
    out_channels: list[int]
    in_channels: list[int]


@dataclass(frozen=True)
class MaskedPacket:
    """Packet `number` of the dense entry point, JUMPs not counted, makes out blocks [first, last) of `convs[conv]`."""

    number: int
    conv: int
    first: int
    last: int


@dataclass(frozen=True)
class LiveBlocks:
    """Of one convolution in one task, in ascending order: out blocks that are live, and in blocks that may be other
    than zero.
    """

    outs: list[int]
    ins: list[int]


@dataclass(frozen=True)
class Tasks:
    """What a program must know to unite tasks.

    Attributes:
        words: of an image of the parameters.
        lines: entry point -> data line of its image, `DENSE` among them.
        convs: those that any task masks.
        packets: of the dense entry point, those that are parts of these.
        live: task -> the live blocks of each of these.
    """

    words: int
    lines: dict[str, int]
    convs: list[MaskedConv]
    packets: list[MaskedPacket]
    live: dict[str, list[LiveBlocks]]


def united(convs: Sequence[MaskedConv], live: Mapping[str, Sequence[LiveBlocks]]) -> list[LiveBlocks]:
    """The live blocks of each convolution where those of any of some tasks are live."""
    return [
        LiveBlocks(*(sorted({b for task in live.values() for b in getattr(task[i], side)}) for side in ("outs", "ins")))
        for i in range(len(convs))
    ]


def live_bits(conv: MaskedConv, live: LiveBlocks, weights: Words) -> Bools:
    """The mask of a convolution, bool [outs, ins].

    A weight block is live where its out block is, its in block is, and it is not all zero. A live out block without
    such a block keeps one, as the machine takes an out block without any for a dead one.

    Args:
        weights: the weight space, int8 [n, B * B].
    """
    used = np.asarray(_blocks_of(conv, weights).any(axis=(2, 3)))
    outs, ins = np.zeros(conv.outs, np.bool_), np.zeros(conv.ins, np.bool_)
    outs[live.outs], ins[live.ins] = True, True
    bits: Bools = outs[:, None] & ins & used
    alone = outs & ~bits.any(axis=1)
    bits[alone, used[alone].argmax(axis=1)] = True
    return bits


def live_shares(tasks: Tasks, live: Sequence[LiveBlocks], weights: Words) -> dict[int, float]:
    """By number in the dense entry point what share of a masked packet's multiply-accumulates is live."""
    pairs = []
    for conv, blocks in zip(tasks.convs, live, strict=True):
        every = np.multiply.outer(conv.out_channels, conv.in_channels)
        pairs.append(np.stack([(every * live_bits(conv, blocks, weights)).sum(axis=1), every.sum(axis=1)]))
    shares = {}
    for p in tasks.packets:
        some, every = pairs[p.conv][:, p.first : p.last].sum(axis=1)
        shares[p.number] = float(some / max(every, 1))
    return shares


def task_image(
    dense: Bytes, weights: Words, convs: Sequence[MaskedConv], live: Sequence[LiveBlocks], hw: HardwareConfig
) -> Bytes:
    """The image of a task: that of everything live, with other masks and biases.

    A bias takes off the zero point of all inputs times their weights; of blocks that are skipped it must not.

    Args:
        dense: uint8 [words, param_word_bytes].
        weights: the weight space, int8 [n, B * B].

    Raises:
        EncodingError: a bias that does not fit, naming the convolution.
    """
    image, b = dense.copy(), hw.block
    for conv, blocks in zip(convs, live, strict=True):
        bits = live_bits(conv, blocks, weights)
        words = _blocks_of(conv, weights).reshape(conv.outs, conv.ins, conv.taps, b, b)
        sums = words.sum(axis=(2, 4), dtype=np.int64)  # [outs, ins, B]
        skipped = (sums * ~bits[:, :, None]).sum(axis=1)
        packed = np.packbits(bits, axis=1, bitorder="little")
        image[conv.mask : conv.mask + conv.outs, : packed.shape[1]] = packed
        for o in blocks.outs:
            row = image[conv.records[o], : b * RECORD_BYTES].reshape(b, RECORD_BYTES)
            bias, mult, shift = unpack_records(row)
            try:
                row[:] = pack_records(bias + conv.in_zero * skipped[o], mult, shift)
            except EncodingError as e:
                raise EncodingError(f"Conv '{conv.node}', with the input blocks of a task alone: {e}") from e
    return image


def _blocks_of(conv: MaskedConv, weights: Words) -> Words:
    """Its weight words, [outs, ins, taps, B * B]."""
    end = conv.weight_word + conv.outs * conv.ins * conv.taps
    return weights[conv.weight_word : end].reshape(conv.outs, conv.ins, conv.taps, -1)
