"""vla_mac_wide beside numerics.residual16 and masked_logits: both ends of every range, with and without gaps."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from vla_isa import numerics

BLOCK, GROUP, LATENCY = 8, 2, 2
LANES = BLOCK * GROUP
SUMS = np.array([-(1 << 17), -65536, -32769, -32768, -32767, -1, 0, 1, 32766, 32767, 32768, (1 << 17) - 1])
RESIDUALS = np.array([-32768, -32767, -1, 0, 1, 32767])


def flat(values: np.ndarray, bits: int) -> int:
    """A port's value: lane i in bits i*bits and up."""
    return sum((int(v) & ((1 << bits) - 1)) << (bits * i) for i, v in enumerate(values))


async def compare(dut: Any, rng: np.random.Generator, maxima: int, rows: int) -> None:
    """Send groups at least two cycles apart; every word must come in its cycle, and no other."""
    shape = (rows, LANES)
    q = np.where(rng.random(shape) < 0.5, rng.choice(SUMS, shape), rng.integers(-(1 << 17), 1 << 17, shape))
    res = np.where(rng.random(shape) < 0.5, rng.choice(RESIDUALS, shape), rng.integers(-(1 << 15), 1 << 15, shape))
    columns = rng.integers(0, BLOCK + 1, (rows, GROUP))
    valid = np.tile(np.arange(BLOCK), GROUP) < np.repeat(columns, BLOCK, axis=1)
    want = numerics.masked_logits(q, 0, 1, 0, 0, res, valid) if maxima else numerics.residual16(q, 0, 1, 0, 0, res)
    dut.maxima_i.value = maxima
    due: dict[int, tuple[int, bool]] = {}
    row = cycle = free = 0
    while row < rows or due:
        send = row < rows and cycle >= free and rng.random() < 0.7
        dut.valid_i.value = int(send)
        if send:
            dut.q_i.value = flat(q[row], 18)
            dut.residual_i.value = flat(np.concatenate([res[row] & 255, res[row] >> 8]), 8)
            dut.columns_i.value = flat(columns[row], 5)
            due[cycle + LATENCY - 1], due[cycle + LATENCY] = (row, False), (row, True)
            row, free = row + 1, cycle + 2
        await FallingEdge(dut.clk_i)
        found = due.pop(cycle, None)
        assert int(dut.words_valid_o.value) == (found is not None)
        assert int(dut.valid_o.value) == (found is not None and not found[1])
        if found is not None:
            at, high = found
            assert int(dut.words_o.value) == flat(want[at] >> 8 if high else want[at], 8), (maxima, at, high)
            if not high:
                assert int(dut.q_o.value) == flat(want[at], 16)
        cycle += 1


@cocotb.test()
async def widens_like_numerics(dut: Any) -> None:
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    rng = np.random.default_rng(1)
    dut.rst_i.value, dut.valid_i.value = 1, 0
    for _ in range(4):
        await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0
    for maxima in (0, 1, 0):
        await compare(dut, rng, maxima, 250)
