"""Which words of which memory a packet reads and writes: exact, as merged intervals.

Addresses are not wrapped and not bounds-checked (see `validate.py`). Reading a part of a line or of a
parameter word counts as reading it. Masks are read from the parameter memory's contents when given.
The instructions say what they touch; here are asking them, and what several of them say the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access, Params
from vla_isa.errors import ProgramError
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.intervals import Intervals, merge, single
from vla_isa.numerics import ITEM_BYTES
from vla_isa.packet import Packet

__all__ = [
    "access",
    "footprint",
    "item_words",
    "live_blocks",
    "matrix_words",
    "region_words",
    "require_fit",
    "table_access",
    "table_words",
    "taps",
    "whole_region",
]

Bools = NDArray[np.bool_]


def footprint(packet: Packet, hw: HardwareConfig, params: Params | None = None) -> list[Access]:
    """The accesses of a legal packet, empty ones left out.

    Args:
        packet: passes `encoding.illegal`.
        hw: the machine.
        params: contents of the parameter memory when the packet runs; None takes every mask bit as set.

    Raises:
        ProgramError: an operand larger than its memory, or a mask that does not fit a parameter word.
    """
    return [a for a in packet.instruction.footprint(packet, hw, params) if len(a.words)]


def live_blocks(packet: Packet, shape: tuple[int, int], hw: HardwareConfig, params: Params | None) -> Bools:
    """The bits of a packet's mask, bool [out blocks, in blocks] of `shape`; all set where it has none.

    Raises:
        ProgramError: more in blocks than bits in a parameter word, or mask words outside the memory.
    """
    words, ins = packet.instruction.mask_words(packet), shape[1]
    if not words:
        return np.ones(shape, dtype=np.bool_)
    bits = 8 * hw.param_word_bytes
    if ins > bits:
        raise ProgramError(
            f"{packet.name}: a mask of {ins} in blocks exceeds the {bits} bits of a parameter "
            f"word on '{hw.name}'; cut the packet by in blocks"
        )
    if words.stop > hw.param_words:
        raise ProgramError(
            f"{packet.name}: mask words {words.start}..{words.stop - 1} exceed the "
            f"{hw.param_words} words of the parameter memory on '{hw.name}'"
        )
    if params is None:
        return np.ones(shape, dtype=np.bool_)
    rows = params[words.start : words.stop]
    return np.unpackbits(rows, axis=1, bitorder="little")[:, :ins].astype(np.bool_)


@lru_cache(maxsize=4096)
def taps(outputs: int, kernel: int, stride: int, dilation: int, pad: int, size: int) -> NDArray[np.int64]:
    """Input indices in [0, size) that a window touches over all outputs: sorted, distinct, int64."""
    index = np.arange(outputs)[:, None] * stride + np.arange(kernel) * dilation - pad
    touched = np.zeros(size, np.bool_)
    touched[index[(index >= 0) & (index < size)]] = True
    return np.flatnonzero(touched)


def access(space: str, write: bool, role: str, words: Intervals) -> Access:
    """An access of words that may overlap."""
    merged, repeated = merge(words)
    return Access(space, write, merged, role, repeated)


def require_fit(packet: Packet, role: str, words: int, limit: int, memory: str) -> None:
    """Refuse an operand larger than its memory.

    Raises:
        ProgramError: naming the operand, its words and the limit.
    """
    if words > limit:
        raise ProgramError(f"{packet.name}: '{role}' has {words} words, more than the {limit} of the {memory}")


def region_words(
    packet: Packet, role: str, rows: NDArray[np.int64], blocks: NDArray[np.int64], x: Intervals
) -> Intervals:
    """Words of pixels `x` (intervals) of `rows` and channel `blocks` of a region of the packet."""
    slots = (packet[f"{role}_slot"] + rows) % packet[f"{role}_ring"]
    start = (
        packet[f"{role}_base"]
        + (slots * packet[f"{role}_row_stride"])[:, None, None]
        + (blocks * packet[f"{role}_pitch"])[None, :, None]
        + x[None, None, :, 0]
    )
    end = start + (x[:, 1] - x[:, 0])
    return np.stack([start.ravel(), end.ravel()], axis=1)


def whole_region(packet: Packet, role: str, h: int, w: int, blocks: int) -> Intervals:
    """Words of all h x w pixels of `blocks` channel blocks of a region of the packet."""
    return region_words(packet, role, np.arange(h), np.arange(blocks), single(0, w))


def matrix_words(
    packet: Packet, role: str, size: tuple[int, int, int], hw: HardwareConfig, *, batch: int = 1, write: bool = False
) -> Intervals:
    """Words of a matrix operand `[batch][h][planes][m]` of the packet.

    Args:
        packet: of an instruction with `shared_fields.matrix` fields of that role.
        role: its prefix.
        size: (h, m, byte planes of all channel blocks).
        hw: the machine.
        batch: how many batches.
        write: a step of 0 then writes the same words again; read ones are visited once.

    Raises:
        ProgramError: more words than the scratchpad has.
    """
    h, m, planes = size
    steps = {"batch_stride": batch, "row_stride": h, "pitch": planes}
    start, words = np.array([packet[f"{role}_base"]]), m
    counts = {name: count if write or packet[f"{role}_{name}"] else 1 for name, count in steps.items() if count > 1}
    for count in counts.values():
        words *= count
    require_fit(packet, role, words, hw.act_words, "activation scratchpad")
    for name, count in counts.items():
        start = (start[:, None] + np.arange(count) * packet[f"{role}_{name}"]).ravel()
    return np.stack([start, start + m], axis=1)


def item_words(packet: Packet, base: str, items: int, hw: HardwareConfig, *, batch: int = 1) -> Intervals:
    """Words of a row vector of `items` items from field `base` on, and of those of other batches.

    Raises:
        ProgramError: more words than the scratchpad has.
    """
    words = items * ITEM_BYTES // hw.act_word_bytes
    require_fit(packet, base.removesuffix("_base"), batch * words, hw.act_words, "activation scratchpad")
    stride = packet["row_batch_stride"] if batch > 1 else 0
    start = packet[base] + np.arange(batch) * stride
    return np.stack([start, start + words], axis=1)


def table_access(packet: Packet, hw: HardwareConfig) -> Iterator[Access]:
    """The output table, where the packet uses one."""
    if packet["table_enable"]:
        yield table_words(packet, codes.TABLE_BYTES, hw)


def table_words(packet: Packet, size: int, hw: HardwareConfig) -> Access:
    """A table of `size` bytes in parameter memory."""
    return access("param", False, "table", single(packet["table_base"], -(-size // hw.param_word_bytes)))
