"""Cycles that an engine needs for one packet; every constant of the machine is in `cost.Timing`.

MAC: output channel block after block, strips of PP output pixels that run across row ends; a strip takes
one cycle per live weight block and tap, more where two of its pixels lie in one bank, and at least the
time its results need to be requantized. VEC and POOL: two words per cycle. COPY: bursts, see `bursts.py`.
The instructions say what they cost; here are asking them, and what several of them say the same way.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Params
from vla_isa.bursts import Bursts
from vla_isa.cost import REFERENCE, Cost, Timing, Touches
from vla_isa.generated.codes import TABLE_BYTES
from vla_isa.hardware import BANKS, HardwareConfig
from vla_isa.packet import Packet

__all__ = [
    "busiest_bank",
    "drain_groups",
    "mac_cost",
    "master_cost",
    "packet_cost",
    "row_cost",
    "strip_steps",
    "vector_cost",
]


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
    drains: NDArray[np.int64],
    hw: HardwareConfig,
    timing: Timing,
    *,
    taps: int = 1,
    table: bool,
    waits: int = 0,
    behind: int = 0,
    touches: Touches,
) -> Cost:
    """A packet of the MAC engine.

    Args:
        strips: cycles of each strip for one live weight block, without conflicts one per tap.
        outs: live weight blocks of each output block.
        drains: cycles that the results of each strip take to be written, for each output block [outs, strips].
        hw, timing: the machine.
        taps: of the kernel.
        table: the packet has an output table, which is read first.
        waits: cycles that results wait for what is read for them.
        behind: cycles of what is done behind the results.
        touches: banks that it reads and writes.
    """
    steps = np.multiply.outer(outs, strips)
    multiply = int(steps.sum())
    if outs.all():
        work = _piped(steps.ravel(), drains.ravel())
    else:  # a strip without weights is one step, so that those that wait fill their room
        work = _piped_in_room(np.maximum(steps, 1).ravel(), drains.ravel(), timing.mac_strips)
    if table:
        read = timing.mac_table + 2 * -(-TABLE_BYTES // hw.param_word_bytes)
        work = max(work, read + int(drains.sum()))
    work += waits
    ideal = len(strips) * taps * int(outs.sum())
    extra = timing.mac_overhead + behind
    bound = "compute" if 10 * work < 11 * multiply else "requantize"
    if 2 * work < extra:
        bound = "latency"
    setup = timing.mac_setup + max(hw.pixels, timing.mac_constants)
    return Cost(
        setup + work + extra,
        bound,
        setup=setup,
        mac_busy=ideal,
        conflicts=multiply - ideal,
        tail=extra,
        touches=touches,
    )


def _piped(steps: NDArray[np.int64], drains: NDArray[np.int64]) -> int:
    """Cycles of two stages one behind the other, with room for what waits between them.

    Some job is multiplied without a pause up to itself, and drained without one from itself on.
    """
    return int((np.cumsum(steps) + np.cumsum(drains[::-1])[::-1]).max())


def _piped_in_room(steps: NDArray[np.int64], drains: NDArray[np.int64], room: int) -> int:
    """The same with room for so many jobs between the stages, the one that is drained among them."""
    drained = np.zeros(room, np.int64)  # when the last jobs were
    multiplied = 0
    for at in range(0, len(steps), room):
        s, d = steps[at : at + room], drains[at : at + room]
        done = np.cumsum(s)
        done += np.maximum(np.maximum.accumulate(drained[: len(s)] - done + s), multiplied)
        multiplied, last = int(done[-1]), int(drained[-1])
        total = np.cumsum(d)
        drained = total + np.maximum(np.maximum.accumulate(done - total + d), last)
    return int(drained[-1])


def drain_groups(pixels: int, hw: HardwareConfig) -> NDArray[np.int64]:
    """Groups of pixels that are requantized at once, of each strip of an output plane."""
    left = pixels - np.arange(-(-pixels // hw.pixels)) * hw.pixels
    return -(-np.minimum(left, hw.pixels) // hw.requant_pixels)


@lru_cache(maxsize=512)
def strip_steps(
    pixels: int,
    out: tuple[int, int],
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pad: tuple[int, int],
    rows: tuple[int, int, int],
) -> NDArray[np.int64]:
    """Cycles of each strip for one channel block: the most pixels in one bank, summed over the taps.

    Args:
        pixels: PP.
        out, size, kernel, stride, dilation, pad: (rows, columns).
        rows: ring, slot and row stride of the input.
    """
    ring, slot, row_stride = rows
    strips = -(-out[0] * out[1] // pixels)
    index = np.arange(strips * pixels)
    oy, ox = index // out[1], index % out[1]
    steps = np.zeros(strips, np.int64)
    for ky in range(kernel[0]):
        iy = oy * stride[0] + ky * dilation[0] - pad[0]
        row = (slot + iy) % ring * row_stride
        inside = (iy >= 0) & (iy < size[0]) & (index < out[0] * out[1])
        for kx in range(kernel[1]):
            ix = ox * stride[1] + kx * dilation[1] - pad[1]
            steps += busiest_bank(np.where(inside & (ix >= 0) & (ix < size[1]), row + ix, -1), pixels)
    return steps


def master_cost(bursts: Bursts, setup: int, bound: str, timing: Timing, path: str = "", kind: str = "") -> Cost:
    """A packet that reads the data space over in-master 0, and perhaps over the other one as well."""
    return Cost(
        setup + bursts.cycles,
        bound,
        setup=setup,
        read_beats=bursts.beats,
        path=path,
        kind=kind,
        share=bursts.share,
        burst=bursts.length,
        walk=bursts.walk + timing.copy_cut + timing.copy_next,
    )


def vector_cost(work: int, overhead: int, bound: str, setup: int, touches: Touches) -> Cost:
    """A packet of the vector engine, `work` cycles besides its overhead; the MAC engine takes banks first."""
    return Cost(setup + work + overhead, bound, setup=setup, tail=overhead, touches=touches)


def row_cost(packet: Packet, pair: int, overhead: int, timing: Timing, touches: Touches) -> Cost:
    """A packet of the vector engine that walks pairs of pixels of a row, and blocks in them.

    Args:
        packet: with h and m.
        pair: cycles of a pair of pixels.
        overhead: cycles besides.
        timing: constants.
        touches: what it reads and writes of the scratchpad.
    """
    work = packet["h"] * -(-packet["m"] // 2) * pair
    return vector_cost(work, overhead, "compute" if work > overhead else "latency", timing.row_setup, touches)


def busiest_bank(words: NDArray[np.int64], pixels: int) -> NDArray[np.int64]:
    """Distinct words of the busiest bank in each group of `pixels`, at least 1; -1 is no word."""
    group = np.sort(words.reshape(-1, pixels), axis=1)
    fresh = group >= 0
    fresh[:, 1:] &= group[:, 1:] != group[:, :-1]
    same_bank = (group[:, :, None] - group[:, None, :]) % BANKS == 0
    counts = (same_bank & fresh[:, None, :]).sum(axis=2)
    most: NDArray[np.int64] = np.maximum(np.where(fresh, counts, 1).max(axis=1), 1)
    return most
