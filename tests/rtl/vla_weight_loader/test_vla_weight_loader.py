"""vla_weight_loader: weight and parameter memory equal the simulator's, masks included, at the masters' rate."""

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
WIDE = (dataclasses.replace(TINY, name="tiny-2weight", weight_masters=2), U50, hardware.load("u50-2port"))
CONFIGS = (TINY, *(pytest.param(hw, marks=pytest.mark.slow) for hw in WIDE))  # each is a build
LINES = 4096
WEIGHTS = 4096
MOVED = ("weight_to_weight", "data_to_param", "data_to_weight", "act_to_weight")


def copy(move: str, **fields: int) -> Packet:
    return make_packet("COPY", move=MOVES.index(move), **{"n0": 1, "n1": 1, "n2": 1, "n3": 1, **fields})


def run_and_check(
    hw: HardwareConfig, packets: list[Packet], folder: Path, *, weight_words: int = WEIGHTS, **options: int
) -> Result:
    machine = make_machine(hw, np.random.default_rng(5), weight_words=weight_words)
    result = run(machine, packets, folder, **options)
    check(machine, packets, result)
    assert not any(result.failed.values())
    return result


@pytest.mark.parametrize("stall,noise", [(0, 0), (0, 160), (80, 100)])
@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
def test_random_copies_equal_the_simulator(hw: HardwareConfig, stall: int, noise: int, tmp_path: Path) -> None:
    rng = random.Random(f"{hw.name} {stall} {noise}")
    moves = ("weight_to_weight", "weight_to_weight", *MOVED)
    packets = [copy("data_to_param", n0=40)]
    packets += [
        random_copy(rng, hw, rng.choice(moves), data=(0, LINES), weight_words=WEIGHTS, limit=400) for _ in range(150)
    ]
    run_and_check(hw, packets, tmp_path, stall=stall, noise=noise, seed=rng.randrange(1000))


@pytest.mark.parametrize("latency,outstanding", [(1, 1), (5, 2), (200, 8)])
def test_any_memory_timing_gives_the_same_bytes(latency: int, outstanding: int, tmp_path: Path) -> None:
    rng = random.Random(latency)
    packets = [
        random_copy(
            rng,
            TINY,
            rng.choice(MOVED),
            data=(0, LINES),
            weight_words=WEIGHTS,
            limit=400,
        )
        for _ in range(60)
    ]
    run_and_check(TINY, packets, tmp_path, latency=latency, outstanding=outstanding)


def test_a_mask_loaded_by_the_packet_before_counts(tmp_path: Path) -> None:
    packets = []
    for i in range(8):
        packets.append(copy("data_to_param", src=16 * i, dst=5, n0=4))
        packets.append(
            copy(
                "weight_to_weight",
                src=8 * i,
                dst=64 * i,
                n0=2,
                n1=8,
                n2=4,
                src_stride1=2,
                src_stride2=16,
                mask_enable=1,
                mask_base=5,
            )
        )
    run_and_check(TINY, packets, tmp_path)


def test_bits_past_the_mask_word_are_zero(tmp_path: Path) -> None:
    bits = 64 * TINY.block
    packets = [
        copy("data_to_param", n0=2),
        copy("weight_to_weight", n0=1, n1=bits + 9, n2=1, src_stride1=1, mask_enable=1, mask_base=0),
    ]
    run_and_check(TINY, packets, tmp_path)


def test_a_count_of_zero_touches_nothing_and_is_done_at_once(tmp_path: Path) -> None:
    packets = [copy(move, **{n: 0}) for move in MOVED for n in ("n0", "n1", "n2", "n3")]
    result = run_and_check(TINY, packets, tmp_path)
    assert (result.done["wload"] - result.accepted["wload"] <= 3).all()


def test_what_is_written_in_another_way_stays_behind_what_is_held(tmp_path: Path) -> None:
    """Weight words that every writer writes: the last packet's bytes stay."""
    order = [MOVED[i % 4] for i in (0, 2, 3, 0, 3, 2, 0, 1, 3, 1, 2, 1, 0)]
    packets = [copy(move, src=16 * i, dst=3 * i, n0=40) for i, move in enumerate(order)]
    run_and_check(TINY, packets, tmp_path, stall=60)


