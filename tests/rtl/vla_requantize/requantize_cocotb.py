"""vla_requantize beside numerics.requantize: edges and random values, with gaps in the stream."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from vla_isa import numerics

LANES, LATENCY = 4, 7
ACCUMULATORS = np.array([-(1 << 31), -(1 << 31) + 1, -3, -2, -1, 0, 1, 2, 3, (1 << 31) - 1])
MULTS = np.array([0, 1 << 23, (1 << 23) + 1, 3 << 22, (1 << 24) - 1])


def draw(rng: np.random.Generator, rows: int, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Accumulators, biases, multipliers and shifts, int64 [rows, LANES]: edges, ties and random values mixed."""
    shape = (rows, LANES)

    def mix(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(shape) < 0.5, rng.choice(edges, shape), values)

    acc = mix(ACCUMULATORS, rng.integers(-(1 << 31), 1 << 31, shape) >> rng.integers(0, 31, shape))
    bias = mix(ACCUMULATORS, rng.integers(-(1 << 31), 1 << 31, shape) >> rng.integers(0, 31, shape))
    mult = mix(MULTS, rng.integers(1 << 23, 1 << 24, shape))
    # half of the shifts bring the product near the range of the result, where rounding decides
    near = np.clip(np.log2(np.maximum(np.abs((acc + bias) * mult), 1)).astype(np.int64) + 2 - bits, 0, 63)
    return acc, bias, mult, mix(np.array([0, 1, 22, 23, 24, 56, 62, 63]), near)


def flat(values: np.ndarray, bits: int) -> int:
    """A port's value: lane i in bits i*bits and up."""
    return sum((int(v) & ((1 << bits) - 1)) << (bits * i) for i, v in enumerate(values))


async def compare(dut: Any, rng: np.random.Generator, rounding: int, zero: int, lo: int, hi: int, rows: int) -> int:
    """Send rows of values with gaps; returns how many rows came back."""
    bits = int(dut.Bits.value)
    acc, bias, mult, shift = draw(rng, rows, bits)
    silent = rng.random(rows) < 0.1
    mask = (1 << bits) - 1
    dut.rounding_i.value, dut.zero_i.value = rounding, zero & mask
    dut.lo_i.value, dut.hi_i.value = lo & mask, hi & mask
    want = numerics.requantize(acc, np.where(silent[:, None], 0, bias), mult, shift, rounding, zero, lo, hi)
    sent: list[int | None] = []
    row = got = 0
    while got < rows:
        valid = row < rows and rng.random() < 0.8
        dut.valid_i.value = int(valid)
        if valid:
            records = numerics.pack_records(bias[row], mult[row], shift[row])
            records[:, 7] |= 0xC0  # the reserved bits are ignored
            dut.acc_i.value = flat(acc[row], 32)
            dut.record_i.value = int.from_bytes(records.tobytes(), "little")
            dut.silent_i.value = int(silent[row])
        sent.append(row if valid else None)
        row += valid
        await FallingEdge(dut.clk_i)
        due = sent[-LATENCY] if len(sent) >= LATENCY else None
        assert int(dut.valid_o.value) == (due is not None)
        if due is not None:
            assert int(dut.q_o.value) == flat(want[due], bits), (acc[due], bias[due], mult[due], shift[due], want[due])
            got += 1
    return got


@cocotb.test()
async def requantizes_like_numerics(dut: Any) -> None:
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    rng = np.random.default_rng(1)
    dut.rst_i.value, dut.valid_i.value = 1, 0
    for _ in range(LATENCY + 2):
        await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0
    low = -(1 << (int(dut.Bits.value) - 1))
    for rounding in range(3):
        for zero, lo, hi in ((0, low, -low - 1), (-128, -128, 127), (127, -128, 127), (-7, -7, 90), (5, 60, -60)):
            assert await compare(dut, rng, rounding, zero, lo, hi, 400) == 400
