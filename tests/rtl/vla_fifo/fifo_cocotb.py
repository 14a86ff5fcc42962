"""vla_fifo beside a deque: random pushes and pops, full and empty included."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from cocotb.triggers import FallingEdge
from stimulus import settle, start


@cocotb.test()
async def random_traffic(dut) -> None:
    """Order, ready and valid agree with the model in every cycle."""
    rng = random.Random(5)
    depth, width = int(dut.Depth.value), int(dut.Width.value)
    await start(dut, "in_valid_i", "in_data_i", "out_ready_i")
    held: deque[int] = deque()
    seen = {"full": 0, "empty": 0, "both": 0}
    for cycle in range(4000):
        eager = 0.8 if cycle // 50 % 2 else 0.3  # phases in which it fills and in which it drains
        push, pop, data = rng.random() < eager, rng.random() < 1.1 - eager, rng.getrandbits(width)
        dut.in_valid_i.value, dut.out_ready_i.value, dut.in_data_i.value = int(push), int(pop), data
        await settle()
        ready, valid = len(held) < depth, bool(held)
        assert (bool(dut.in_ready_o.value), bool(dut.out_valid_o.value)) == (ready, valid)
        assert not valid or dut.out_data_o.value.to_unsigned() == held[0]
        seen["full"] += not ready
        seen["empty"] += not valid
        seen["both"] += push and ready and pop and valid
        if pop and valid:
            held.popleft()
        if push and ready:
            held.append(data)
        await FallingEdge(dut.clk_i)
    assert min(seen.values()) > 100, seen
