"""T1, continued: moves to and from HBM, semaphores, JUMP, HALT, and every way a run can end in an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import encode, make_packet
from vla_isa.generated.codes import LARGEST_COUNT, SEMAPHORES
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import TABLE, ErrorCode
from vla_isa.operands import fill
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vlarun.conformance.programs import Builder, Case, copy_packet

__all__ = ["cases"]

SEED = 5


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """All cases that are not about one instruction's arithmetic."""
    for group in (_long_runs, _strided_moves, _constant_moves, _masked_moves, _semaphores, _control, _outside):
        yield from group(hw)


def _program(hw: HardwareConfig, fill_in: Callable[[Builder], None]) -> Program:
    builder = Builder(hw)
    fill_in(builder)
    builder.halt()
    return builder.build()


def _copy_case(hw: HardwareConfig, name: str, fill_in: Callable[[Builder], None]) -> Case:
    return Case(f"T1.copy.{name}", _program(hw, fill_in))


def _long_runs(hw: HardwareConfig) -> Iterator[Case]:
    """One run around a line's and a burst's length."""
    rng = np.random.default_rng(SEED)
    per_line = LINE_BYTES // hw.block

    def long_load(b: Builder, words: int) -> None:
        b.load_act(fill(rng, (words, hw.block), "random"), 3)
        b.store_act(0, 310)

    def long_store(b: Builder, words: int) -> None:
        b.load_act(fill(rng, (310, hw.block), "random"))
        b.store_act(1, words)

    for words in (1, per_line - 1, per_line, per_line + 1, 3 * per_line + 1, 300):
        yield _copy_case(hw, f"data_to_act.run.{words}", partial(long_load, words=words))
        yield _copy_case(hw, f"act_to_data.run.{words}", partial(long_store, words=words))


def _strided_moves(hw: HardwareConfig) -> Iterator[Case]:
    """Four dimensions and a ring, into and out of the scratchpad."""
    rng = np.random.default_rng(SEED)
    per_line = LINE_BYTES // hw.block

    def strided_load(b: Builder) -> None:
        line = b.constant(fill(rng, (400 * LINE_BYTES,), "random"))
        b.add(
            copy_packet(
                "data_to_act",
                src=line,
                dst=5,
                n0=per_line + 1,
                n1=2,
                n2=3,
                n3=2,
                src_stride1=2,
                src_stride2=7,
                src_stride3=40,
                dst_stride1=20,
                dst_stride2=41,
                dst_stride3=200,
                dst_ring=4,
                dst_slot=2,
            )
        )
        b.store_act(0, 420)

    def strided_store(b: Builder) -> None:
        b.load_act(fill(rng, (500, hw.block), "random"))
        line = b.reserve(400 * LINE_BYTES)
        b.add(
            copy_packet(
                "act_to_data",
                src=3,
                dst=line,
                n0=per_line + 2,
                n1=2,
                n2=3,
                n3=2,
                src_stride1=11,
                src_stride2=45,
                src_stride3=200,
                src_ring=4,
                src_slot=3,
                dst_stride1=2,
                dst_stride2=6,
                dst_stride3=100,
            )
        )

    yield _copy_case(hw, "data_to_act.strided.ring", strided_load)
    yield _copy_case(hw, "act_to_data.strided.ring", strided_store)


