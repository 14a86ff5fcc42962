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
from vla_isa.packet import Packet

__all__ = ["access", "footprint", "live_blocks", "region_words", "require_fit", "table_access", "taps", "whole_region"]

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


def table_access(packet: Packet, hw: HardwareConfig) -> Iterator[Access]:
    """The output table, where the packet uses one."""
    if packet["table_enable"]:
        words = -(-codes.TABLE_BYTES // hw.param_word_bytes)
        yield access("param", False, "table", single(packet["table_base"], words))
