"""vla_vector_engine against the slow reference: seeded random packets, directed cases, throughput."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vector_bench import Sequence, run

from vla_isa import hardware, numerics
from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.operands import Arena
from vlarun.conformance.operations import make_operation
from vlarun.execute import pool, vec

TINY, U50 = hardware.load("tiny"), hardware.load("u50")


@pytest.mark.parametrize(
    ("hw", "stalls", "gaps"),
    [
        (TINY, 0, 0),
        (TINY, 40, 0),
        (TINY, 75, 90),
        *(pytest.param(U50, *how, marks=pytest.mark.slow) for how in ((0, 0), (40, 50))),
    ],
    ids=["tiny", "tiny-stalls", "tiny-slow", "u50", "u50-stalls"],
)
def test_random_packets(tmp_path: Path, hw: HardwareConfig, stalls: int, gaps: int) -> None:
    sequence = Sequence(hw, 17 + stalls)
    room = hw.param_words
    for number in range(150):
        operation = make_operation("POOL" if number % 2 else "VEC", sequence.rng, Arena(hw))
        room -= len(operation.param)
        if room < 0:
            break
        sequence.add(operation)
    assert len(sequence.packets) > 100
    sequence.verify(tmp_path, stalls=stalls, gaps=gaps)


@pytest.mark.parametrize("function", range(8))
def test_functions_at_the_edges(tmp_path: Path, function: int) -> None:
    """Every function with extreme operands, multipliers and shifts, all roundings and kinds of b."""
    sequence = Sequence(TINY, function)
    sequence.machine.act[:] = sequence.rng.choice(
        np.array([-128, -127, -16, -15, -1, 0, 1, 14, 15, 16, 126, 127], np.int8), sequence.machine.act.shape
    )
    for number in range(60):
        rng = sequence.rng
        sequence.add(
            make_operation(
                "VEC",
                rng,
                Arena(TINY),
                function=function,
                rounding=number % 3,
                b_kind=number % 4,
                shift=int(rng.choice([0, 1, 2, 7, 8, 23, 31, 32, 40, 47, 48, 62, 63])),
                a_mult=int(rng.choice([0, 1, 2, 3, 1 << 23, (1 << 24) - 1])),
                b_mult=int(rng.choice([0, 1, 2, 3, 1 << 23, (1 << 24) - 1])),
                a_zero=int(rng.choice([-128, 0, 127])),
                b_zero=int(rng.choice([-128, 0, 127])),
            )
        )
    sequence.verify(tmp_path)


def test_clamp_with_lo_above_hi(tmp_path: Path) -> None:
    sequence = Sequence(TINY, 3)
    sequence.add(make_operation("VEC", sequence.rng, Arena(TINY), lo=50, hi=-50))
    sequence.add(make_operation("POOL", sequence.rng, Arena(TINY), mode=1, lo=50, hi=-50))
    sequence.verify(tmp_path)


def test_every_pair_of_a_table(tmp_path: Path) -> None:
    """A table of all 256 entries, every q reached; the next packet has another, the one after none."""
    sequence = Sequence(TINY, 4)
    sequence.machine.act[:32] = np.arange(-128, 128, dtype=np.int8).reshape(32, 8)
    same = {
        "function": 0,
        "b_kind": 3,
        "b_scalar": 0,
        "b_zero": 0,
        "a_zero": 0,
        "a_mult": 1,
        "shift": 0,
        "out_zero": 0,
        "lo": -128,
        "hi": 127,
        "out_h": 1,
        "out_w": 32,
        "out_blocks": 1,
        "in_place": False,
    }
    for enable in (1, 1, 0):
        sequence.add(make_operation("VEC", sequence.rng, Arena(TINY), table_enable=enable, **same), base=0)
    sequence.verify(tmp_path)


@pytest.mark.parametrize("kind", [1, 2])
def test_row_and_column_use_their_slot(tmp_path: Path, kind: int) -> None:
    """A row starts at its slot and has no rows to step over; a column's rows wrap in its ring."""
    sequence = Sequence(TINY, 5)
    for ring, slot in ((1, 0), (3, 2), (7, 6), (9, 4)):
        if kind == 2 and ring < 7:
            continue
        operation = make_operation("VEC", sequence.rng, Arena(TINY), b_kind=kind, out_h=7, in_place=False)
        values = dict(operation.packet.values) | {"b_ring": ring, "b_slot": slot, "b_row_stride": 40, "b_base": 3000}
        sequence.add_packet(make_packet("VEC", **{**values, "table_enable": 0}))
    sequence.verify(tmp_path)


