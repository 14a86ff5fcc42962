"""What the meanings of several instructions say the same way: one word of a memory, in int64.

Slow and plain on purpose: this is the reference that every machine is checked against. The only vector operations
are over the B lanes of one word. Not an instruction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.integer import INT8
from vla_isa.memories import Memories
from vla_isa.packet import Packet

__all__ = [
    "I64",
    "act_word",
    "look_up",
    "mask_bit",
    "param_word",
    "pixel_address",
    "put_act",
    "records",
    "requantized",
    "weight_word",
]

I64 = NDArray[np.int64]


def pixel_address(packet: Packet, region: str, y: int, c: int, x: int) -> int:
    """The activation word of pixel (y, x) of channel block c of a region."""
    row = (packet[f"{region}_slot"] + y) % packet[f"{region}_ring"]
    return packet[f"{region}_base"] + row * packet[f"{region}_row_stride"] + c * packet[f"{region}_pitch"] + x


def act_word(memories: Memories, address: int) -> I64:
    """One activation word, int64 [B]."""
    word: I64 = memories.act[address % memories.hw.act_words].astype(np.int64)
    return word


def put_act(memories: Memories, address: int, q: I64) -> None:
    """Write one activation word."""
    memories.act[address % memories.hw.act_words] = INT8.cast(q)


def weight_word(memories: Memories, address: int) -> I64:
    """One weight word, int64 [out channel, in channel]."""
    block = memories.hw.block
    word: I64 = memories.weight[address % memories.hw.weight_words].reshape(block, block).astype(np.int64)
    return word


def param_word(memories: Memories, address: int) -> NDArray[np.uint8]:
    """One parameter word, uint8 [8*B]."""
    word: NDArray[np.uint8] = memories.param[address % memories.hw.param_words]
    return word


def records(memories: Memories, address: int) -> tuple[I64, I64, I64]:
    """(bias, mult, shift) of the B records in one parameter word."""
    return numerics.unpack_records(param_word(memories, address).reshape(-1, numerics.RECORD_BYTES))


def mask_bit(memories: Memories, base: int, o: int, i: int) -> bool:
    """Bit i of the parameter word of out block o."""
    byte, bit = divmod(i, 8)
    word = param_word(memories, base + o)
    return byte < word.size and bool((int(word[byte]) >> bit) & 1)


def requantized(packet: Packet, acc: I64, record: tuple[I64, I64, I64]) -> I64:
    """Sums of any size to int8, by the fields of the packet and a record per lane, or one for all."""
    bias, mult, shift = record
    return numerics.requantize(
        numerics.wrap32(acc), bias, mult, shift, packet["rounding"], packet["out_zero"], packet["lo"], packet["hi"]
    )


def look_up(packet: Packet, memories: Memories, q: I64) -> I64:
    """The entry of the packet's table for each lane; q as it is where the packet has none."""
    if not packet["table_enable"]:
        return q
    out = []
    for value in q:
        word, byte = divmod(int(value) - INT8.lo, memories.hw.param_word_bytes)
        out.append(int(param_word(memories, packet["table_base"] + word).view(np.int8)[byte]))
    return np.array(out, np.int64)
