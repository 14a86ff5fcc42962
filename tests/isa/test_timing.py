"""The performance model: ideal counts, bank conflicts against a walk pixel by pixel, queues in parallel."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from isa_programs import changed, decoded, pipeline, with_packets

from vla_isa import side_by_side, timing
from vla_isa.cost import REFERENCE, Cost
from vla_isa.encoding import make_packet
from vla_isa.engine_cycles import packet_cost
from vla_isa.errors import ProgramError
from vla_isa.generated.codes import Move, OperandKind
from vla_isa.hardware import BANKS, load
from vla_isa.ordering import bits
from vla_isa.packet import Packet
from vla_isa.registers import COUNTERS

U50 = load("u50")


def conv(h: int, w: int, blocks: int, outs: int, kernel: int, stride: int, pitch: int | None = None) -> Packet:
    oh, ow = -(-h // stride), -(-w // stride)
    pitch = w if pitch is None else pitch
    pad = kernel // 2
    return make_packet(
        "CONV",
        in_h=h,
        in_w=w,
        in_blocks=blocks,
        in_ring=h,
        in_pitch=pitch,
        in_row_stride=pitch * blocks,
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        pad_top=pad,
        pad_left=pad,
        out_h=oh,
        out_w=ow,
        out_blocks=outs,
        out_ring=oh,
        out_pitch=ow,
        out_row_stride=ow * outs,
    )


@pytest.mark.parametrize(
    ("packet", "ideal"),
    [
        (conv(16, 128, 4, 4, 3, 1), 36_864),  # an eighth of 128x128x64 -> 64
        (conv(64, 64, 1, 2, 3, 2), 2_304),
        (conv(32, 32, 2, 4, 3, 2), 2_304),
        (conv(16, 16, 4, 8, 3, 2), 2_304),
    ],
)
def test_published_layers_are_conflict_free(packet: Packet, ideal: int) -> None:
    """The layers of the architecture's table: array cycles are MACs / 2048, and little is added."""
    cost = packet_cost(packet, U50, None)
    assert cost.mac_busy == ideal and cost.conflicts == 0
    assert ideal <= cost.cycles <= ideal + 60


def test_unpadded_pitch_costs_and_padding_saves() -> None:
    """Strips of a 14-pixel row run into the next row, which meets the same banks unless the pitch is padded."""
    plain = packet_cost(conv(28, 28, 1, 1, 3, 2), U50, None)
    assert plain.conflicts > 0
    assert packet_cost(conv(28, 28, 1, 1, 3, 2, pitch=30), U50, None).conflicts == 0


def slow_conflicts(p: Packet, pixels: int) -> tuple[int, int]:
    """(strips x taps, extra cycles for one in block), walked lane by lane."""
    ideal = total = 0
    count = p["out_h"] * p["out_w"]
    for first in range(0, count, pixels):
        for ky in range(p["kernel_h"]):
            for kx in range(p["kernel_w"]):
                words = set()
                for i in range(first, min(first + pixels, count)):
                    y = i // p["out_w"] * p["stride_h"] + ky * p["dilation_h"] - p["pad_top"]
                    x = i % p["out_w"] * p["stride_w"] + kx * p["dilation_w"] - p["pad_left"]
                    if 0 <= y < p["in_h"] and 0 <= x < p["in_w"]:
                        words.add((p["in_slot"] + y) % p["in_ring"] * p["in_row_stride"] + x)
                ideal += 1
                total += max(Counter(w % BANKS for w in words).values(), default=1)
    return ideal, total - ideal


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("seed", range(60))
def test_bank_conflicts(seed: int, config: str) -> None:
    rng, hw = random.Random(seed), load(config)
    h, w = rng.randint(1, 8), rng.randint(1, 8)
    ring = rng.randint(h, h + 2)
    packet = make_packet(
        "CONV",
        in_h=h,
        in_w=w,
        in_ring=ring,
        in_slot=rng.randrange(ring),
        in_row_stride=rng.randrange(20),
        out_h=rng.randint(1, 6),
        out_w=rng.randint(1, 6),
        out_ring=6,
        kernel_h=rng.randint(1, 3),
        kernel_w=rng.randint(1, 3),
        stride_h=rng.randint(1, 4),
        stride_w=rng.randint(1, 4),
        pad_top=rng.randrange(3),
        pad_left=rng.randrange(3),
        dilation_w=rng.randint(1, 2),
        in_blocks=2,
        out_blocks=3,
    )
    ideal, extra = slow_conflicts(packet, hw.pixels)
    cost = packet_cost(packet, hw, None)
    assert (cost.mac_busy, cost.conflicts) == (6 * ideal, 6 * extra)


