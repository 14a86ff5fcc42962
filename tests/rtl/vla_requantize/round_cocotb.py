"""vla_requantize_round beside numerics.round_shift, with results of 8, 16 or 18 bits: edges, ties and random values."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from vla_isa import numerics

LATENCY = 4
SHIFTS = np.array([0, 1, 7, 8, 9, 15, 16, 31, 32, 47, 48, 55, 56, 57, 62, 63])


def draw(rng: np.random.Generator, rows: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Products of at most 57 bits and shifts: half of the products near the range of the result, many of these ties."""
    shift = np.where(rng.random(rows) < 0.5, rng.choice(SHIFTS, rows), rng.integers(0, 50, rows))
    wide = rng.integers(-(1 << 57), 1 << 57, rows) >> rng.integers(0, 57, rows)
    near = rng.integers(-(1 << bits), 1 << bits, rows) << np.minimum(shift, 56 - bits)
    half = np.where(shift > 0, 1 << np.clip(shift - 1, 0, 55 - bits), 0)
    near += rng.choice(np.array([-1, 0, 1]), rows) + half * rng.integers(0, 2, rows)
    return np.where(rng.random(rows) < 0.5, wide, near), shift


@cocotb.test()
async def rounds_like_numerics(dut: Any) -> None:
    bits, rng = int(dut.Bits.value), np.random.default_rng(3)
    low, high, mask = -(1 << (bits - 1)), (1 << (bits - 1)) - 1, (1 << bits) - 1
    dut.en_i.value = 15
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    for rounding in range(3):
        for zero, lo, hi in ((0, low, high), (low, low, high), (high, low, high), (-7, 5, 90), (5, 60, -60)):
            p, shift = draw(rng, 1500, bits)
            want = numerics.round_shift(p, shift, rounding) + zero
            want = np.minimum(np.maximum(want, lo), hi)
            dut.rounding_i.value = rounding
            dut.zero_i.value, dut.lo_i.value, dut.hi_i.value = zero & mask, lo & mask, hi & mask
            for row in range(len(p) + LATENCY):
                if row < len(p):
                    dut.p_i.value, dut.shift_i.value = int(p[row]) & ((1 << 58) - 1), int(shift[row])
                await FallingEdge(dut.clk_i)
                done = row - LATENCY + 1
                if 0 <= done < len(p):
                    assert int(dut.q_o.value) == int(want[done]) & mask, (p[done], shift[done], rounding, zero, lo, hi)
