"""What a COPY costs: bursts of each master, or words in a cycle inside the chip.

Runs that continue each other line by line become one burst, the padding between them included. A master
keeps a number of bursts in flight, so short bursts are bound by the memory's latency.
Not here: what it moves (`copy.py`).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Params
from vla_isa.banks import Beats
from vla_isa.bursts import line_bursts, word_bursts
from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import master_cost
from vla_isa.engine_words import run_reads
from vla_isa.footprint import live_blocks
from vla_isa.generated import codes
from vla_isa.hardware import BEAT_BYTES, LINE_BYTES, HardwareConfig
from vla_isa.packet import Packet

__all__ = ["copy_cost", "run_lines", "run_words"]


def run_words(packet: Packet, memory: str, hw: HardwareConfig) -> int:
    """Words of a contiguous run on the side that lies in `memory`."""
    squares = packet["unit"] == codes.Unit.TRANSPOSE
    gathers = packet["move"] == codes.Move.ACT_TO_WEIGHT and memory == "act"
    return packet["n0"] * hw.block if squares or gathers else packet["n0"]


def run_lines(packet: Packet, hw: HardwareConfig) -> int:
    """Data-space lines of one contiguous run of n0 words."""
    words = {codes.Move.DATA_TO_PARAM: hw.param_word_bytes, codes.Move.DATA_TO_WEIGHT: hw.weight_word_bytes}
    return -(-packet["n0"] * words.get(codes.Move(packet["move"]), hw.act_word_bytes) // LINE_BYTES)


def copy_cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """Runs that continue each other become one burst; a move of no words only waits and signals."""
    v = packet.values
    move, runs = v["move"], v["n1"] * v["n2"] * v["n3"]
    if runs * v["n0"] == 0:
        return Cost(timing.empty_copy, "latency", setup=1)
    if move == codes.Move.WEIGHT_TO_WEIGHT:
        return _weight_cost(packet, hw, params, timing)
    if move in (codes.Move.DATA_TO_PARAM, codes.Move.DATA_TO_WEIGHT):
        return _param_cost(packet, hw, timing)
    if move == codes.Move.ACT_TO_DATA:
        return _line_cost(packet, "dst", hw.out_masters, hw, timing)
    if move == codes.Move.DATA_TO_ACT:
        return _line_cost(packet, "src", hw.in_masters, hw, timing)
    return _local_cost(packet, runs, hw, timing)


def _local_cost(packet: Packet, runs: int, hw: HardwareConfig, timing: Timing) -> Cost:
    """Inside the chip: a line of each in-master in a cycle."""
    move = packet["move"]
    lanes = hw.in_masters * BEAT_BYTES // hw.act_word_bytes
    work = runs * -(-run_words(packet, "act", hw) // lanes)
    if packet["unit"] == codes.Unit.TRANSPOSE:  # the first square enters before it leaves
        work += hw.block // lanes
    if move == codes.Move.FILL_ACT:
        return Cost(timing.fill_setup + work, "memory", setup=timing.fill_setup, kind="local")
    keys = move == codes.Move.ACT_TO_WEIGHT
    setup = timing.key_setup if keys else timing.local_setup
    path, touches = "keys" if keys else "", Touches(reads=partial(_reads, packet, lanes, True, hw))
    return Cost(setup + work, "memory", setup=setup, path=path, kind="local", touches=touches)


def _reads(packet: Packet, lanes: int, alone: bool, hw: HardwareConfig, done: float) -> Beats:
    """Runs out of the scratchpad; `alone`: no other memory has a part in it."""
    rows = packet["src_slot"] + np.arange(packet["n2"])
    rows = rows % packet["src_ring"] if packet["src_ring"] else rows
    return run_reads(_run_starts(packet, "src", rows), run_words(packet, "act", hw), lanes, done, alone=alone)


def _line_cost(packet: Packet, side: str, masters: int, hw: HardwareConfig, timing: Timing) -> Cost:
    """Activations to or from the data space; `side` is the data space's."""
    write = side == "dst"
    run_beats = -(-packet["n0"] * hw.act_word_bytes // BEAT_BYTES)
    bursts = line_bursts(_run_starts(packet, side), run_beats, timing, masters, write=write)
    latency = timing.write_latency if write else timing.read_latency
    work, setup = bursts.cycles, latency + bursts.first + (timing.store_setup if write else timing.load_setup)
    bound = "latency" if bursts.waits or work < latency else "memory"
    if write:
        touches = Touches(reads=partial(_reads, packet, BEAT_BYTES // hw.act_word_bytes, False, hw))
        walk = bursts.walk + timing.copy_cut + timing.copy_next
        return Cost(setup + work, bound, setup=setup, write_beats=bursts.beats, touches=touches, walk=walk)
    return master_cost(bursts, setup, bound, timing, kind="data")


def _param_cost(packet: Packet, hw: HardwareConfig, timing: Timing) -> Cost:
    """Parameters, and weights out of the data space, come over in-master 0."""
    starts, lines = _run_starts(packet, "src"), run_lines(packet, hw)
    words = _run_starts(packet, "dst") * lines // packet["n0"]
    goes_on = words[1:] - words[:-1] == lines
    ends = np.where(np.append(goes_on, False), starts + lines, -1)
    come = np.arange(len(starts))
    bursts = word_bursts(starts, lines, ends, come, timing.burst_weight_words, LINE_BYTES, timing)
    bound = "latency" if bursts.waits or bursts.cycles < timing.read_latency else "memory"
    path = "params" if packet["move"] == codes.Move.DATA_TO_PARAM else "lines"
    setup = timing.read_latency + bursts.first + timing.weight_setup
    return master_cost(bursts, setup, bound, timing, path)


def _weight_cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """Every master delivers its own columns of each word.

    Of a masked packet a run that is left out takes its cycle too, and a row starts with reading its mask.
    """
    v, masked = packet.values, packet["mask_enable"] == 1
    starts, words = _run_starts(packet, "src"), _run_starts(packet, "dst")
    come, live = np.arange(len(starts)), np.ones(len(starts), np.bool_)
    if masked:
        live = np.tile(live_blocks(packet, (v["n2"], v["n1"]), hw, params).ravel(), v["n3"])
        words = v["dst"] + (np.cumsum(live) - 1) * v["n0"]
        come = come + timing.mask_row * (1 + come // v["n1"])
    walked = int(come[-1]) + 1 + timing.copy_next
    if not live.any():
        return Cost(walked + 1, "latency", setup=1, path="weights", alone=masked, walk=walked)
    starts, words, come = starts[live], words[live], come[live]
    ends = np.where(np.append(words[1:] - words[:-1] == v["n0"], False), starts + v["n0"], -1)
    word_beats = hw.weight_word_bytes // BEAT_BYTES // hw.weight_masters
    group = min(timing.burst_weight_words, timing.burst_weight_beats // word_beats)
    bursts = word_bursts(starts, v["n0"], ends, come, group, word_beats * BEAT_BYTES, timing)
    return Cost(
        timing.read_latency + bursts.first + timing.weight_setup + bursts.cycles,
        "latency" if bursts.waits or bursts.cycles < timing.read_latency else "memory",
        setup=timing.read_latency + bursts.first + timing.weight_setup,
        read_beats=bursts.beats * hw.weight_masters,
        path="weights",
        alone=masked,
        walk=max(walked, bursts.walk + timing.copy_cut + timing.copy_next),
    )


def _run_starts(packet: Packet, side: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Address of every run of a side, in walking order; `rows` where they lie in a ring."""
    v = packet.values
    n3, n2, n1 = (np.arange(v[n]) for n in ("n3", "n2", "n1"))
    n2 = n2 if rows is None else rows
    return (
        v[side]
        + (n3 * v[f"{side}_stride3"])[:, None, None]
        + (n2 * v[f"{side}_stride2"])[None, :, None]
        + (n1 * v[f"{side}_stride1"])[None, None, :]
    ).ravel()
