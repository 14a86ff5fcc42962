"""What the meanings of several instructions say the same way: one word of a memory, in int64.

Slow and plain on purpose: this is the reference that every machine is checked against. The only vector operations
are over the B lanes of one word. Not an instruction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated import codes
from vla_isa.integer import INT8, INT16
from vla_isa.memories import Memories
from vla_isa.packet import Packet

__all__ = [
    "I64",
    "act_word",
    "element",
    "item",
    "look_up",
    "mask_bit",
    "param_bytes",
    "param_word",
    "pixel_address",
    "put_act",
    "put_element",
    "put_item",
    "records",
    "requantized",
    "row_record",
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


def element(
    packet: Packet, memories: Memories, p: str, y: int, c: int, x: int, *, batch: int = 0, wide: bool = False
) -> I64:
    """The B values of pixel (y, x) of channel block c of a matrix operand, int64 [B]; `wide`: int16."""
    base = _matrix_address(packet, p, y, c * (1 + wide), x, batch)
    low = act_word(memories, base)
    return act_word(memories, base + packet[f"{p}_pitch"]) * 256 + (low & 255) if wide else low


def put_element(
    packet: Packet, memories: Memories, p: str, y: int, c: int, x: int, q: I64, *, batch: int = 0, wide: bool = False
) -> None:
    """Write what `element` reads."""
    base = _matrix_address(packet, p, y, c * (1 + wide), x, batch)
    if wide:
        planes = INT16.cast(q)[:, None].view(np.int8).astype(np.int64)
        put_act(memories, base, planes[:, 0])
        put_act(memories, base + packet[f"{p}_pitch"], planes[:, 1])
    else:
        put_act(memories, base, q)


def _matrix_address(packet: Packet, p: str, y: int, plane: int, x: int, batch: int) -> int:
    step = batch * packet[f"{p}_batch_stride"] if batch else 0
    return packet[f"{p}_base"] + step + y * packet[f"{p}_row_stride"] + plane * packet[f"{p}_pitch"] + x


def item(memories: Memories, base: int, number: int) -> tuple[int, int]:
    """(value, second) of item `number` of the row vector at word `base`."""
    value, second = numerics.unpack_items(_item_bytes(memories, base, number))
    return int(value), int(second)


def put_item(memories: Memories, base: int, number: int, data: NDArray[np.int8]) -> None:
    """Write the 16 bytes of item `number` of the row vector at word `base`."""
    words = data.reshape(-1, memories.hw.act_word_bytes)
    for n, word in enumerate(words):
        memories.act[(base + number * len(words) + n) % memories.hw.act_words] = word


def row_record(memories: Memories, base: int, number: int) -> tuple[int, int, int]:
    """(bias, mult, shift) of record `number` of the row vector at word `base`."""
    data = _item_bytes(memories, base, number)[: numerics.RECORD_BYTES]
    bias, mult, shift = numerics.unpack_records(data.view(np.uint8))
    return int(bias), int(mult), int(shift)


def _item_bytes(memories: Memories, base: int, number: int) -> NDArray[np.int8]:
    count = numerics.ITEM_BYTES // memories.hw.act_word_bytes
    address = base + number * count + np.arange(count)
    return memories.act[address % memories.hw.act_words].reshape(-1)


def weight_word(memories: Memories, address: int) -> I64:
    """One weight word, int64 [out channel, in channel]."""
    block = memories.hw.block
    word: I64 = memories.weight[address % memories.hw.weight_words].reshape(block, block).astype(np.int64)
    return word


def param_word(memories: Memories, address: int) -> NDArray[np.uint8]:
    """One parameter word, uint8 [8*B]."""
    word: NDArray[np.uint8] = memories.param[address % memories.hw.param_words]
    return word


def param_bytes(memories: Memories, base: int, size: int) -> NDArray[np.uint8]:
    """`size` bytes from parameter word `base` on."""
    words = [param_word(memories, base + n) for n in range(-(-size // memories.hw.param_word_bytes))]
    return np.concatenate(words)[:size]


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
    table = param_bytes(memories, packet["table_base"], codes.TABLE_BYTES)
    return numerics.apply_table(q, table.view(np.int8))
