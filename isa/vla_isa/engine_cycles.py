"""Cycles that each engine needs for one packet; every constant of the machine in `Timing`.

MAC: output channel block after block, strips of PP output pixels that run across row ends; a strip takes
one cycle per live weight block and tap, more where two of its pixels lie in one bank, and at least the
time its results need to be requantized. COPY: runs cut into bursts, shared equally by the masters.
VEC and POOL: two words per cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import Packet
from vla_isa.footprint import Params, footprint, live_blocks, moved_lines
from vla_isa.hardware import BANKS, BEAT_BYTES, LINE_BYTES, HardwareConfig
from vla_isa.instructions import MOVES

__all__ = ["REFERENCE", "Cost", "Timing", "packet_cost"]


@dataclass(frozen=True)
class Timing:
    """Constants of the machine and of the reference memory, in cycles unless said otherwise."""

    read_latency: int = 64  # from address to first beat
    write_latency: int = 64  # from last beat to response
    bursts_in_flight: int = 8  # per master
    burst_lines: int = 16  # data-space lines of the longest burst of a COPY
    burst_weight_beats: int = 128  # beats of the longest burst of a weight master
    burst_weight_words: int = 64  # and the weight words that it covers at most
    start: int = 4  # from the start bit to the first read
    dispatch: int = 2  # between packets that leave fetch; a packet is two beats
    dispatch_latency: int = 4  # from fetch to a queue's head
    semaphore: int = 2  # from a signal to the packet that waited for it
    copy_overhead: int = 10  # pipelines of the load and store engines, before and after the memory
    empty_copy: int = 3  # a COPY that moves nothing
    mac_overhead: int = 23  # a MAC packet besides its strips: first operands to first write, next packet's start
    vec_overhead: int = 15  # a VEC packet besides its words
    pool_overhead: int = 20  # a POOL packet besides its windows
    table_load: int = 40  # reading a 256-byte table
    fetch_overhead: int = 2  # JUMP and HALT


REFERENCE = Timing()


@dataclass(frozen=True)
class Cost:
    """What a packet takes of its engine.

    `cycles` is the time alone; the first `latency` of them (address to first beat) run while the packet
    before it in the same queue still moves its data.
    """

    cycles: int
    bound: str
    latency: int = 0
    mac_busy: int = 0
    conflicts: int = 0
    read_beats: int = 0
    write_beats: int = 0


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


def _mac(strips: NDArray[np.int64], outs: NDArray[np.int64], ideal: int, hw: HardwareConfig, timing: Timing) -> Cost:
    """A MAC packet: `strips` cycles per live weight block, `outs` live blocks of each output block."""
    requantize = hw.pixels // hw.requant_pixels
    cycles = sum(
        int(np.maximum(strips * n, requantize).sum()) * int(times)
        for n, times in zip(*np.unique(outs, return_counts=True), strict=True)
    )
    multiply = int(strips.sum() * outs.sum())
    bound = "compute" if 10 * cycles < 11 * multiply else "requantize"
    if 2 * cycles < timing.mac_overhead:
        bound = "latency"
    return Cost(cycles + requantize + timing.mac_overhead, bound, mac_busy=ideal, conflicts=multiply - ideal)


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
    ideal = len(strips) * v["kernel_h"] * v["kernel_w"] * int(outs.sum())
    cost = _mac(strips, outs, ideal, hw, timing)
    if not v["table_enable"]:
        return cost
    return replace(cost, cycles=cost.cycles + timing.table_load)


def _gemm(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    strips = np.ones(-(-v["m"] // hw.pixels), np.int64)
    outs = np.full(v["batch"] * v["n_blocks"], v["k_blocks"])
    cost = _mac(strips, outs, len(strips) * int(outs.sum()), hw, timing)
    return replace(cost, cycles=cost.cycles + timing.table_load * v["table_enable"])


def _bursts(
    starts: NDArray[np.int64], units: NDArray[np.int64] | int, group: int, unit_bytes: int, latency: int, timing: Timing
) -> tuple[float, int, bool]:
    """Runs cut into bursts that end where an aligned group ends.

    Args:
        starts: first unit of each run; units: how many, one number or one for each run.
        group: units of a group, so of the longest burst; unit_bytes: what one master moves of a unit.

    Returns:
        Cycles that one master needs, beats, and whether bursts in flight rather than beats set the pace.
    """
    length = np.broadcast_to(np.asarray(units, np.int64), starts.shape)
    first = np.minimum(length, group - starts % group)
    whole, last = np.divmod(length - first, group)
    cycles, beats_total, waits = 0.0, 0, False
    sizes = np.concatenate([first, last])
    counts = np.bincount(sizes[sizes > 0], minlength=group + 1)
    counts[group] += whole.sum()
    for size in np.flatnonzero(counts):
        beats = -(-int(size) * unit_bytes // BEAT_BYTES)
        pace = (latency + beats) / timing.bursts_in_flight
        cycles += int(counts[size]) * max(beats, pace)
        beats_total += int(counts[size]) * beats
        waits |= pace > beats
    return cycles, beats_total, waits


def _run_starts(packet: Packet, side: str) -> NDArray[np.int64]:
    """Address of every run on the side of the memory, in walking order."""
    v = packet.values
    n3, n2, n1 = (np.arange(v[n]) for n in ("n3", "n2", "n1"))
    return (
        v[side]
        + (n3 * v[f"{side}_stride3"])[:, None, None]
        + (n2 * v[f"{side}_stride2"])[None, :, None]
        + (n1 * v[f"{side}_stride1"])[None, None, :]
    ).ravel()


def _copy(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    move, runs = MOVES[v["move"]], v["n1"] * v["n2"] * v["n3"]
    if runs * v["n0"] == 0:
        return Cost(timing.empty_copy, "latency")
    if move == "weight_to_weight":
        return _weights(packet, hw, params, timing)
    if move in ("fill_act", "act_to_act"):
        lanes = hw.in_masters * BEAT_BYTES // hw.act_word_bytes
        return Cost(runs * -(-v["n0"] // lanes) + timing.copy_overhead, "memory", latency=timing.copy_overhead)
    store = move == "act_to_data"
    # units: words of the activation side, or lines of parameters
    units, unit, longest = v["n0"], hw.act_word_bytes, timing.burst_lines
    if move == "data_to_param":
        units, unit, longest = moved_lines(v["move"], v["n0"], hw), LINE_BYTES, timing.burst_weight_words
    latency = timing.write_latency if store else timing.read_latency
    masters = {"act_to_data": hw.out_masters, "data_to_act": hw.in_masters}.get(move, 1)
    per_line = LINE_BYTES // unit
    starts = _run_starts(packet, "dst" if store else "src") * per_line
    cycles, beats, waits = _bursts(starts, units, longest * per_line, unit, latency, timing)
    busy = -(-int(cycles) // masters)
    return Cost(
        busy + latency + timing.copy_overhead,
        "latency" if waits or busy < latency else "memory",
        latency=latency + timing.copy_overhead,
        read_beats=0 if store else beats,
        write_beats=beats if store else 0,
    )


def _weights(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """Neighbouring runs are joined; every master delivers its own columns of each word."""
    words = next((a.words for a in footprint(packet, hw, params) if a.space == "weight_hbm"), None)
    if words is None:  # every block masked
        return Cost(timing.empty_copy, "latency")
    word_beats = hw.weight_word_bytes // BEAT_BYTES // hw.weight_masters
    group = min(timing.burst_weight_words, timing.burst_weight_beats // word_beats)
    cycles, beats, waits = _bursts(
        words[:, 0], words[:, 1] - words[:, 0], group, word_beats * BEAT_BYTES, timing.read_latency, timing
    )
    busy = int(cycles)
    bound = "latency" if waits or busy < timing.read_latency else "memory"
    latency = timing.read_latency + timing.copy_overhead
    return Cost(busy + latency, bound, latency=latency, read_beats=beats * hw.weight_masters)


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
    return Cost(int(pairs.sum()) * v["in_blocks"] + timing.pool_overhead, "compute")


def _vec(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    words = v["out_h"] * v["out_w"] * v["out_blocks"]
    table = timing.table_load * v["table_enable"]
    return Cost(-(-words // 2) + table + timing.vec_overhead, "compute" if words > 2 * table else "latency")


def _fetch(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    return Cost(timing.fetch_overhead, "latency")


_COSTS: dict[str, Callable[[Packet, HardwareConfig, Params | None, Timing], Cost]] = {
    "CONV": _conv,
    "GEMM": _gemm,
    "COPY": _copy,
    "POOL": _pool,
    "VEC": _vec,
    "JUMP": _fetch,
    "HALT": _fetch,
}