def test_requantize_bound() -> None:
    """1x1 with one in block: 2 cycles per strip instead of 1."""
    cost = packet_cost(conv(16, 16, 1, 4, 1, 1), U50, None)
    assert cost.bound == "requantize" and cost.mac_busy == 128
    assert 256 <= cost.cycles <= 256 + 60


def test_weights_come_at_one_word_per_cycle() -> None:
    copy = make_packet("COPY", move=4, n0=4096, n1=1, n2=1, n3=1)
    cycles = {name: packet_cost(copy, load(name), None).cycles for name in ("u50", "u50-2port")}
    assert 4096 <= cycles["u50"] <= 4096 + 100 and 4 * 4096 <= cycles["u50-2port"] <= 4 * 4096 + 100


def test_loads_use_both_masters() -> None:
    copy = make_packet("COPY", move=0, n0=4096, n1=1, n2=4, n3=1, src_stride2=1024, dst_stride2=4096)
    cost = packet_cost(copy, U50, None)
    assert cost.read_beats == 4 * 2048 and 4096 <= cost.cycles <= 4300
    short = make_packet("COPY", move=0, n0=4, n1=64, n2=8, n3=1, src_stride1=2, src_stride2=128)
    assert packet_cost(short, U50, None).bound == "latency"


def test_beats_are_counted_exactly() -> None:
    """A run of 5 words of 16 bytes is 80 bytes, 3 beats of 2 lines; one over a group's end is two bursts."""
    apart = make_packet("COPY", move=0, src=0, n0=5, n1=4, n2=1, n3=1, src_stride1=3)
    assert packet_cost(apart, U50, None).read_beats == 12
    joined = changed(apart, src_stride1=2)  # one burst, with the padding between the runs
    assert packet_cost(joined, U50, None).read_beats == 3 * 4 + 3
    at_the_end = changed(joined, src=16 - 4)  # two runs in each group
    assert packet_cost(at_the_end, U50, None).read_beats == 2 * (4 + 3)
    over = make_packet("COPY", move=0, src=15, n0=5, n1=1, n2=1, n3=1)  # 64 bytes, then 16
    assert packet_cost(over, U50, None).read_beats == 3
    params = make_packet("COPY", move=3, n0=3, n1=1, n2=1, n3=1)  # 3 words of 128 bytes
    assert packet_cost(params, U50, None).read_beats == 12


def test_copies_of_a_queue_overlap_their_latency() -> None:
    program = pipeline("u50")
    words = decoded(program)
    copies = [changed(words[2], wait=0, signal=0, dst=256 * i) for i in range(8)]
    report = timing.estimate(with_packets(program, [*copies, words[-1]]))
    alone = packet_cost(copies[0], U50, None)
    spans = [p.end - p.start for p in report.packets[:-1]]
    assert alone.cycles <= spans[0] <= alone.cycles + 16 and alone.setup > 60  # a read of fetch is in between
    assert report.total_cycles < 8 * alone.cycles - 3 * alone.setup


def test_empty_copy_only_signals() -> None:
    assert packet_cost(make_packet("COPY"), U50, None).cycles == REFERENCE.empty_copy


@pytest.mark.parametrize("move", ["fill_act", "act_to_act"])
def test_local_copies_move_a_line_of_each_master_per_cycle(move: str) -> None:
    """Every run takes whole steps: 64 bytes on u50, four words of 16, so three steps for nine words."""
    assert (U50.in_masters, U50.act_word_bytes) == (2, 16)
    counts = {"n0": 9, "n1": 2, "n2": 3, "n3": 5}
    packet = make_packet("COPY", move=Move[move.upper()], **counts, dst_stride1=16, dst_stride2=32, dst_stride3=96)
    cost = packet_cost(packet, U50, None)
    setup = REFERENCE.local_setup if move == "act_to_act" else REFERENCE.fill_setup
    assert cost.cycles - cost.setup == 3 * 2 * 3 * 5 and cost.setup == setup


