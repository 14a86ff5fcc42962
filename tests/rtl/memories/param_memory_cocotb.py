"""vla_param_memory beside an array: the first client that asks is served; lines are written one at a time."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import FallingEdge
from stimulus import pack, settle, start

LINE_BITS = 512


@cocotb.test()
async def random_clients(dut) -> None:
    """Grants by priority; the word of the granted client stays until the next grant."""
    rng = random.Random(3)
    words, lines = int(dut.ParamWords.value), int(dut.Block.value) // 8
    bits = words.bit_length() - 1
    await start(dut, "rd_valid_i", "rd_addr_i", "wr_en_i", "wr_addr_i", "wr_line_i", "wr_data_i")
    memory: dict[tuple[int, int], int] = {}
    shown: int | None = None  # the word on the port, where it is known
    seen = {"word": 0, "waits": 0}
    for _ in range(3000):
        valid = [rng.random() < 0.3 for _ in range(3)]
        address = [rng.randrange(8) for _ in range(3)]
        write = (rng.randrange(8), rng.randrange(lines), rng.getrandbits(LINE_BITS)) if rng.random() < 0.5 else None
        dut.rd_valid_i.value, dut.rd_addr_i.value = pack(valid, 1), pack(address, bits)
        dut.wr_en_i.value = int(write is not None)
        if write:
            dut.wr_addr_i.value, dut.wr_line_i.value, dut.wr_data_i.value = write
        await settle()
        first = valid.index(True) if any(valid) else None
        assert dut.rd_grant_o.value.to_unsigned() == (0 if first is None else 1 << first)
        if shown is not None:
            assert dut.rd_data_o.value.to_unsigned() == shown
            seen["word"] += 1
        seen["waits"] += sum(valid) > 1
        if first is not None:
            found = [memory.get((address[first], line)) for line in range(lines)]
            shown = None if None in found else pack((f for f in found if f is not None), LINE_BITS)
        if write:
            memory[write[:2]] = write[2]
        await FallingEdge(dut.clk_i)
    assert min(seen.values()) > 500, seen