def test_windows_outside_the_input(tmp_path: Path) -> None:
    """Windows that lie in the padding whole: maximum -128, average of nothing."""
    sequence = Sequence(TINY, 6)
    for number in range(12):
        operation = make_operation(
            "POOL", sequence.rng, Arena(TINY), mode=number % 2, count=number // 2 % 2, kernel_h=2, kernel_w=3
        )
        values = dict(operation.packet.values) | {
            "pad_top": 5,
            "pad_left": 7,
            "out_h": 6,
            "out_w": 9,
            "out_base": 4000,
            "out_ring": 6,
            "out_slot": 0,
            "out_row_stride": 100,
            "out_pitch": 9,
            "param_base": 0,
        }
        sequence.machine.param[: len(operation.param)] = operation.param
        sequence.add_packet(make_packet("POOL", **values))
    sequence.verify(tmp_path, stalls=20)


@pytest.mark.slow
def test_records_of_large_windows(tmp_path: Path) -> None:
    """Valid counts up to 900 taps pick their record; records that share a cache line replace each other."""
    sequence = Sequence(U50, 7)
    taps = np.arange(1, 901)
    parts = [numerics.scale_to_multiplier(1.5 / n) for n in taps]
    records = numerics.pack_records(np.full(900, 99), [m for m, _ in parts], [s for _, s in parts])
    base = 100
    sequence.machine.param.reshape(-1)[base * 128 :][: records.size] = records.reshape(-1)
    for kernel, stride, pad in ((30, 1, 15), (30, 15, 3), (8, 1, 7), (5, 2, 2)):
        operation = make_operation(
            "POOL",
            sequence.rng,
            Arena(U50),
            mode=1,
            count=1,
            in_h=30,
            in_w=30,
            in_blocks=1,
            kernel_h=kernel,
            kernel_w=kernel,
            stride_h=stride,
            stride_w=stride,
            pad_top=pad,
            pad_left=pad,
        )
        sequence.add_packet(make_packet("POOL", **{**operation.packet.values, "param_base": base}))
    sequence.verify(tmp_path)


@pytest.mark.slow
def test_largest_sum(tmp_path: Path) -> None:
    """The largest window that fits on chip, all taps extreme: 33 million, far from 2^31."""
    sequence = Sequence(U50, 8)
    sequence.machine.act[:] = 127
    mult, shift = numerics.scale_to_multiplier(1 / (255 * 300))
    sequence.machine.param[0, :8] = numerics.pack_records(0, mult, shift)
    sequence.add_packet(
        make_packet(
            "POOL",
            in_h=255,
            in_w=510,
            in_blocks=1,
            in_zero=-128,
            channels=16,
            mode=1,
            kernel_h=255,
            kernel_w=510,
            in_row_stride=510,
            in_ring=255,
            out_h=1,
            out_w=1,
            out_ring=1,
            out_base=131071,
            stride_h=1,
            stride_w=1,
            lo=-128,
            hi=127,
            rounding=1,
            out_zero=-5,
        )
    )
    sequence.verify(tmp_path, meaning=pool.execute)


def add_cycles(a_base: int, b_base: int, folder: Path) -> int:
    """Cycles of a VEC add of two tensors of 56x56x64."""
    sequence = Sequence(U50, 9)
    shape = {"out_h": 56, "out_w": 56, "out_blocks": 4}
    region = {"row_stride": 4 * 56, "pitch": 56, "ring": 56, "slot": 0}
    bases = {"a": a_base, "b": b_base, "out": 60000}
    fields = {f"{p}_{k}": v for p in bases for k, v in region.items()} | {f"{p}_base": v for p, v in bases.items()}
    sequence.add_packet(
        make_packet("VEC", function=0, **shape, **fields, a_mult=1 << 23, b_mult=1 << 22, shift=24, lo=-128, hi=127)
    )
    return int(sequence.verify(folder, meaning=vec.execute)[0])