def test_report_of_a_program() -> None:
    program = pipeline()
    report = timing.estimate(program)
    words = decoded(program)
    assert [p.op for p in report.packets] == [w.name for w in words]
    assert report.total_cycles == max(p.end for p in report.packets) == report.packets[-1].end
    assert report.macs == 3000 and set(report.counters) == {name for name, _ in COUNTERS}
    assert report.counters["packets"] == len(words)
    by_queue: dict[str, list[timing.PacketTiming]] = {}
    for p in report.packets:
        by_queue.setdefault(p.queue, []).append(p)
    for queue, packets in by_queue.items():  # a queue ends its packets in order; MAC and VEC run one at a time
        assert all(a.end <= (b.start if queue in ("mac", "vec") else b.end) for a, b in pairwise(packets))
    ends: dict[int, list[int]] = {}
    for p, w in zip(report.packets, words, strict=True):  # a wait starts after its signal
        for s in bits(w["wait"]):
            assert p.start > ends[s].pop(0)
        for s in bits(w["signal"]):
            ends.setdefault(s, []).append(p.end)
    busy = sum(p.cycles for p in report.packets)
    assert report.total_cycles < busy  # the queues overlap


def test_order_of_waiting_matters() -> None:
    """The same work with every queue waiting for the one before it takes longer."""
    program = pipeline()
    words = decoded(program)
    serial = [changed(w, wait=0, signal=0) for w in words]
    for i in range(len(serial) - 1):
        semaphore = 1 << (i % 16)
        serial[i] = changed(serial[i], signal=semaphore)
        serial[i + 1] = changed(serial[i + 1], wait=semaphore)
    slow = timing.estimate(with_packets(program, serial))
    assert slow.total_cycles > timing.estimate(program).total_cycles
    assert slow.total_cycles >= sum(p.cycles for p in slow.packets)


def test_constants_are_parameters() -> None:
    program = pipeline()
    late = timing.estimate(program, timing=replace(REFERENCE, read_latency=500, write_latency=500))
    assert late.total_cycles > timing.estimate(program).total_cycles + 800


def test_refusals() -> None:
    program = pipeline()
    with pytest.raises(ProgramError, match="the program has no entry point 'x'; it has main"):
        timing.estimate(program, "x")
    words = decoded(program)
    words[0] = changed(words[0], wait=1 << 9)
    with pytest.raises(ProgramError, match=r"packet 0 .* would deadlock"):
        timing.estimate(with_packets(program, words))


def test_mac_packets_prepare_behind_each_other() -> None:
    """The second of two MAC packets does not pay for its constants."""
    program = pipeline("u50")
    words = decoded(program)
    halt, one = words[-1], conv(16, 16, 1, 1, 3, 1)
    alone = packet_cost(one, U50, None)
    ends = [p.end for p in timing.estimate(with_packets(program, [one, one, one, halt])).packets[:3]]
    assert alone.setup == U50.pixels + REFERENCE.mac_setup
    assert [b - a for a, b in pairwise(ends)] == [alone.cycles - alone.setup] * 2


def test_weights_do_not_wait_for_parameters() -> None:
    """One queue, two ways: a weight word comes over the weight masters, parameters over in-master 0."""
    params = make_packet("COPY", move=3, n0=16, n1=1, n2=1, n3=1)
    weights = make_packet("COPY", move=4, n0=64, n1=1, n2=1, n3=1)
    halt = make_packet("HALT")
    program = pipeline("u50")
    both = timing.estimate(with_packets(program, [params, weights, halt])).total_cycles
    alone = timing.estimate(with_packets(program, [params, halt])).total_cycles
    assert both <= alone + 20


def test_pooling_beside_a_convolution_is_slower() -> None:
    pool = make_packet(
        "POOL", in_h=32, in_w=32, in_blocks=2, in_ring=32, in_pitch=32, in_row_stride=64, kernel_h=2, kernel_w=2,
        out_h=31, out_w=31, out_ring=31, out_pitch=32, out_row_stride=64,
    )  # fmt: skip
    halt, program = make_packet("HALT"), pipeline("u50")

    def span(packets: list[Packet]) -> int:
        found = next(p for p in timing.estimate(with_packets(program, packets)).packets if p.op == "POOL")
        return found.end - found.start

    alone, beside = span([pool, halt]), span([conv(32, 32, 4, 4, 3, 1), pool, halt])
    assert alone == packet_cost(pool, U50, None).cycles
    assert 4 * alone < beside < 4.6 * alone  # its strips stay on 8 of 16 banks; 8,394 cycles on the Verilog machine


def test_a_program_that_only_ends() -> None:
    report = timing.estimate(with_packets(pipeline(), [make_packet("HALT")]))
    assert len(report.packets) == 1 and report.total_cycles > 0 and report.macs == 0


ROW16 = {"a_bytes": 1, "h": 8, "m": 16, "blocks": 8, "a_pitch": 24, "out_pitch": 24}


