"""vla_data_loader: loads, on-chip moves and fills equal the simulator's under stalls, at the rate of the masters."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from copy_side.copy_bench import Result, check, make_machine, run
from copy_side.random_copies import random_copy

from vla_isa import hardware
from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.packet import Packet

TINY = hardware.load("tiny")
WIDE = (dataclasses.replace(TINY, name="tiny-2in", in_masters=2, out_masters=2), hardware.load("u50"))
CONFIGS = (TINY, *(pytest.param(hw, marks=pytest.mark.slow) for hw in WIDE))  # each is a build
LOADS = ("data_to_act", "act_to_act", "fill_act")
LINES = 4096


def copy(move: str, **fields: int) -> Packet:
    return make_packet("COPY", move=MOVES.index(move), **{"n0": 1, "n1": 1, "n2": 1, "n3": 1, **fields})


def run_and_check(hw: HardwareConfig, packets: list[Packet], folder: Path, **options: int) -> Result:
    machine = make_machine(hw, np.random.default_rng(3))
    result = run(machine, packets, folder, **options)
    check(machine, packets, result)
    assert not any(result.failed.values())
    return result


@pytest.mark.parametrize("stall,noise", [(0, 0), (0, 100), (80, 0), (60, 160)])
@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
def test_random_copies_equal_the_simulator(hw: HardwareConfig, stall: int, noise: int, tmp_path: Path) -> None:
    rng = random.Random(f"{hw.name} {stall} {noise}")
    packets = [random_copy(rng, hw, rng.choice(LOADS), data=(0, LINES), weight_words=0) for _ in range(150)]
    run_and_check(hw, packets, tmp_path, stall=stall, noise=noise, seed=rng.randrange(1000))


@pytest.mark.parametrize("latency,outstanding", [(1, 1), (5, 2), (200, 8)])
def test_any_memory_timing_gives_the_same_bytes(latency: int, outstanding: int, tmp_path: Path) -> None:
    rng = random.Random(latency)
    packets = [random_copy(rng, TINY, rng.choice(LOADS), data=(0, LINES), weight_words=0) for _ in range(60)]
    run_and_check(TINY, packets, tmp_path, latency=latency, outstanding=outstanding)


def test_words_beyond_a_run_are_not_written(tmp_path: Path) -> None:
    for n0 in range(1, 10):
        run_and_check(
            TINY, [copy("data_to_act", src=7, dst=33, n0=n0, n1=3, src_stride1=2, dst_stride1=n0 + 1)], tmp_path
        )


def test_a_count_of_zero_touches_nothing_and_is_done_at_once(tmp_path: Path) -> None:
    packets = [copy(move, **{n: 0}) for move in LOADS for n in ("n0", "n1", "n2", "n3")]
    result = run_and_check(TINY, packets, tmp_path)
    assert (result.done["load"] - result.accepted["load"] <= 3).all()


@pytest.mark.slow
def test_the_source_of_a_move_on_chip_is_what_the_packet_before_loaded(tmp_path: Path) -> None:
    packets = []
    for i in range(6):
        packets.append(copy("data_to_act", src=100 * i, dst=0, n0=40))
        packets.append(copy("act_to_act", src=0, dst=100 + 40 * i, n0=40))
    run_and_check(hardware.load("u50"), packets, tmp_path)


@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
@pytest.mark.parametrize("stall", [0, 80, 128])
def test_a_read_error_is_told_with_its_own_packet(hw: HardwareConfig, stall: int, tmp_path: Path) -> None:
    """The bursts of two packets, dealt to one or two masters, are answered close together."""
    rng = random.Random(f"{hw.name} {stall}")
    bad = [rng.random() < 0.3 for _ in range(150)]
    packets = [
        copy("data_to_act", src=LINES - 1, n0=rng.choice((16, 40, 64)))
        if wrong
        else copy(rng.choice(LOADS), src=8 * i, dst=2048, n0=rng.randrange(1, 40))
        for i, wrong in enumerate(bad)
    ]
    result = run(make_machine(hw, np.random.default_rng(3)), packets, tmp_path, stall=stall, seed=rng.randrange(1000))
    assert result.failed["load"] == [i for i, wrong in enumerate(bad) if wrong]


# (what, packet, cycles at full rate): 64 bytes per cycle on u50, and about 70 cycles of latency.
U50_RATES = [
    ("one run of 64 KB", copy("data_to_act", n0=4096), 1024, 75),
    (
        "rows of 2 KB",
        copy("data_to_act", n0=128, n1=4, n2=8, src_stride1=32, src_stride2=128, dst_stride1=130, dst_stride2=520),
        1024,
        75,
    ),
    (
        "rows of 448 bytes",
        copy("data_to_act", n0=28, n1=8, n2=16, src_stride1=7, src_stride2=56, dst_stride1=28, dst_stride2=224),
        896,
        80,
    ),
    (
        "rows of 112 bytes",
        copy("data_to_act", n0=7, n1=16, n2=7, src_stride1=2, src_stride2=32, dst_stride1=7, dst_stride2=112),
        224,
        90,
    ),
    ("a vector, one word in each line", copy("data_to_act", n0=1, n1=256, src_stride1=1, dst_stride1=1), 256, 110),
    ("fill", copy("fill_act", n0=4096), 1024, 10),
    ("move on chip", copy("act_to_act", src=8192, n0=4096), 1024, 10),
    ("squares in a run", copy("act_to_act", unit=1, src=8192, n0=256), 1024, 15),
    (
        "values of a head",
        copy(
            "act_to_act",
            unit=1,
            src=8192,
            n1=4,
            n2=64,
            src_stride1=1040,
            src_stride2=16,
            dst_stride1=16,
            dst_stride2=64,
        ),
        1024,
        15,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("what,packet,ideal,extra", U50_RATES, ids=[r[0] for r in U50_RATES])
def test_full_rate_on_u50(what: str, packet: Packet, ideal: int, extra: int, tmp_path: Path) -> None:
    result = run_and_check(hardware.load("u50"), [packet], tmp_path)
    cycles = int(result.done["load"][0] - result.accepted["load"][0])
    assert ideal <= cycles <= ideal + extra, what


@pytest.mark.slow
def test_short_copies_hide_half_of_the_latency(tmp_path: Path) -> None:
    packets = [copy("data_to_act", src=8 * i, dst=20 * i, n0=16) for i in range(20)]
    result = run_and_check(hardware.load("u50"), packets, tmp_path)
    assert result.done["load"][-1] <= 20 * 42 + 75  # one at a time would be 20 * 78