@pytest.mark.parametrize("hw", CONFIGS, ids=lambda hw: hw.name)
@pytest.mark.parametrize("stall", [0, 80, 128])
def test_a_read_error_is_told_with_its_own_packet(hw: HardwareConfig, stall: int, tmp_path: Path) -> None:
    """Every weight master and the data client answer for themselves, so one runs ahead of another."""
    rng = random.Random(f"{hw.name} {stall}")
    ends = {"weight_to_weight": WEIGHTS, "data_to_param": LINES, "data_to_weight": LINES}
    packets, wrong = [], []
    for i in range(150):
        move, length = rng.choice(list(ends)), rng.randrange(2, 40)
        wrong.append(rng.random() < 0.3)
        packets.append(copy(move, src=ends[move] - 1 if wrong[-1] else 8 * i, n0=length))
    machine = make_machine(hw, np.random.default_rng(5), weight_words=WEIGHTS)
    result = run(machine, packets, tmp_path, stall=stall, seed=rng.randrange(1000))
    assert result.failed["wload"] == [i for i, bad in enumerate(wrong) if bad]


@pytest.mark.slow
@pytest.mark.parametrize("hw,beats", [(U50, 1), (hardware.load("u50-2port"), 4)], ids=("u50", "u50-2port"))
def test_2_mb_of_weights_at_the_rate_of_the_masters(hw: HardwareConfig, beats: int, tmp_path: Path) -> None:
    result = run_and_check(hw, [copy("weight_to_weight", n0=hw.weight_words)], tmp_path, weight_words=hw.weight_words)
    cycles = int(result.done["wload"][0] - result.accepted["wload"][0])
    assert 8192 * beats <= cycles <= 8192 * beats + 80


@pytest.mark.slow
def test_short_neighbouring_blocks_are_joined(tmp_path: Path) -> None:
    packets = [
        copy("weight_to_weight", n0=1, n1=64, n2=16, src_stride1=1, src_stride2=64, dst_stride1=1, dst_stride2=64)
    ]
    result = run_and_check(U50, packets, tmp_path)
    assert result.done["wload"][0] <= 64 * 16 + 140  # 64 words are joined before the first burst


@pytest.mark.slow
def test_masked_3x3_blocks_stream(tmp_path: Path) -> None:
    mask = copy("data_to_param", n0=16)
    packet = copy("weight_to_weight", n0=9, n1=16, n2=16, src_stride1=9, src_stride2=144, mask_enable=1)
    machine = make_machine(U50, np.random.default_rng(5))
    live = int(
        np.unpackbits(machine.data[: 16 * 128].view(np.uint8).reshape(16, 128), axis=1, bitorder="little")[:, :16].sum()
    )
    result = run(machine, [mask, packet], tmp_path)
    check(machine, [mask, packet], result)
    cycles = int(result.done["wload"][1] - result.done["wload"][0])
    assert 9 * live <= cycles <= 9 * live * 1.05 + 80


# Each 1024 cycles at full rate: 64 bytes of activations per cycle, a line every two cycles.
U50_RATES = [
    (
        "keys one by one",
        copy("act_to_weight", n1=4, n2=64, src_stride1=1040, src_stride2=16, dst_stride1=1, dst_stride2=4),
    ),
    ("a run of keys", copy("act_to_weight", n0=256)),
    ("lines", copy("data_to_weight", n0=128)),
]


@pytest.mark.slow
@pytest.mark.parametrize("what,packet", U50_RATES, ids=[r[0] for r in U50_RATES])
def test_full_rate_on_u50(what: str, packet: Packet, tmp_path: Path) -> None:
    result = run_and_check(U50, [packet], tmp_path)
    cycles = int(result.done["wload"][0] - result.accepted["wload"][0])
    assert 1024 <= cycles <= 1024 + (15 if "key" in what else 80), what
