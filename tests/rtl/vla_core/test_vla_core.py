"""The whole machine against the Python machine: how runs end, and random packets bit for bit.

The machine is the `checked` one: assertions of rtl/sva are on.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from programs import LOAD, STORE, WLOAD, copy, halt, mask, program
from random_packets import MAKERS, chain, random_packet

from vla_isa import hardware
from vla_isa.encoding import encode, make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import MOVES, ErrorCode
from vla_isa.program import Program, Segment
from vlarun.backends.base import RunResult, run_once
from vlarun.backends.rtl import RtlBackend, RtlOptions
from vlarun.backends.sim import SimBackend

TINY = hardware.load("tiny")
STALLS = ({}, {"stall_percent": 40, "stall_seed": 3}, {"latency": 1}, {"latency": 300, "outstanding": 1})
LINES, WEIGHT_WORDS = 8192, 300  # of random programs


def run_rtl(p: Program, **options: int) -> RunResult:
    return run_once(RtlBackend(RtlOptions(flavour="checked", max_cycles=2_000_000, **options)), p, {})


def ends(p: Program, **options: int) -> tuple[ErrorCode, int, int]:
    """Status, error address and halt code, the same on both backends."""
    sim, rtl = run_once(SimBackend(), p, {}), run_rtl(p, **options)
    out = (rtl.status, rtl.error_address, rtl.halt_code)
    assert (sim.status, sim.error_address, sim.halt_code) == out
    assert np.array_equal(sim.memories["data"], rtl.memories["data"])
    return out


def ends_at(p: Program, **options: int) -> tuple[ErrorCode, int]:
    """Status and error address, the same on both backends, where younger packets may have written already."""
    sim, rtl = run_once(SimBackend(), p, {}), run_rtl(p, **options)
    assert (sim.status, sim.error_address) == (rtl.status, rtl.error_address)
    return rtl.status, rtl.error_address


@pytest.mark.parametrize("options", STALLS, ids=str)
def test_halt_after_a_chain_of_queues(options: dict[str, int]) -> None:
    packets = [
        copy(WLOAD, signal=mask(0)),
        copy(LOAD, wait=mask(0), signal=mask(1, 2)),
        copy(STORE, wait=mask(1)),
        halt(7, wait=mask(2)),
    ]
    assert ends(program(TINY, packets), **options) == (ErrorCode.OK, 0, 7)


def test_entry_point_and_jump() -> None:
    packets = [halt(1), copy(LOAD, signal=1), make_packet("JUMP", target=100, wait=1, signal=2)]
    p = program(TINY, packets, segments={100: encode(halt(9, wait=2))}, entry=1)
    assert ends(p) == (ErrorCode.OK, 0, 9)


@pytest.mark.parametrize("options", STALLS, ids=str)
def test_more_packets_than_the_machine_holds(options: dict[str, int]) -> None:
    p = program(TINY, [copy(random.Random(i).choice((LOAD, STORE, WLOAD))) for i in range(300)] + [halt(4)])
    assert ends(p, **options) == (ErrorCode.OK, 0, 4)
    assert run_rtl(p, **options).counters["packets"] == 301


def test_illegal_packets_let_earlier_ones_complete() -> None:
    """Memory after the error is that of the packets before it, and none after it ran."""
    fill = copy(MOVES.index("fill_act"), n0=64, n1=1, n2=1, n3=1, pad=5, signal=1)
    out = copy(STORE, n0=64, n1=1, n2=1, n3=1, dst=512, wait=1)
    after = copy(STORE, n0=64, n1=1, n2=1, n3=1, dst=600)
    p = program(TINY, [fill, out, bytes(64), after, halt()])
    assert ends(p) == (ErrorCode.ILLEGAL_OPCODE, 128, 0)
    assert run_rtl(p).memories["data"][512 * 64 : 512 * 64 + 4].tolist() == [5, 5, 5, 5]
    reserved = bytes([3]) + bytes(62) + b"\x80"
    assert ends(program(TINY, [reserved, halt()])) == (ErrorCode.RESERVED_BITS, 0, 0)
    limit = encode(halt()) + bytes([1]) + bytes(63)  # a CONV of nothing
    assert ends(program(TINY, [limit], entry=1)) == (ErrorCode.FIELD_LIMIT, 64, 0)


def test_deadlock_names_the_oldest_waiting_packet() -> None:
    assert ends(program(TINY, [copy(LOAD, wait=1), copy(STORE, wait=2), halt()]))[:2] == (ErrorCode.DEADLOCK, 0)
    assert ends(program(TINY, [copy(LOAD), copy(STORE, wait=2), halt()]))[:2] == (ErrorCode.DEADLOCK, 64)
    assert ends(program(TINY, [copy(LOAD, signal=1), halt(wait=3)]))[:2] == (ErrorCode.DEADLOCK, 64)
    jump = make_packet("JUMP", target=0, wait=1)
    assert ends(program(TINY, [copy(LOAD), jump]))[:2] == (ErrorCode.DEADLOCK, 64)
    full = [copy(LOAD, wait=1) for _ in range(40)]  # dispatch stands in front of a full queue
    assert ends(program(TINY, [copy(STORE), *full, halt()]))[:2] == (ErrorCode.DEADLOCK, 64)
    assert ends(program(TINY, [copy(LOAD, wait=1), bytes(64)]))[:2] == (ErrorCode.DEADLOCK, 0)


def test_semaphores_left_and_overflow() -> None:
    assert ends(program(TINY, [copy(LOAD, signal=1), halt(3)])) == (ErrorCode.SEMAPHORE_LEFT, 64, 0)
    assert ends(program(TINY, [halt(3, signal=4)])) == (ErrorCode.SEMAPHORE_LEFT, 0, 0)
    many = [copy(LOAD, signal=mask(0)) for _ in range(300)]
    assert ends(program(TINY, [*many, halt()])) == (ErrorCode.SEMAPHORE_OVERFLOW, 255 * 64, 0)


@pytest.mark.parametrize("options", STALLS, ids=str)
def test_memory_errors_name_the_packet(options: dict[str, int]) -> None:
    past = (1 << 17) // 64
    one = {"n0": 64, "n1": 1, "n2": 1, "n3": 1}
    read = copy(LOAD, src=past, **one)
    assert ends(program(TINY, [copy(WLOAD), read, halt()]), **options)[:2] == (ErrorCode.AXI_READ, 64)
    write = copy(STORE, dst=past, **one)
    assert ends(program(TINY, [copy(LOAD), write, halt()]), **options)[:2] == (ErrorCode.AXI_WRITE, 64)
    params = copy(MOVES.index("data_to_param"), src=past, **one)
    assert ends(program(TINY, [params, halt()]), **options)[:2] == (ErrorCode.AXI_READ, 0)
    weights = copy(WLOAD, src=2, **one)
    words = np.zeros((65, TINY.weight_word_bytes), np.int8)
    assert ends(program(TINY, [weights, halt()], weights=words), **options)[:2] == (ErrorCode.AXI_READ, 0)
    jump = make_packet("JUMP", target=past)
    assert ends(program(TINY, [jump]), **options)[:2] == (ErrorCode.AXI_READ, past * 64)


def test_an_error_lets_nothing_new_start() -> None:
    """The STORE behind the failing LOAD has its semaphore only afterwards: it must not run."""
    one = {"n0": 64, "n1": 1, "n2": 1, "n3": 1}
    fill = copy(MOVES.index("fill_act"), pad=7, **one)
    read = copy(LOAD, src=(1 << 17) // 64, signal=1, **one)
    store = copy(STORE, dst=512, wait=1, **one)
    result = run_rtl(program(TINY, [fill, read, store, halt()]))
    assert (result.status, result.error_address) == (ErrorCode.AXI_READ, 64)
    assert not result.memories["data"][512 * 64 : 513 * 64].any()


@pytest.mark.parametrize("options", STALLS, ids=str)
def test_of_two_errors_the_older_packet_is_named(options: dict[str, int]) -> None:
    """A younger packet of another queue fails first; older packets still go on, and one of them fails too."""
    past = (1 << 17) // 64
    one = {"n1": 1, "n2": 1, "n3": 1}
    load = copy(LOAD, n0=4000, signal=1, **one)
    write = copy(STORE, dst=past, n0=64, wait=1, **one)  # waits for its semaphore when the next one fails
    read = copy(MOVES.index("data_to_param"), src=past, n0=1, **one)
    assert ends(program(TINY, [load, write, read, halt()]), **options)[:2] == (ErrorCode.AXI_WRITE, 64)
    assert ends(program(TINY, [load, read, write, halt()]), **options)[:2] == (ErrorCode.AXI_READ, 64)
    waits = copy(STORE, wait=2)  # for ever
    assert ends(program(TINY, [load, waits, read, halt()]), **options)[:2] == (ErrorCode.DEADLOCK, 64)
    overflow = [copy(LOAD, signal=8)] * 256
    assert ends(program(TINY, [load, write, read, *overflow, halt()]), **options)[:2] == (ErrorCode.AXI_WRITE, 64)
    many = [copy(STORE, dst=past if i == 3 else 600 + i, n0=8, **one) for i in range(8)]
    assert ends_at(program(TINY, [*many, halt()]), **options) == (ErrorCode.AXI_WRITE, 3 * 64)


def cycles_of_a_round(n: int, latency: int) -> float:
    """Of a loop of n packets that do nothing."""
    body = [copy((LOAD, STORE, WLOAD)[i % 3]) for i in range(n)]
    few, many = (
        run_rtl(program(TINY, [make_packet("LOOP", n=n, count=count), *body, halt()]), latency=latency).cycles
        for count in (10, 30)
    )
    assert few is not None and many is not None
    return (many - few) / 20


def test_a_loop_that_fits_in_the_prefetch_buffer_waits_for_no_memory() -> None:
    """Its first packet is line 1: of the 32 lines from 0 on 31 are its body's."""
    for n in (1, 5, 31):
        assert cycles_of_a_round(n, latency=1) == cycles_of_a_round(n, latency=300) < 2 * n + 3
    assert cycles_of_a_round(32, latency=300) > 300


