"""vla_byte_transpose beside numpy's transpose: random blocks, gaps and refusals, and a group per cycle without them."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge


def group_words(dut: Any) -> int:
    return int(dut.Words.value)


async def stream(dut: Any, rng: np.random.Generator, blocks: int, gaps: float, refusals: float) -> int:
    """Send blocks and compare what comes; returns the cycles from the first group in to the last out."""
    size, group = int(dut.Block.value), group_words(dut) * int(dut.Block.value)
    data = rng.integers(0, 256, (blocks, size, size), np.uint8)
    groups = [g.tobytes() for g in data.reshape(-1, group)]
    want = [g.tobytes() for g in data.transpose(0, 2, 1).reshape(-1, group)]
    sent = got = cycles = 0
    offered = False
    while got < len(want):
        assert cycles < 100 * len(want) + 100
        offered = sent < len(groups) and (offered or rng.random() >= gaps)
        dut.in_valid_i.value = int(offered)
        dut.out_ready_i.value = int(ready := rng.random() >= refusals)
        if offered:
            dut.in_words_i.value = int.from_bytes(groups[sent], "little")
        await FallingEdge(dut.clk_i)  # inputs have settled; registers move at the next rising edge
        taken = offered and int(dut.in_ready_o.value) == 1
        if int(dut.out_valid_o.value) and ready:
            assert int(dut.out_words_o.value).to_bytes(group, "little") == want[got], f"group {got}"
            got += 1
        sent += taken
        offered = offered and not taken
        cycles += 1
        await cocotb.triggers.RisingEdge(dut.clk_i)
    dut.in_valid_i.value = 0
    return cycles


@cocotb.test()
async def turns_blocks(dut: Any) -> None:
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    rng = np.random.default_rng(4)
    dut.rst_i.value, dut.in_valid_i.value, dut.out_ready_i.value = 1, 0, 0
    for _ in range(3):
        await cocotb.triggers.RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    for gaps, refusals in ((0.5, 0.0), (0.0, 0.5), (0.4, 0.4), (0.9, 0.0), (0.0, 0.9)):
        await stream(dut, rng, 25, gaps, refusals)
    blocks, groups = 40, int(dut.Block.value) // group_words(dut)
    assert await stream(dut, rng, blocks, 0.0, 0.0) == (blocks + 1) * groups
