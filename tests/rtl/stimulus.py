"""What cocotb tests of several modules share: reset, and packed ports.

Imported in the simulator's process (bench.run_cocotb puts this folder on its path).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer


async def start(dut: Any, *inputs: str) -> None:
    """Run the clock and reset; once in a test."""
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    await reset(dut, *inputs)


async def reset(dut: Any, *inputs: str) -> None:
    """Hold the inputs at zero and reset; leaves after a falling edge, from which inputs may change."""
    for name in inputs:
        getattr(dut, name).value = 0
    dut.rst_i.value = 1
    for _ in range(2):
        await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0


async def settle() -> None:
    """Let combinational outputs follow the inputs."""
    await Timer(500, "ps")


def pack(values: Iterable[int], width: int) -> int:
    """A port of lanes: value i in bits i*width and up."""
    return sum((int(v) & ((1 << width) - 1)) << (width * i) for i, v in enumerate(values))


def lane(port: Any, index: int, width: int) -> int:
    """Lane `index` of a packed port."""
    return int(port.value.to_unsigned()) >> (width * index) & ((1 << width) - 1)