def _constant_moves(hw: HardwareConfig) -> Iterator[Case]:
    """Parameters and weights."""
    rng = np.random.default_rng(SEED)

    def params(b: Builder) -> None:
        words = rng.integers(0, 256, (9, hw.param_word_bytes), dtype=np.uint8)
        lines = hw.param_word_bytes // LINE_BYTES
        b.add(
            copy_packet(
                "data_to_param",
                src=b.constant(words),
                dst=4,
                n0=3,
                n1=2,
                n2=1,
                n3=1,
                src_stride1=5 * lines,
                dst_stride1=10,
            )
        )

    def weights(b: Builder) -> None:
        base = b.weight_words(fill(rng, (40, hw.weight_word_bytes), "random"))
        b.add(
            copy_packet(
                "weight_to_weight",
                src=base + 1,
                dst=7,
                n0=5,
                n1=2,
                n2=2,
                n3=1,
                src_stride1=8,
                src_stride2=18,
                dst_stride1=6,
                dst_stride2=20,
            )
        )

    def weights_of_lines(b: Builder) -> None:
        lines = hw.weight_word_bytes // LINE_BYTES
        source = b.constant(fill(rng, (40, hw.weight_word_bytes), "random"))
        steps = {"src_stride1": 5 * lines, "src_stride2": 12 * lines, "dst_stride1": 4, "dst_stride2": 20}
        b.add(copy_packet("data_to_weight", src=source + lines, dst=7, n0=3, n1=2, n2=2, **steps))

    def long_weights(b: Builder) -> None:
        b.load_weight(fill(rng, (700, hw.weight_word_bytes), "random"), 1)

    yield _copy_case(hw, "data_to_param.strided", params)
    yield _copy_case(hw, "weight_to_weight.strided", weights)
    yield _copy_case(hw, "weight_to_weight.long", long_weights)
    yield _copy_case(hw, "data_to_weight.strided", weights_of_lines)


def _masked_moves(hw: HardwareConfig) -> Iterator[Case]:
    rng = np.random.default_rng(SEED + 1)

    def masked(b: Builder, words: NDArray[np.uint8]) -> None:
        b.load_param(words, 2)
        base = b.weight_words(fill(rng, (60, hw.weight_word_bytes), "random"))
        b.add(
            copy_packet(
                "weight_to_weight",
                src=base,
                dst=3,
                n0=4,
                n1=3,
                n2=4,
                src_stride1=4,
                src_stride2=14,
                mask_enable=1,
                mask_base=2,
            )
        )

    for name, density in (("some", 0.5), ("all", 1.1), ("none", -1.0)):
        bits = (rng.random((4, 8 * hw.param_word_bytes)) < density).astype(np.uint8)
        words = np.packbits(bits, axis=1, bitorder="little")

        yield Case(f"T1.copy.weight_to_weight.mask.{name}", _program(hw, partial(masked, words=words)))


def _nothing(move: str, **values: int) -> Packet:
    """A COPY of size zero: only waits and signals."""
    return copy_packet(move, **{"n0": 0, **values})


def _semaphores(hw: HardwareConfig) -> Iterator[Case]:
    def program(*packets: Packet, code: int = 0) -> Program:
        b = Builder(hw)
        for packet in (*packets, make_packet("HALT", code=code)):
            b.raw(encode(packet))
        return b.build()

    load, store, wload = "data_to_act", "act_to_data", "data_to_param"
    yield Case(
        "T1.semaphore.every.one",
        program(*(p for s in range(SEMAPHORES) for p in (_nothing(load, signal=1 << s), _nothing(store, wait=1 << s)))),
    )
    yield Case(
        "T1.semaphore.all.in.one.step",
        program(_nothing(load, signal=0x00FF), _nothing(wload, signal=0xFF00), _nothing(store, wait=0xFFFF)),
    )
    yield Case(
        f"T1.semaphore.counts.to.{LARGEST_COUNT}",
        program(*[_nothing(load, signal=1)] * LARGEST_COUNT, *[_nothing(store, wait=1)] * LARGEST_COUNT),
    )
    yield Case(
        "T1.semaphore.overflow",
        program(*[_nothing(load, signal=8)] * (LARGEST_COUNT + 1)),
        ErrorCode.SEMAPHORE_OVERFLOW,
        stop_at=LARGEST_COUNT * LINE_BYTES,
    )
    yield Case(
        "T1.semaphore.left.at.halt", program(_nothing(load, signal=4)), ErrorCode.SEMAPHORE_LEFT, stop_at=LINE_BYTES
    )
    for queue, move in (("load", load), ("wload", wload), ("store", store)):
        yield Case(
            f"T1.deadlock.{queue}",
            program(_nothing(load), _nothing(move, wait=1)),
            ErrorCode.DEADLOCK,
            stop_at=LINE_BYTES,
        )
    for name in (ins.name for ins in TABLE if ins.operands and not ins.queues):
        yield Case(
            f"T1.deadlock.{name.lower()}", program(make_packet(name, wait=0x8000)), ErrorCode.DEADLOCK, stop_at=0
        )
    yield Case(
        "T1.deadlock.second.of.two",
        program(_nothing(load, signal=1), _nothing(store, wait=3)),
        ErrorCode.DEADLOCK,
        stop_at=LINE_BYTES,
    )
    for name in ("HALT", "JUMP"):
        yield Case(
            f"T1.deadlock.{name.lower()}",
            program(_nothing(load), make_packet(name, wait=2)),
            ErrorCode.DEADLOCK,
            stop_at=LINE_BYTES,
        )