@pytest.mark.parametrize("packets", [1024, 2048])
def test_a_loop_over_a_whole_data_space(packets: int) -> None:
    """64 KB and 128 KB of packets: rounds are fetched anew across pages and 64 KB; reads ahead leave the data space."""
    fill = {"n0": 2, "n1": 1, "n2": 1, "n3": 1, "index_enable": 1, "index_count": 9, "index_side": 1}
    moves = [
        copy(MOVES.index("fill_act"), dst=3 * i, pad=i % 251 - 125, index_stride=3, **fill) for i in range(packets)
    ]
    heap = [make_packet("LOOP", n=packets - 2, count=3), *moves[2:], halt(6)]
    p = program(TINY, [], data_bytes=64 * packets)
    p = replace(p, heaps=[Segment(0, b"".join(map(encode, heap)))])
    assert ends(p) == (ErrorCode.OK, 0, 6)
    sim, rtl = run_once(SimBackend(), p, {}), run_rtl(p, stall_percent=40, stall_seed=1)
    assert rtl.counters["packets"] == 3 * (packets - 2) + 2
    assert np.array_equal(sim.memories["act"], rtl.memories["act"])


def random_program(hw: HardwareConfig, names: list[str], seed: int) -> Program:
    """Memories filled from the data space, then random packets, one at a time."""
    rng, bits = random.Random(seed), np.random.default_rng(seed)
    run = 16384
    packets = [
        copy(LOAD, src=1024, n0=run, n1=1, n2=1, n3=hw.act_words // run, dst_stride3=run),
        copy(MOVES.index("data_to_param"), src=1024, n0=512, n1=1, n2=1, n3=1),
        copy(WLOAD, n0=WEIGHT_WORDS, n1=1, n2=1, n3=6, dst_stride3=WEIGHT_WORDS),
    ]
    packets += [random_packet(rng, hw, rng.choice(names), lines=LINES, weight_words=WEIGHT_WORDS) for _ in range(20)]
    return program(
        hw,
        [*chain(packets), halt(3)],
        data_bytes=64 * LINES,
        segments={1024: bits.integers(0, 256, 64 * (LINES - 1024), np.uint8).tobytes()},
        weights=bits.integers(-128, 128, (WEIGHT_WORDS, hw.weight_word_bytes), np.int8),
    )


@pytest.mark.parametrize("names", [*([n] for n in ("COPY", *MAKERS)), ["COPY", *MAKERS]], ids="-".join)
def test_random_packets_leave_the_same_bits_everywhere(names: list[str]) -> None:
    for seed in range(8):
        p = random_program(TINY, names, seed)
        sim = run_once(SimBackend(), p, {})
        rtl = run_rtl(p, **STALLS[seed % len(STALLS)])
        assert (sim.status, rtl.status, rtl.halt_code) == (ErrorCode.OK, ErrorCode.OK, 3)
        for memory, expected in sim.memories.items():
            assert np.array_equal(expected, rtl.memories[memory]), (memory, seed)


def test_stalls_change_cycles_only() -> None:
    p = random_program(TINY, ["COPY", *MAKERS], 1)
    runs = [run_rtl(p, **options) for options in STALLS]
    assert len({r.cycles for r in runs}) == len(runs)
    assert runs[0].cycles == run_rtl(p).cycles
    for other in runs[1:]:
        assert all(np.array_equal(other.memories[m], runs[0].memories[m]) for m in runs[0].memories)
