"""vla_mac_maxima beside a running maximum: batches of different sizes, up to 1024 pixels, with and without gaps."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

BLOCK, GROUP, LATENCY = 8, 2, 4
# pixels, out blocks
BATCHES = ((1, 1), (2, 1), (1, 5), (5, 3), (2, 4), (7, 3), (15, 2))


def flat(values: np.ndarray) -> int:
    """A port's value: int16 number i in bits 16 * i and up."""
    return sum((int(v) & 0xFFFF) << (16 * i) for i, v in enumerate(values.reshape(-1)))


async def batch(dut: Any, rng: np.random.Generator, pixels: int, blocks: int, share: float) -> None:
    """Send the groups of a batch, at least two cycles apart; compare what comes out, cycle by cycle."""
    groups = -(-pixels // GROUP)
    edges = np.array([-32768, -32767, -1, 0, 32767])
    size = (blocks, groups, GROUP, BLOCK)
    q = np.where(rng.random(size) < 0.3, rng.choice(edges, size), rng.integers(-32768, 32768, size))
    q[:, rng.random(groups) < 0.1] = -32768
    want = q.max(axis=(0, 3))
    order = [(b, g) for b in range(blocks) for g in range(groups)]
    due: dict[int, int] = {}
    cycle = free = sent = 0
    while sent < len(order) or due:
        send = sent < len(order) and cycle >= free and rng.random() < share
        dut.valid_i.value = int(send)
        if send:
            b, g = order[sent]
            dut.q_i.value = flat(q[b, g])
            dut.first_i.value, dut.last_i.value, dut.end_i.value = (
                int(b == 0),
                int(b == blocks - 1),
                int(g == groups - 1),
            )
            if b == blocks - 1:
                due[cycle + LATENCY - 1] = g
            sent, free = sent + 1, cycle + 2
        await FallingEdge(dut.clk_i)
        found = due.pop(cycle, None)
        assert int(dut.valid_o.value) == (found is not None)
        if found is not None:
            assert int(dut.maxima_o.value) == flat(want[found]), (pixels, blocks, found)
        cycle += 1


@cocotb.test()
async def keeps_maxima(dut: Any) -> None:
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    rng = np.random.default_rng(2)
    dut.rst_i.value, dut.valid_i.value = 1, 0
    for _ in range(4):
        await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0
    await batch(dut, rng, 1024, 2, 1.0)
    for share in (1.0, 0.4):
        for pixels, blocks in BATCHES:
            await batch(dut, rng, pixels, blocks, share)