@pytest.mark.parametrize(
    ("name", "values", "per_cycle"),
    [
        ("ROW", {**ROW16, "row_mode": 1, "reduce": 1, "table_mode": 1}, 32),  # exponents and sums
        ("ROW", {**ROW16, "function": 2, "row_mode": 2}, 32),  # a norm by channel records
        ("ROW", {**ROW16, "function": 2, "table_mode": 2}, 32),  # an interpolated table
        ("ROW", {**ROW16, "function": 1, "b_kind": 2, "b_bytes": 1, "c_kind": 2, "c_bytes": 1}, 16),  # adaLN rows
        ("ROW", {**ROW16, "function": 1, "b_kind": 1, "a_bytes": 0}, 32),  # a gated unit of int8
        ("ROW", {**ROW16, "function": 1, "b_kind": 1, "a_bytes": 0, "out_bytes": 1}, 16),  # positions: x * cos
        ("ROW", {**ROW16, "function": 1, "b_kind": 2, "b_bytes": 1, "c_kind": 1, "c_bytes": 1, "out_bytes": 1}, 32 / 3),
        ("REDUCE", {"function": 3, "in_bytes": 1, "h": 8, "m": 16, "blocks": 8, "in_pitch": 24}, 32),
    ],
)
def test_row_work_by_its_words(name: str, values: dict[str, int], per_cycle: float) -> None:
    """Four words are read and two written in a cycle, and a cycle per pair of pixels reads their items.

    Twice the rows take twice the cycles besides the start.
    """
    hw = load("u50")
    one, two = (packet_cost(make_packet(name, **{**values, "h": h}), hw, None).cycles for h in (8, 16))
    items = 8 * 16 // 2 if values.get("row_mode") else 0
    assert two - one == 8 * 16 * 8 * hw.block / per_cycle + items


def test_reciprocals_come_one_in_a_cycle() -> None:
    hw = load("u50")
    one, two = (packet_cost(make_packet("RECIP", n=n), hw, None).cycles for n in (100, 200))
    assert two - one == 100


@pytest.mark.parametrize(
    ("values", "cycles"),
    [({}, 2), ({"out_bytes": 1}, 4), ({"out_bytes": 1, "res_kind": 1}, 4), ({"out_bytes": 1, "res_kind": 2}, 4)],
)
def test_the_drain_of_a_strip(values: dict[str, int], cycles: int) -> None:
    """With one block of the shared dimension the results set the pace: 8 pixels of 2 planes, 4 words a cycle.

    A residual waits for a bank besides, at most once for each of its words: operands take theirs once a strip.
    """
    hw = load("u50")
    small, large = (
        packet_cost(make_packet("GEMM", m=m, k_blocks=1, n_blocks=1, **values), hw, None).cycles for m in (80, 160)
    )
    strip = hw.pixels // hw.requant_pixels if not values else cycles
    waits = 10 * strip if values.get("res_kind") == OperandKind.TENSOR else 0
    assert 10 * strip <= large - small <= 10 * strip + waits


def test_keys_move_to_weights_by_64_bytes() -> None:
    hw = load("u50")
    one, two = (packet_cost(make_packet("COPY", move=6, n0=1, n1=n, n2=1, n3=1), hw, None).cycles for n in (100, 200))
    assert two - one == 100 * 4


def test_what_is_forgotten_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places of lanes are memory; a run that keeps hardly any takes as long."""
    program, forgotten = pipeline("u50"), []
    whole = timing.estimate(program)
    forget = side_by_side.SideBySide._forget

    def counted(self: side_by_side.SideBySide) -> None:
        forgotten.append(len(self._places))
        forget(self)

    monkeypatch.setattr(side_by_side.SideBySide, "_forget", counted)
    monkeypatch.setattr(side_by_side, "_KNOWN", 2)
    assert timing.estimate(program) == whole
    assert forgotten and max(forgotten) < 20


def test_alike_packets_are_costed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program twice over, with its own weights and semaphores, takes as long as where each packet is costed."""
    program = pipeline("u50")
    twice = with_packets(program, [*decoded(program)[:-1], *decoded(program)])
    found, asked = timing.estimate(twice), list[Packet]()

    def counted(packet: Packet, *others: Any) -> Cost:
        asked.append(packet)
        return packet_cost(packet, *others)

    monkeypatch.setattr(timing, "packet_cost", counted)
    assert timing.estimate(twice) == found
    assert len(asked) < len(decoded(twice)) * 0.6
    monkeypatch.setattr(timing._Run, "_cost", lambda run, step: packet_cost(step.packet, U50, step.params, REFERENCE))
    assert timing.estimate(twice) == found
