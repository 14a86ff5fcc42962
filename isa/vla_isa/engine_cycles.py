"""Cycles that an engine needs for one packet; every constant of the machine is in `cost.Timing`.

MAC: output channel block after block, strips of PP output pixels that run across row ends; a strip takes
one cycle per live weight block and tap, more where two of its pixels lie in one bank, and at least the
time its results need to be requantized. VEC and POOL: two words per cycle. COPY: bursts, see `bursts.py`.
The instructions say what they cost; here are asking them, and what several of them say the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Params
from vla_isa.cost import REFERENCE, Cost, Timing
from vla_isa.hardware import BANKS, HardwareConfig
from vla_isa.packet import Packet

__all__ = ["busiest_bank", "last_strip", "mac_cost", "packet_cost", "vector_cost"]


def packet_cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing = REFERENCE) -> Cost:
    """Cycles of a legal packet alone on its engine, and what bounds it.

    Args:
        packet: passes `encoding.illegal`.
        hw: the machine.
        params: contents of the parameter memory, for masks; None takes every mask bit as set.
        timing: constants.
    """
    return packet.instruction.cost(packet, hw, params, timing)


def mac_cost(
    strips: NDArray[np.int64],
    outs: NDArray[np.int64],
    pixels: int,
    hw: HardwareConfig,
    timing: Timing,
    *,
    taps: int = 1,
    table: int,
    residual: int = 0,
) -> Cost:
    """A packet of the MAC engine.

    Args:
        strips: cycles of each strip for one live weight block, without conflicts one per tap.
        outs: live weight blocks of each output block.
        pixels: of an output plane.
        hw, timing: the machine.
        taps: of the kernel.
        table, residual: 1 where the packet has an output table, or adds a residual.
    """
    requantize = hw.pixels // hw.requant_pixels
    work = sum(
        int(np.maximum(strips * n, requantize).sum()) * int(times)
        for n, times in zip(*np.unique(outs, return_counts=True), strict=True)
    )
    multiply = int(strips.sum() * outs.sum())
    ideal = len(strips) * taps * int(outs.sum())
    first = max(int(strips[0]) * int(outs[0]), requantize)
    extra = timing.mac_overhead + -(-last_strip(pixels, hw.pixels) // hw.requant_pixels)
    if table:
        extra += max(0, timing.mac_table - first)
    if residual:
        extra += timing.mac_residual
    bound = "compute" if 10 * work < 11 * multiply else "requantize"
    if 2 * work < extra:
        bound = "latency"
    setup = timing.mac_setup + hw.pixels
    return Cost(
        setup + work + extra,
        bound,
        setup=setup,
        mac_busy=ideal,
        conflicts=multiply - ideal,
        resource="banks",
        share=hw.pixels / BANKS * multiply / max(work, 1),
    )


def last_strip(pixels: int, strip: int) -> int:
    """Pixels of the last of the strips that an output plane is cut into."""
    return (pixels - 1) % strip + 1


def vector_cost(work: int, overhead: int, bound: str, timing: Timing) -> Cost:
    """A packet of the vector engine, `work` cycles besides its overhead; the MAC engine takes banks first."""
    cycles = timing.vec_setup + work + overhead
    return Cost(cycles, bound, setup=timing.vec_setup, resource="banks", yields=True)


def busiest_bank(words: NDArray[np.int64], pixels: int) -> NDArray[np.int64]:
    """Distinct words of the busiest bank in each group of `pixels`, at least 1; -1 is no word."""
    group = np.sort(words.reshape(-1, pixels), axis=1)
    fresh = group >= 0
    fresh[:, 1:] &= group[:, 1:] != group[:, :-1]
    same_bank = (group[:, :, None] - group[:, None, :]) % BANKS == 0
    counts = (same_bank & fresh[:, None, :]).sum(axis=2)
    most: NDArray[np.int64] = np.maximum(np.where(fresh, counts, 1).max(axis=1), 1)
    return most
