"""vla_weight_memory beside an array: columns written at their own addresses, whole words read."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import FallingEdge
from stimulus import pack, settle, start

COLUMN_BITS = 256


@cocotb.test()
async def random_columns(dut) -> None:
    """A word read holds what its columns got before that clock edge, until the next read."""
    rng = random.Random(4)
    words, columns = int(dut.WeightWords.value), int(dut.Block.value) ** 2 // 32
    bits = words.bit_length() - 1
    await start(dut, "rd_en_i", "rd_addr_i", "wr_en_i", "wr_addr_i", "wr_data_i")
    memory: dict[tuple[int, int], int] = {}
    shown: int | None = None
    seen = 0
    for _ in range(3000):
        read, address = rng.random() < 0.4, rng.randrange(6)
        enable = [rng.random() < 0.5 for _ in range(columns)]
        to = [rng.randrange(6) for _ in range(columns)]
        data = [rng.getrandbits(COLUMN_BITS) for _ in range(columns)]
        dut.rd_en_i.value, dut.rd_addr_i.value = int(read), address
        dut.wr_en_i.value, dut.wr_addr_i.value = pack(enable, 1), pack(to, bits)
        dut.wr_data_i.value = pack(data, COLUMN_BITS)
        await settle()
        if shown is not None:
            assert dut.rd_data_o.value.to_unsigned() == shown
            seen += 1
        if read:
            found = [memory.get((address, c)) for c in range(columns)]
            shown = None if None in found else pack((f for f in found if f is not None), COLUMN_BITS)
        memory |= {(to[c], c): data[c] for c in range(columns) if enable[c]}
        await FallingEdge(dut.clk_i)
    assert seen > 1000