@pytest.mark.slow
@pytest.mark.parametrize("b_base", [20000, 20001, 20007])
def test_add_takes_one_cycle_for_two_words(tmp_path: Path, b_base: int) -> None:
    """Also when a and b lie in the same banks: the lanes then run one step apart."""
    cycles = add_cycles(0, b_base, tmp_path)
    print(f"VEC add 56x56x64, b at bank offset {b_base % 16}: {cycles} cycles")
    assert cycles <= 56 * 56 * 4 // 2 + 40


def pool_cycles(folder: Path, **fields: int) -> int:
    """Cycles of one POOL packet on `u50` from dense tensors, checked against `sim`."""
    sequence = Sequence(U50, 10)
    blocks = fields["in_blocks"]
    v = {
        "in_row_stride": blocks * fields["in_w"],
        "in_pitch": fields["in_w"],
        "in_ring": fields["in_h"],
        "out_row_stride": blocks * fields["out_w"],
        "out_pitch": fields["out_w"],
        "out_ring": fields["out_h"],
        "out_base": 90000,
        "channels": 16 * blocks,
        "lo": -128,
        "hi": 127,
    } | fields
    sequence.machine.param[0] = np.tile(numerics.pack_records(0, 1 << 23, 28).reshape(-1), 16)
    sequence.add_packet(make_packet("POOL", **v))
    cycles = int(sequence.verify(folder, meaning=pool.execute)[0])
    print(
        f"POOL {v['in_h']}x{v['in_w']}x{v['channels']} -> {v['out_h']}x{v['out_w']}, "
        f"{v['kernel_h']}x{v['kernel_w']} s{v['stride_h']}: {cycles} cycles"
    )
    return cycles


@pytest.mark.slow
@pytest.mark.parametrize(("row_padding", "steps"), [(0, 6.0), (6, 5.05)])
def test_max_pool_3x3_reads_four_words_a_cycle(tmp_path: Path, row_padding: int, steps: float) -> None:
    """Five steps of two taps for two output pixels; with rows a multiple of 16 words apart banks conflict."""
    cycles = pool_cycles(
        tmp_path,
        in_h=112,
        in_w=112,
        in_blocks=4,
        out_h=56,
        out_w=56,
        kernel_h=3,
        kernel_w=3,
        stride_h=2,
        stride_w=2,
        pad_top=1,
        pad_left=1,
        in_row_stride=4 * 112 + row_padding,
    )
    assert cycles <= 56 * 56 * 4 // 2 * steps + 60


@pytest.mark.slow
def test_max_pool_2x2_takes_one_cycle_a_pixel(tmp_path: Path) -> None:
    cycles = pool_cycles(
        tmp_path, in_h=56, in_w=56, in_blocks=4, out_h=28, out_w=28, kernel_h=2, kernel_w=2, stride_h=2, stride_w=2
    )
    assert cycles <= 28 * 28 * 4 + 60


@pytest.mark.slow
def test_global_average_reads_four_words_a_cycle(tmp_path: Path) -> None:
    cycles = pool_cycles(
        tmp_path, in_h=7, in_w=7, in_blocks=32, out_h=1, out_w=1, kernel_h=7, kernel_w=7, stride_h=1, stride_w=1, mode=1
    )
    assert cycles <= 25 * 16 + 60


@pytest.mark.slow
def test_average_pool_3x3_with_valid_counts(tmp_path: Path) -> None:
    cycles = pool_cycles(
        tmp_path,
        in_h=28,
        in_w=28,
        in_blocks=4,
        out_h=28,
        out_w=28,
        kernel_h=3,
        kernel_w=3,
        stride_h=1,
        stride_w=1,
        pad_top=1,
        pad_left=1,
        mode=1,
        count=1,
    )
    assert cycles <= 28 * 28 * 4 // 2 * 5 + 100


@pytest.mark.slow
def test_gap_between_packets(tmp_path: Path) -> None:
    """Small packets back to back: the cycles that a packet takes beyond its pairs."""
    sequence = Sequence(U50, 11)
    for _ in range(20):
        sequence.add(
            make_operation(
                "VEC", sequence.rng, Arena(U50), function=0, b_kind=0, out_h=1, out_w=2, out_blocks=1, table_enable=0
            )
        )
    result = run(sequence.machine, sequence.packets, tmp_path)
    gaps = np.diff(result.done.astype(int))
    print(f"cycles from done to done of one-pair packets: {gaps.min()}..{gaps.max()}")
    assert gaps.max() <= 20
