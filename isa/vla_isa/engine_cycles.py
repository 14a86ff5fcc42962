"""Cycles that each engine needs for one packet; every constant of the machine is in `cost.Timing`.

MAC: output channel block after block, strips of PP output pixels that run across row ends; a strip takes
one cycle per live weight block and tap, more where two of its pixels lie in one bank, and at least the
time its results need to be requantized. VEC and POOL: two words per cycle. COPY: see `copy_cycles.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.copy_cycles import copy_cost
from vla_isa.cost import REFERENCE, Cost, Timing
from vla_isa.footprint import Params, live_blocks
from vla_isa.hardware import BANKS, HardwareConfig
from vla_isa.packet import Packet

__all__ = ["packet_cost"]


def packet_cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing = REFERENCE) -> Cost:
    """Cycles of a legal packet alone on its engine, and what bounds it.

    Args:
        packet: passes `encoding.illegal`.
        hw: the machine.
        params: contents of the parameter memory, for masks; None takes every mask bit as set.
        timing: constants.
    """
    return _COSTS[packet.name](packet, hw, params, timing)


@lru_cache(maxsize=512)
def _strip_steps(
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
            steps += _busiest_bank(np.where(inside & (ix >= 0) & (ix < size[1]), row + ix, -1), pixels)
    return steps


def _busiest_bank(words: NDArray[np.int64], pixels: int) -> NDArray[np.int64]:
    """Distinct words of the busiest bank in each group of `pixels`, at least 1; -1 is no word."""
    group = np.sort(words.reshape(-1, pixels), axis=1)
    fresh = group >= 0
    fresh[:, 1:] &= group[:, 1:] != group[:, :-1]
    same_bank = (group[:, :, None] - group[:, None, :]) % BANKS == 0
    counts = (same_bank & fresh[:, None, :]).sum(axis=2)
    most: NDArray[np.int64] = np.maximum(np.where(fresh, counts, 1).max(axis=1), 1)
    return most


def _mac(
    packet: Packet, strips: NDArray[np.int64], outs: NDArray[np.int64], last: int, hw: HardwareConfig, timing: Timing
) -> Cost:
    """A MAC packet.

    Args:
        strips: cycles of each strip for one live weight block, without conflicts one per tap.
        outs: live weight blocks of each output block.
        last: pixels of the last strip.
    """
    requantize = hw.pixels // hw.requant_pixels
    work = sum(
        int(np.maximum(strips * n, requantize).sum()) * int(times)
        for n, times in zip(*np.unique(outs, return_counts=True), strict=True)
    )
    multiply = int(strips.sum() * outs.sum())
    taps = packet["kernel_h"] * packet["kernel_w"] if packet.name == "CONV" else 1
    ideal = len(strips) * taps * int(outs.sum())
    first = max(int(strips[0]) * int(outs[0]), requantize)
    extra = timing.mac_overhead + -(-last // hw.requant_pixels)
    if packet["table_enable"]:
        extra += max(0, timing.mac_table - first)
    if packet.name == "CONV" and packet["residual_enable"]:
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


def _last_strip(pixels: int, strip: int) -> int:
    return (pixels - 1) % strip + 1


def _conv(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    strips = _strip_steps(
        hw.pixels,
        (v["out_h"], v["out_w"]),
        (v["in_h"], v["in_w"]),
        (v["kernel_h"], v["kernel_w"]),
        (v["stride_h"], v["stride_w"]),
        (v["dilation_h"], v["dilation_w"]),
        (v["pad_top"], v["pad_left"]),
        (v["in_ring"], v["in_slot"], v["in_row_stride"]),
    )
    outs = live_blocks(packet, hw, params).sum(axis=1)
    return _mac(packet, strips, outs, _last_strip(v["out_h"] * v["out_w"], hw.pixels), hw, timing)


def _gemm(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    strips = np.ones(-(-v["m"] // hw.pixels), np.int64)
    outs = np.full(v["batch"] * v["n_blocks"], v["k_blocks"])
    return _mac(packet, strips, outs, _last_strip(v["m"], hw.pixels), hw, timing)


def _vector(work: int, overhead: int, bound: str, timing: Timing) -> Cost:
    """A VEC or POOL packet; the MAC engine takes banks first."""
    cycles = timing.vec_setup + work + overhead
    return Cost(cycles, bound, setup=timing.vec_setup, resource="banks", yields=True)


def _pool(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values

    def inside(side: str, pad: int) -> NDArray[np.int64]:
        first = np.arange(v[f"out_{side}"]) * v[f"stride_{side}"] - pad
        size: int = v[f"in_{side}"]
        taps: NDArray[np.int64] = np.clip(first + v[f"kernel_{side}"], 0, size) - np.clip(first, 0, size)
        return taps

    taps = np.multiply.outer(inside("h", v["pad_top"]), inside("w", v["pad_left"])).ravel()
    steps = np.maximum(-(-taps // 2), 1)
    pairs = np.append(steps, np.zeros(steps.size % 2, np.int64)).reshape(-1, 2).max(axis=1)
    return _vector(int(pairs.sum()) * v["in_blocks"], timing.pool_overhead, "compute", timing)


def _vec(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    words = v["out_h"] * v["out_w"] * v["out_blocks"]
    table = timing.vec_table * v["table_enable"]
    return _vector(-(-words // 2), table + timing.vec_overhead, "compute" if words > 2 * table else "latency", timing)


def _fetch(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    return Cost(timing.fetch_overhead, "latency")


_COSTS: dict[str, Callable[[Packet, HardwareConfig, Params | None, Timing], Cost]] = {
    "CONV": _conv,
    "GEMM": _gemm,
    "COPY": copy_cost,
    "POOL": _pool,
    "VEC": _vec,
    "JUMP": _fetch,
    "HALT": _fetch,
}
