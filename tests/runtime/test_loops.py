"""Loops and indexes on `sim`: as the program without them, and every way out of their ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from vla_isa import hardware, hazards, numerics, trace
from vla_isa.encoding import decode, encode, make_packet
from vla_isa.errors import HazardError, ProgramError
from vla_isa.generated.codes import GatherIndex, GatherMove, IndexSide, Move, SetSource
from vla_isa.hardware import HEAP_BYTES, LINE_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vla_isa.timing import estimate
from vla_isa.trace import walk
from vla_isa.validate import validate
from vlarun.backends import SimBackend, run_once
from vlarun.backends.base import RunResult
from vlarun.backends.sim import SimOptions
from vlarun.conformance.programs import Builder, copy_packet
from vlarun.errors import MachineError

HW = hardware.load("tiny")


def run(program: Program) -> RunResult:
    return run_once(SimBackend(), program, {})


def legal(program: Program) -> RunResult:
    hazards.check(program)
    validate(program)
    result = run(program)
    assert result.status is ErrorCode.OK, result.message
    return result


def unrolled(program: Program) -> Program:
    """The same packets without LOOP and index, by the words of the specification."""
    packets = _rounds(_packets(program), [0] * 4)
    return replace(program, heaps=[Segment(0, b"".join(encode(p) for p in packets))])


def _rounds(packets: list[Packet], registers: list[int]) -> Iterator[Packet]:
    at = 0
    while at < len(packets):
        p = packets[at]
        if p.name == "LOOP":
            for number in range(p["count"]):
                registers[p["register"]] = number
                yield from _rounds(packets[at + 1 : at + 1 + p["n"]], registers)
            at += p["n"]
        elif p.values.get("index_enable"):
            side = ("src", "dst")[p["index_side"]]
            moved = p[side] + registers[p["index_register"]] * p["index_stride"]
            yield replace(p, values={**p.values, side: moved, "index_enable": 0})
        else:
            if p.name == "SET":
                registers[p["register"]] = p["immediate"]
            yield p
        at += 1


def same_memories(a: RunResult, b: RunResult) -> bool:
    """Heaps apart, which differ."""
    data = [r.memories["data"].reshape(-1)[HEAP_BYTES:] for r in (a, b)]
    return np.array_equal(*data) and all(
        np.array_equal(a.memories[m], b.memories[m]) for m in ("act", "weight", "param")
    )


def words(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(-128, 128, (count, HW.block), np.int8)


def indexed(register: int, stride: int, count: int = 100, side: int = IndexSide.SRC, **values: int) -> Packet:
    index = {"index_enable": 1, "index_register": register, "index_count": count, "index_stride": stride}
    return copy_packet("act_to_act", index_side=side, **index, **values)


def random_body(b: Builder, rng: np.random.Generator) -> None:
    """Some moves and a step of VEC on words 0..255, some by an index register."""
    for _ in range(rng.integers(1, 4)):
        n0, src, dst = int(rng.integers(1, 6)), int(rng.integers(0, 60)), int(rng.integers(80, 140))
        kind = rng.integers(0, 4)
        if kind == 0:
            b.add(copy_packet("act_to_act", src=src, dst=dst, n0=n0))
        elif kind == 1:
            side = int(rng.integers(0, 2))
            b.add(indexed(int(rng.integers(0, 3)), int(rng.integers(0, 9)), side=side, src=src, dst=dst + 60, n0=n0))
        elif kind == 2:
            values = {"out_h": 1, "out_w": n0, "out_blocks": 1, "b_kind": 3, "b_scalar": 1, "a_mult": 1, "b_mult": 1}
            places = {"a_base": dst, "out_base": dst, "a_ring": 1, "out_ring": 1, "lo": -128, "hi": 127}
            b.add(make_packet("VEC", **values, **places))
        else:
            b.add(make_packet("SET", register=2, immediate=int(rng.integers(0, 5))))


@pytest.mark.parametrize("seed", range(12))
def test_a_loop_is_its_unrolled_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = Builder(HW)
    b.load_act(words(rng, 400))

    def outer() -> None:
        random_body(b, rng)
        if seed % 3:
            b.loop(lambda: random_body(b, rng), int(rng.integers(1, 4)), register=1)
        random_body(b, rng)

    b.loop(outer, int(rng.integers(1, 5)), register=0)
    b.store_act(0, 400)
    b.halt()
    program = b.build()
    result, plain = legal(program), legal(unrolled(program))
    assert same_memories(result, plain)
    rounds = result.counters["packets"] - plain.counters["packets"]
    assert rounds == sum(s.packet.name == "LOOP" for s in walk(program, 0)) >= 1


def test_an_index_is_added_for_every_value_of_its_register() -> None:
    rng = np.random.default_rng(0)
    data = words(rng, 200)
    for value in range(12):
        for side in IndexSide:
            programs = []
            step = {"src": 10, "dst": 100} | {side.name.lower(): (10, 100)[side] + 7 * value}
            for packet in (indexed(3, 7, 12, side, src=10, dst=100, n0=5), copy_packet("act_to_act", n0=5, **step)):
                b = Builder(HW)
                b.load_act(data)
                b.add(make_packet("SET", register=3, immediate=value))
                b.add(packet)
                b.store_act(0, 200)
                b.halt()
                programs.append(b.build())
            assert same_memories(*map(legal, programs))


def set_from_item(value: int, count: int, index_count: int = 1000) -> tuple[Builder, int]:
    """A program that copies word 8 * item; and the address of its SET."""
    b = Builder(HW)
    b.load_act(words(np.random.default_rng(1), 100))
    b.load_act(numerics.pack_items(np.array([value])).reshape(-1, HW.block), 100)
    at = b.address
    b.add(make_packet("SET", register=1, source=SetSource.ITEM, base=100, count=count))
    b.add(indexed(1, 8, index_count, src=0, dst=200, n0=8))
    b.store_act(200, 8)
    b.halt()
    return b, at


@pytest.mark.parametrize(("value", "good"), [(0, True), (4, True), (5, False), (-1, False), (1 << 31, False)])
def test_set_from_an_item(value: int, good: bool) -> None:
    b, at = set_from_item(value, 5)
    program = b.build()
    hazards.check(program)
    validate(program)
    result = run(program)
    if good:
        assert result.status is ErrorCode.OK
        assert np.array_equal(result.memories["act"][200:208], result.memories["act"][8 * value :][:8])
    else:
        assert (result.status, result.error_address) == (ErrorCode.INDEX_RANGE, at)
        assert not result.memories["act"][200:208].any()


def test_the_low_half_of_an_item_counts() -> None:
    b, _ = set_from_item((7 << 32) + 2, 5)
    act = legal(b.build()).memories["act"]
    assert np.array_equal(act[200:208], act[16:24])


def test_a_register_at_its_count() -> None:
    for index_count, status in ((5, ErrorCode.OK), (4, ErrorCode.INDEX_RANGE)):
        b, at = set_from_item(4, 9, index_count)
        result = run(b.build())
        assert result.status is status
        assert result.error_address == (0 if status is ErrorCode.OK else at + 64)


def test_a_known_register_outside_its_count_is_refused_at_load() -> None:
    b = Builder(HW)
    b.loop(lambda: b.add(indexed(0, 8, 3, src=0, dst=200)), 4)
    b.halt()
    program = b.build()
    with pytest.raises(ProgramError, match="index register 0 is 3, not below index_count 3"):
        validate(program)
    result = run(program)
    assert (
        result.status is ErrorCode.INDEX_RANGE
        and decode(program.heaps[0].data[result.error_address :][:64]).name == "COPY"
    )


@pytest.mark.parametrize("move", [GatherMove.GATHER_ACT, GatherMove.SCATTER_ACT])
@pytest.mark.parametrize(("last", "good"), [(6, True), (7, False), (-1, False)])
def test_items_of_a_gather(move: GatherMove, last: int, good: bool) -> None:
    """The last of five items is wrong: nothing moves."""
    rng = np.random.default_rng(2)
    b, items = Builder(HW), [3, 0, 6, 3, last]
    data = words(rng, 100)
    b.load_act(data)
    b.load_act(numerics.pack_items(np.array(items)).reshape(-1, HW.block), 100)
    at = b.address
    rows = {"table_base": 0, "table_stride": 4, "table_rows": 7, "words": 3, "n": 5, "act_base": 50, "act_pitch": 6}
    b.add(make_packet("GATHER", move=move, index_base=100, **rows))
    b.store_act(0, 100)
    b.halt()
    program = b.build()
    hazards.check(program)
    result = run(program)
    act, wanted = result.memories["act"][:100], data.copy()
    for i, r in enumerate(items if good else []):
        for w in range(3):
            table, moved = 4 * r + w, 50 + 6 * w + i
            to, source = (moved, table) if move == GatherMove.GATHER_ACT else (table, moved)
            wanted[to] = data[source]
    assert np.array_equal(act, wanted)
    status = (ErrorCode.OK, 0) if good else (ErrorCode.INDEX_RANGE, at)
    assert (result.status, result.error_address) == status


def test_rows_of_the_data_space_and_back() -> None:
    """Append by scatter, load by a range: a cache of rows of 3 words in lines of their own."""
    rng = np.random.default_rng(3)
    data = words(rng, 30)
    b = Builder(HW)
    table = b.reserve(16 * LINE_BYTES)
    b.load_act(data)
    rows = {"table_base": table, "table_stride": 1, "table_rows": 16, "words": 3, "index_kind": GatherIndex.RANGE}
    b.add(make_packet("GATHER", move=GatherMove.SCATTER_DATA, first=4, n=7, act_base=0, act_pitch=10, **rows))
    b.add(make_packet("GATHER", move=GatherMove.GATHER_DATA, first=5, n=5, act_base=100, act_pitch=5, **rows))
    b.halt()
    act = legal(b.build()).memories["act"]
    for i in range(5):
        for w in range(3):
            assert np.array_equal(act[100 + 5 * w + i], data[10 * w + i + 1])


def nested(depth: int) -> tuple[Program, int]:
    """Loops in one another, and the address of the innermost."""
    b, addresses = Builder(HW), [0]

    def body(left: int) -> Callable[[], None]:
        def inner() -> None:
            if left:
                addresses[0] = b.loop(body(left - 1), 2, register=left)
            else:
                b.add(copy_packet("fill_act", n0=3))

        return inner

    body(depth)()
    b.halt()
    return b.build(), addresses[0]


def test_two_loops_are_nested_and_no_third() -> None:
    legal(nested(2)[0])
    program, _ = nested(3)
    third = [i for i, p in enumerate(_packets(program)) if p.name == "LOOP"][2]
    result = run(program)
    assert (result.status, result.error_address) == (ErrorCode.FIELD_LIMIT, 64 * third)
    with pytest.raises(ProgramError, match="LOOP inside 2 loops"):
        validate(program)


@pytest.mark.parametrize("name", ["JUMP", "HALT"])
def test_a_body_has_no_jump_and_no_halt(name: str) -> None:
    b = Builder(HW)
    b.raw(encode(make_packet("LOOP", n=2, count=3)))
    b.raw(encode(copy_packet("fill_act", n0=1)))
    at = b.raw(encode(make_packet(name)))
    b.raw(encode(make_packet("HALT")))
    result = run(b.build())
    assert (result.status, result.error_address) == (ErrorCode.FIELD_LIMIT, at)
    with pytest.raises(ProgramError, match=f"{name} inside a loop"):
        validate(b.build())


def test_a_loop_ends_inside_the_one_around_it() -> None:
    for n, good in ((2, True), (3, False)):
        b = Builder(HW)
        b.raw(encode(make_packet("LOOP", n=3, count=2)))
        at = b.raw(encode(make_packet("LOOP", n=n, count=2)))
        for _ in range(3):
            b.raw(encode(copy_packet("fill_act", n0=1)))
        b.raw(encode(make_packet("HALT")))
        result = run(b.build())
        assert result.status is (ErrorCode.OK if good else ErrorCode.FIELD_LIMIT)
        assert result.error_address == (0 if good else at)


def test_a_body_lies_in_its_heap() -> None:
    """Refused at load; the machine meets what stands behind the heap."""
    b = Builder(HW)
    b.raw(encode(make_packet("LOOP", n=5, count=2)))
    b.raw(encode(copy_packet("fill_act", n0=1)))
    program = b.build()
    with pytest.raises(ProgramError, match="its body of 5 packets ends behind its heap, which has 1 more"):
        validate(program)
    result = run(program)
    assert (result.status, result.error_address) == (ErrorCode.ILLEGAL_OPCODE, 2 * 64)


def test_a_register_from_an_item_stands_for_all_its_values() -> None:
    """A packet of another queue that touches any word that the indexed one may touch has to be ordered."""
    for dst, good in ((199, True), (200 + 4 * 8 + 7, False), (200 + 4 * 8 + 8, True)):
        b = Builder(HW)
        b.load_act(numerics.pack_items(np.array([2])).reshape(-1, HW.block), 100)
        b.add(make_packet("SET", register=0, source=SetSource.ITEM, base=100, count=5))
        b.add(indexed(0, 8, 10, IndexSide.DST, src=0, dst=200, n0=8))
        line = b.reserve(LINE_BYTES)
        b.raw(encode(copy_packet("act_to_data", src=dst, dst=line)))
        b.raw(encode(make_packet("HALT")))
        program = b.build()
        if good:
            hazards.check(program)
        else:
            with pytest.raises(HazardError, match=f"reads act word {dst}"):
                hazards.check(program)


def test_a_long_loop_is_refused_and_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder(HW)
    b.loop(lambda: b.loop(lambda: b.add(copy_packet("fill_act", n0=1)), 65535), 65535)
    b.halt()
    with monkeypatch.context() as m:
        m.setattr(trace, "MOST_STEPS", 1000)
        with pytest.raises(ProgramError, match="executes more than 1000 packets; shorten its loops"):
            validate(b.build())
    with pytest.raises(MachineError, match="without reaching HALT"):
        run_once(SimBackend(SimOptions(max_packets=1000)), b.build(), {})


def test_a_loop_takes_the_cycles_of_its_packets() -> None:
    """A body that the prefetch buffer holds costs no more than the packets in a row."""
    b = Builder(HW)
    b.load_act(words(np.random.default_rng(0), 200))
    b.loop(lambda: b.add(indexed(0, 8, src=0, dst=500, n0=100)), 20)
    b.halt()
    program = b.build()
    loop, plain = (estimate(p).total_cycles for p in (program, unrolled(program)))
    assert plain - 40 <= loop <= plain + 8  # which are read one behind another


def _packets(program: Program) -> list[Packet]:
    data = program.heaps[0].data
    return [decode(data[i : i + 64]) for i in range(0, len(data), 64)]


def test_moves_to_weights_by_index() -> None:
    """Weight words by an expert's number, as a plain COPY of that expert."""
    for expert in range(3):
        acts = []
        for index in (
            {"index_enable": 1, "index_register": 0, "index_count": 3, "index_stride": 4},
            {"src": 4 * expert},
        ):
            b = Builder(HW)
            rng = np.random.default_rng(4)
            b.weight_words(rng.integers(-128, 128, (12, HW.weight_word_bytes), np.int8))
            b.add(make_packet("SET", register=0, immediate=expert))
            b.add(make_packet("COPY", move=Move.WEIGHT_TO_WEIGHT, n0=4, n1=1, n2=1, n3=1, dst=9, **index))
            b.halt()
            acts.append(legal(b.build()).memories["weight"])
        assert np.array_equal(*acts) and acts[0].any()
