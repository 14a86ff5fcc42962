"""GATHER in vla_data_loader and vla_store_engine: rows equal the simulator's; wrong items move nothing."""

from __future__ import annotations

import copy
import dataclasses
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from copy_side.copy_bench import NOISE_WORDS, check, make_machine, run
from copy_side.random_copies import random_copy
from copy_side.random_gathers import MOST_WORDS, place_items, random_gather

from vla_isa import hardware
from vla_isa.encoding import make_packet
from vla_isa.errors import IndexRangeError
from vla_isa.generated.codes import GatherMove
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.packet import Packet
from vlarun.execute import gather
from vlarun.memory import Machine

TINY = hardware.load("tiny")
U50 = hardware.load("u50")
WIDE = (dataclasses.replace(TINY, name="tiny-2in", in_masters=2, out_masters=2), U50)
CONFIGS = (TINY, *(pytest.param(hw, marks=pytest.mark.slow) for hw in WIDE))  # each is a build
LINES, COPIES = 4096, 2000  # of the data space; words that COPYs among the GATHERs use
LOADS = (GatherMove.GATHER_ACT, GatherMove.SCATTER_ACT, GatherMove.GATHER_DATA)
STORES = (GatherMove.SCATTER_DATA,)


def mixed(rng: random.Random, machine: Machine, queue: str, wrong: float = 0.0) -> list[Packet]:
    """GATHERs of a queue, and COPYs among them, until the activation memory is full."""
    packets, at = [], COPIES
    moves, copies = (LOADS, ("data_to_act", "act_to_act")) if queue == "load" else (STORES, ("act_to_data",))
    while at < machine.hw.act_words - NOISE_WORDS - MOST_WORDS and len(packets) < 120:
        if rng.random() < 0.3:
            near = {"data": (0, LINES), "weight_words": 0, "act": (0, COPIES)}
            packets.append(random_copy(rng, machine.hw, rng.choice(copies), **near, limit=200))
        else:
            one, at = random_gather(rng, machine, rng.choice(moves), at, (0, LINES), wrong)
            packets.append(one)
    return packets


def wrong_ones(packets: list[Packet], machine: Machine) -> list[int]:
    """Those whose items are no rows, as the simulator finds them; not the one behind such a packet."""
    found: list[int] = []
    for i, packet in enumerate(packets):
        with suppress(IndexRangeError):
            if packet.name == "GATHER" and i - 1 not in found:
                found.append(i)
                gather.execute(packet, copy.deepcopy(machine))
                found.pop()
    return found


@pytest.mark.parametrize("stall,noise", [(0, 0), (0, 160), (80, 0), (60, 100)])
@pytest.mark.parametrize("queue", ["load", "store"])
@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
def test_random_gathers_equal_the_simulator(
    hw: HardwareConfig, queue: str, stall: int, noise: int, tmp_path: Path
) -> None:
    rng = random.Random(f"{hw.name} {queue} {stall} {noise}")
    machine = make_machine(hw, np.random.default_rng(3))
    packets = mixed(rng, machine, queue)
    result = run(machine, packets, tmp_path, stall=stall, noise=noise, seed=rng.randrange(1000))
    check(machine, packets, result)
    assert not result.failed[queue] and not result.outside[queue]


@pytest.mark.parametrize("queue", ["load", "store"])
@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
def test_wrong_items_are_told_with_their_packet_and_move_nothing(
    hw: HardwareConfig, queue: str, tmp_path: Path
) -> None:
    rng = random.Random(f"{hw.name} {queue}")
    machine = make_machine(hw, np.random.default_rng(3))
    packets = mixed(rng, machine, queue, wrong=0.4)
    result = run(machine, packets, tmp_path, stall=40, seed=7)
    wrong = wrong_ones(packets, machine)  # and the packet behind each, which has its semaphores, does nothing
    check(machine, [packet for i, packet in enumerate(packets) if i - 1 not in wrong], result)
    assert wrong and result.outside[queue] == wrong and not result.failed[queue]
    others = [i for i in range(len(packets) - 1) if i in wrong]
    assert all(result.accepted[queue][i + 1] >= result.done[queue][i] + 8 for i in others), "a younger one came early"


def test_items_are_what_the_packet_before_loaded(tmp_path: Path) -> None:
    machine = make_machine(TINY, np.random.default_rng(3))
    packets = []
    for i in range(6):
        place_items(machine, 0, [(i + k) % 5 for k in range(4)])
        machine.data[i * 64 : i * 64 + 64] = machine.act[:8].reshape(-1)
        packets.append(make_packet("COPY", move=MOVES.index("data_to_act"), src=i, dst=40, n0=8, n1=1, n2=1, n3=1))
        rows = {"table_base": 600, "table_stride": 9, "table_rows": 5, "words": 9, "index_base": 40, "n": 4}
        move = LOADS[i % 2 * 2]
        packets.append(make_packet("GATHER", move=move, act_base=1000 + 50 * i, act_pitch=5, **rows))
    check(machine, packets, run(machine, packets, tmp_path, noise=100))


def test_the_last_of_two_rows_with_one_number_stays(tmp_path: Path) -> None:
    for move in GatherMove:
        machine = make_machine(TINY, np.random.default_rng(int(move)))
        place_items(machine, 40, [1, 0, 1, 1, 0, 1])
        rows = {"table_base": 600, "table_stride": 9, "table_rows": 2, "words": 9, "index_base": 40, "n": 6}
        packets = [make_packet("GATHER", move=move, act_base=1000, act_pitch=2, **rows)]
        check(machine, packets, run(machine, packets, tmp_path, noise=100))


# (what, fields, cycles at full rate, more): on chip 64 bytes per cycle, rows of the data space one beat per cycle
U50_RATES = [
    ("rows on chip", {"move": 0, "words": 64, "n": 64, "table_stride": 64, "act_pitch": 65}, 1024, 30),
    ("short rows on chip", {"move": 1, "words": 4, "n": 512, "table_stride": 4, "act_pitch": 513}, 512, 30),
    ("rows of the data space", {"move": 2, "words": 64, "n": 32, "table_stride": 16, "act_pitch": 33}, 1024, 110),
    ("rows to the data space", {"move": 3, "words": 64, "n": 32, "table_stride": 16, "act_pitch": 33}, 1024, 180),
]


@pytest.mark.slow
@pytest.mark.parametrize("what,fields,ideal,extra", U50_RATES, ids=[r[0] for r in U50_RATES])
def test_full_rate_on_u50(what: str, fields: dict[str, int], ideal: int, extra: int, tmp_path: Path) -> None:
    machine = make_machine(U50, np.random.default_rng(3))
    base = {"table_base": 60000 if fields["move"] < 2 else 0, "table_rows": fields["n"], "index_kind": 1}
    packet = make_packet("GATHER", **fields, **base)
    result = run(machine, [packet], tmp_path)
    check(machine, [packet], result)
    cycles = int(result.done[packet.queue][0] - result.accepted[packet.queue][0])
    assert ideal <= cycles <= ideal + extra, what
