"""vla_store_engine: the data space equals the simulator's, byte for byte, under stalls, at the masters' rate."""

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
U50 = hardware.load("u50")
WIDE = (dataclasses.replace(TINY, name="tiny-2in", in_masters=2, out_masters=2), U50)
CONFIGS = (TINY, *(pytest.param(hw, marks=pytest.mark.slow) for hw in WIDE))  # each is a build
LINES = 4096


def store(**fields: int) -> Packet:
    return make_packet("COPY", move=MOVES.index("act_to_data"), **{"n0": 1, "n1": 1, "n2": 1, "n3": 1, **fields})


def run_and_check(hw: HardwareConfig, packets: list[Packet], folder: Path, **options: int) -> Result:
    machine = make_machine(hw, np.random.default_rng(4))
    result = run(machine, packets, folder, **options)
    check(machine, packets, result)
    assert not any(result.failed.values())
    return result


@pytest.mark.parametrize("stall,noise", [(0, 0), (0, 100), (80, 0), (60, 160)])
@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
def test_random_copies_equal_the_simulator(hw: HardwareConfig, stall: int, noise: int, tmp_path: Path) -> None:
    rng = random.Random(f"{hw.name} {stall} {noise}")
    packets = [random_copy(rng, hw, "act_to_data", data=(0, LINES), weight_words=0) for _ in range(150)]
    run_and_check(hw, packets, tmp_path, stall=stall, noise=noise, seed=rng.randrange(1000))


@pytest.mark.parametrize("latency,outstanding", [(1, 1), (5, 2), (200, 8)])
def test_any_memory_timing_gives_the_same_bytes(latency: int, outstanding: int, tmp_path: Path) -> None:
    rng = random.Random(latency)
    packets = [random_copy(rng, TINY, "act_to_data", data=(0, LINES), weight_words=0) for _ in range(60)]
    run_and_check(TINY, packets, tmp_path, latency=latency, outstanding=outstanding)


@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
def test_no_byte_outside_a_run_is_written(hw: HardwareConfig, tmp_path: Path) -> None:
    packets = [store(src=3, dst=20 * n0, n0=n0, n1=2, src_stride1=n0, dst_stride1=4) for n0 in range(1, 14)]
    run_and_check(hw, packets, tmp_path)


@pytest.mark.slow
def test_the_later_of_two_packets_on_the_same_lines_stays(tmp_path: Path) -> None:
    packets = [store(src=97 * i, dst=10 * (i % 3), n0=160, n1=2, src_stride1=500, dst_stride1=40) for i in range(12)]
    run_and_check(U50, packets, tmp_path, stall=100)


@pytest.mark.slow
def test_the_last_of_two_runs_on_the_same_lines_stays(tmp_path: Path) -> None:
    run_and_check(U50, [store(n0=300, n1=8, src_stride1=300, dst_stride1=3)], tmp_path, stall=100)


def test_a_count_of_zero_touches_nothing_and_is_done_at_once(tmp_path: Path) -> None:
    result = run_and_check(TINY, [store(**{n: 0}) for n in ("n0", "n1", "n2", "n3")], tmp_path)
    assert (result.done["store"] - result.accepted["store"] <= 3).all()


@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
@pytest.mark.parametrize("stall", [0, 80, 128])
def test_a_write_error_is_told_with_its_own_packet(hw: HardwareConfig, stall: int, tmp_path: Path) -> None:
    """The bursts of two packets, dealt to one or two masters, are answered close together."""
    rng = random.Random(f"{hw.name} {stall}")
    bad = [rng.random() < 0.3 for _ in range(150)]
    packets = [
        store(src=i, dst=LINES - 1 if wrong else 8 * i, n0=rng.choice((16, 40, 64)) if wrong else rng.randrange(1, 40))
        for i, wrong in enumerate(bad)
    ]
    result = run(make_machine(hw, np.random.default_rng(4)), packets, tmp_path, stall=stall, seed=rng.randrange(1000))
    assert result.failed["store"] == [i for i, wrong in enumerate(bad) if wrong]


U50_RATES = [
    ("one run of 64 KB", store(n0=4096), 1024),
    (
        "rows of 2 KB",
        store(n0=128, n1=4, n2=8, dst_stride1=32, dst_stride2=128, src_stride1=130, src_stride2=520),
        1024,
    ),
    (
        "rows of 448 bytes",
        store(n0=28, n1=8, n2=16, dst_stride1=7, dst_stride2=56, src_stride1=28, src_stride2=224),
        896,
    ),
    ("a vector, one word in each line", store(n0=1, n1=256, src_stride1=1, dst_stride1=1), 256),
]


@pytest.mark.slow
@pytest.mark.parametrize("what,packet,ideal", U50_RATES, ids=[r[0] for r in U50_RATES])
def test_full_rate_on_u50(what: str, packet: Packet, ideal: int, tmp_path: Path) -> None:
    result = run_and_check(U50, [packet], tmp_path)
    cycles = int(result.done["store"][0] - result.accepted["store"][0])
    assert ideal <= cycles <= ideal + 110, what


@pytest.mark.slow
def test_packets_on_other_lines_do_not_wait_for_responses(tmp_path: Path) -> None:
    packets = [store(src=256 * i, dst=64 * i, n0=256) for i in range(8)]  # 4 KB each: 64 cycles of beats
    result = run_and_check(U50, packets, tmp_path)
    assert result.done["store"][-1] <= 8 * 72 + 75
