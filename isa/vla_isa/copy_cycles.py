"""Cycles of COPY: runs joined and cut into bursts, shared equally by the masters.

Runs that continue each other line by line become one burst, the padding between them included. A master
keeps a number of bursts in flight, so short bursts are bound by the memory's latency.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.cost import Cost, Timing
from vla_isa.footprint import Params, footprint, moved_lines
from vla_isa.hardware import BEAT_BYTES, LINE_BYTES, HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.packet import Packet

__all__ = ["copy_cost"]

LINE_BEATS = LINE_BYTES // BEAT_BYTES
# who gets in-master 0 when both ask: bursts of parameters are longer than those of activations
PARAM_SHARE, LOAD_SHARE = 0.8, 0.2


def copy_cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """Cycles of a COPY; arguments as those of `engine_cycles.packet_cost`."""
    v = packet.values
    move, runs = MOVES[v["move"]], v["n1"] * v["n2"] * v["n3"]
    if runs * v["n0"] == 0:
        return Cost(timing.empty_copy, "latency")
    if move == "weight_to_weight":
        return _weights(packet, hw, params, timing)
    if move == "data_to_param":
        return _params(packet, hw, timing)
    if move == "act_to_data":
        return _lines(packet, "dst", hw.out_masters, timing.write_latency, hw, timing)
    if move == "data_to_act":
        return _lines(packet, "src", hw.in_masters, timing.read_latency, hw, timing)
    lanes = hw.in_masters * BEAT_BYTES // hw.act_word_bytes
    work = runs * -(-v["n0"] // lanes)
    setup = timing.local_setup
    return Cost(setup + work, "memory", setup=setup, resource="banks", yields=move == "act_to_act")


def _lines(packet: Packet, side: str, masters: int, latency: int, hw: HardwareConfig, timing: Timing) -> Cost:
    """Activations to or from the data space; `side` is the data space's."""
    lines = _run_starts(packet, side)
    run_beats = -(-packet["n0"] * hw.act_word_bytes // BEAT_BYTES)
    length = -(-run_beats // LINE_BEATS)
    ends = lines + length
    joins = ends[:-1] == lines[1:]  # a run continues the one before it
    opens = np.flatnonzero(np.append(True, ~joins))
    runs = np.diff(np.append(opens, len(lines)))
    cycles, beats, waits = _bursts(
        lines[opens] * LINE_BEATS,
        (runs - 1) * length * LINE_BEATS + run_beats,
        timing.burst_lines * LINE_BEATS,
        BEAT_BYTES,
        latency,
        timing,
    )
    # a burst that ends with a run leaves out the padding behind it
    cut = (length * LINE_BEATS - run_beats) * int((joins & (ends[:-1] % timing.burst_lines == 0)).sum())
    beats -= cut
    work, setup = -(-int(cycles - cut) // masters), latency + timing.copy_setup
    store = side == "dst"
    return Cost(
        setup + work,
        "latency" if waits or work < latency else "memory",
        setup=setup,
        read_beats=0 if store else beats,
        write_beats=beats if store else 0,
        resource="banks" if store else "master",
        share=0.0 if store else LOAD_SHARE,
        yields=True,
    )


def _params(packet: Packet, hw: HardwareConfig, timing: Timing) -> Cost:
    """Parameters come over in-master 0."""
    starts = _run_starts(packet, "src")
    units = np.full(starts.shape, moved_lines(packet["move"], packet["n0"], hw))
    work, beats, waits = _bursts(starts, units, timing.burst_weight_words, LINE_BYTES, timing.read_latency, timing)
    setup = timing.read_latency + timing.copy_setup
    bound = "latency" if waits or work < timing.read_latency else "memory"
    return Cost(
        setup + int(work),
        bound,
        setup=setup,
        read_beats=beats,
        path="params",
        resource="master",
        share=PARAM_SHARE,
        yields=True,
    )


def _weights(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """Every master delivers its own columns of each word; masked words are left out."""
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
    setup = timing.read_latency + timing.copy_setup
    return Cost(setup + busy, bound, setup=setup, read_beats=beats * hw.weight_masters, path="weights")


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


def _bursts(
    starts: NDArray[np.int64], units: NDArray[np.int64], group: int, unit_bytes: int, latency: int, timing: Timing
) -> tuple[float, int, bool]:
    """Runs cut into bursts that end where an aligned group ends.

    Args:
        starts: first unit of each run; units: how many.
        group: units of a group, so of the longest burst; unit_bytes: what one master moves of a unit.

    Returns:
        Cycles that one master needs, beats, and whether bursts in flight rather than beats set the pace.
    """
    first = np.minimum(units, group - starts % group)
    whole, last = np.divmod(units - first, group)
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