def _control(hw: HardwareConfig) -> Iterator[Case]:
    halt = make_packet("HALT", code=9)
    for entry in (1, 7, 1023):
        b = Builder(hw)
        for _ in range(entry):
            b.raw(encode(make_packet("HALT", code=1)))
        b.raw(encode(halt))
        yield Case(f"T1.start.packet.{entry}", b.build(entry), halt_code=9)
    b = Builder(hw)
    second = b.reserve(8 * LINE_BYTES)
    marker = b.constant(np.arange(LINE_BYTES, dtype=np.int8))
    target = b.reserve(LINE_BYTES)
    b.raw(encode(_nothing("data_to_act", signal=1)))
    b.raw(encode(make_packet("JUMP", target=second, wait=1, signal=2)))
    b.raw(encode(make_packet("HALT", code=1)))
    work = [
        copy_packet("data_to_act", src=marker, n0=LINE_BYTES // hw.block, signal=4),
        copy_packet("act_to_data", dst=target, n0=LINE_BYTES // hw.block, wait=4),
        make_packet("HALT", code=3, wait=2),
    ]
    program = b.build()
    program.heaps.append(Segment(second, b"".join(map(encode, work))))
    yield Case("T1.jump.with.semaphores", program, halt_code=3)


def _outside(hw: HardwareConfig) -> Iterator[Case]:
    """The memory answers with an error beyond the data space and the weight space."""

    def case(name: str, packet: Packet, status: ErrorCode) -> Case:
        b = Builder(hw)
        b.load_act(np.ones((8, hw.block), np.int8))
        b.load_weight(np.ones((2, hw.weight_word_bytes), np.int8))
        b.store_act(0, 8)
        address = b.address
        b.add(packet)
        b.halt()
        return Case(f"T1.outside.{name}", b.build(), status, stop_at=address)

    far = 1 << 20
    yield case("data.read", copy_packet("data_to_act", src=far, n0=4), ErrorCode.AXI_READ)
    yield case("params.read", copy_packet("data_to_param", src=far), ErrorCode.AXI_READ)
    yield case("weights.read", copy_packet("weight_to_weight", src=far), ErrorCode.AXI_READ)
    yield case("lines.read", copy_packet("data_to_weight", src=far), ErrorCode.AXI_READ)
    rows = {"table_base": far, "table_rows": 1, "index_kind": 1}
    yield case("rows.read", make_packet("GATHER", move=2, **rows), ErrorCode.AXI_READ)
    yield case("rows.write", make_packet("GATHER", move=3, **rows), ErrorCode.AXI_WRITE)
    yield case("data.write", copy_packet("act_to_data", dst=far, n0=8), ErrorCode.AXI_WRITE)
    b = Builder(hw)
    b.add(make_packet("JUMP", target=far))
    yield Case("T1.outside.fetch", b.build(), ErrorCode.AXI_READ, stop_at=far * LINE_BYTES)
