"""T1, continued: index registers, SET and LOOP: values at the ends of their fields, and every way out of a range.

Not here: random loops beside their unrolled programs (random_cases.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from vla_isa import numerics
from vla_isa.encoding import encode, make_packet
from vla_isa.generated.codes import SEMAPHORES, IndexSide, Move, SetSource
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import ErrorCode
from vla_isa.operands import fill
from vla_isa.packet import Packet
from vlarun.conformance.programs import Builder, Case, copy_packet

__all__ = ["cases"]

SEED = 11
ALL = (1 << SEMAPHORES) - 1  # every semaphore


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """All cases of a config; the same ids on every one."""
    yield from _sets(hw)
    yield from _indexes(hw)
    yield from _ranges(hw)
    yield from _rows(hw)
    yield from _loops(hw)
    yield from _illegal_loops(hw)
    yield from _semaphores(hw)


def _items(b: Builder, values: list[int], to: int) -> None:
    """Load items to word `to`."""
    b.load_act(numerics.pack_items(np.array(values)).reshape(-1, b.hw.block), to)


def _indexed(register: int, stride: int, *, count: int = 1000, side: int = IndexSide.SRC, **values: int) -> Packet:
    index = {"index_enable": 1, "index_register": register, "index_count": count, "index_stride": stride}
    return copy_packet("act_to_act", index_side=side, **index, **values)


def _case(hw: HardwareConfig, name: str, fill_in: Callable[[Builder], None]) -> Case:
    """A case over random words 0 to 299, of which words 300 to 399 are stored."""
    b = Builder(hw)
    b.load_act(fill(np.random.default_rng(SEED), (300, hw.block), "random"))
    fill_in(b)
    b.store_act(300, 100)
    b.halt()
    return Case(f"T1.{name}", b.build())


def _sets(hw: HardwareConfig) -> Iterator[Case]:
    """Registers, immediates, items and counts; what a register holds shows in a move by it."""
    last = hw.act_words - numerics.ITEM_BYTES // hw.act_word_bytes

    def immediate(b: Builder, register: int, value: int, stride: int) -> None:
        b.add(make_packet("SET", register=register, immediate=value))
        b.add(_indexed(register, stride, count=(1 << 16) - 1, src=0, dst=300, n0=3))

    for register in range(4):
        yield _case(hw, f"set.register.{register}", partial(immediate, register=register, value=5, stride=7))
    for value in (0, 1, 2, 40_000):
        yield _case(hw, f"set.immediate.{value}", partial(immediate, register=1, value=value, stride=value < 9))

    b = Builder(hw)  # no count is above it, so that nothing can be moved by it
    b.raw(encode(make_packet("SET", register=1, immediate=(1 << 16) - 1)))
    b.halt(6)
    yield Case("T1.set.immediate.highest", b.build(), halt_code=6)

    def item(b: Builder, value: int, count: int, base: int) -> None:
        _items(b, [value], base)
        b.add(make_packet("SET", register=2, source=SetSource.ITEM, base=base, count=count))
        b.add(_indexed(2, 3, src=0, dst=300, n0=3))

    for value, count in ((0, 1), (1, 2), (50, 51), (50, 40_000), (50, (1 << 16) - 1), ((1 << 40) + 7, 9)):
        yield _case(hw, f"set.item.{value}.{count}", partial(item, value=value, count=count, base=450))
    for base in (0, 1, 3 * hw.act_words // 4, last):
        yield _case(hw, f"set.item.at.{'last' if base == last else base}", partial(item, value=6, count=9, base=base))


def _indexes(hw: HardwareConfig) -> Iterator[Case]:
    """Sides, registers, counts and steps of an index, for moves of several kinds."""

    def moved(b: Builder, side: int, value: int, stride: int) -> None:
        b.add(make_packet("SET", register=3, immediate=value))
        step = {"src": 60, "dst": 340}
        b.add(_indexed(3, stride, side=side, n0=3, n1=2, src_stride1=9, dst_stride1=5, **step))

    for side in IndexSide:
        for value, stride in ((0, 9), (1, 13), (7, 4), (7, (1 << 32) - 1)):  # the last one goes back by 7
            name = f"index.{side.name.lower()}.{value}.{stride}"
            yield _case(hw, name, partial(moved, side=side, value=value, stride=stride))
    yield from _index_fields(hw)

    def weights(b: Builder) -> None:
        rng = np.random.default_rng(SEED)
        base = b.weight_words(fill(rng, (12, hw.weight_word_bytes), "random"))
        index = {"index_enable": 1, "index_register": 0, "index_count": 3, "index_stride": 4}
        for expert in (2, 0):
            b.add(make_packet("SET", register=0, immediate=expert))
            values = {"n0": 4, "n1": 1, "n2": 1, "n3": 1, "dst": 5 * expert}
            b.add(make_packet("COPY", move=Move.WEIGHT_TO_WEIGHT, src=base, **values, **index))

    yield _case(hw, "index.weights", weights)

    def lines(b: Builder) -> None:
        line = b.constant(fill(np.random.default_rng(SEED), (8 * 64,), "random"))
        for row in (3, 1):
            b.add(make_packet("SET", register=1, immediate=row))
            index = {"index_enable": 1, "index_register": 1, "index_count": 4, "index_stride": 2}
            b.add(copy_packet("data_to_act", src=line, dst=300 + 9 * row, n0=3, **index))

    yield _case(hw, "index.lines", lines)


def _index_fields(hw: HardwareConfig) -> Iterator[Case]:
    """An index of a register that is 0, with every other field at its ends."""

    def one(b: Builder, register: int, count: int, stride: int) -> None:
        b.add(_indexed(register, stride, count=count, src=1, dst=300, n0=4))

    ends = ((1, 0), (2, 1), (9, 77), (3 << 14, 3 << 30), ((1 << 16) - 1, (1 << 32) - 1))
    for register in range(4):
        for count, stride in ends:
            name = f"index.zero.{register}.{count}"
            yield _case(hw, name, partial(one, register=register, count=count, stride=stride))


def _refused(
    hw: HardwareConfig, name: str, status: ErrorCode, fill_in: Callable[[Builder], int], visits: int = 1
) -> Case:
    """A case that ends at the address that `fill_in` returns; what ran before is stored."""
    b = Builder(hw)
    b.load_act(fill(np.random.default_rng(SEED), (300, hw.block), "random"))
    b.store_act(0, 300)
    address = fill_in(b)
    b.store_act(0, 300)
    b.halt()
    return Case(f"T1.{name}", b.build(), status, stop_at=address, visits=visits)


def _ranges(hw: HardwareConfig) -> Iterator[Case]:
    """Items and registers at their counts and below 0."""

    def item(b: Builder, value: int) -> int:
        _items(b, [value], 400)
        address = b.address
        b.add(make_packet("SET", register=1, source=SetSource.ITEM, base=400, count=7))
        return address

    for value in (7, 8, -1, 1 << 20, -(1 << 31), (1 << 31) - 1):
        yield _refused(hw, f"set.item.outside.{value}", ErrorCode.INDEX_RANGE, partial(item, value=value))

    def register(b: Builder, value: int, count: int) -> int:
        b.add(make_packet("SET", register=1, immediate=value))
        address = b.address
        b.add(_indexed(1, 1, count=count, src=0, dst=400))
        return address

    for value, count in ((7, 7), (8, 7), (0, 0), ((1 << 16) - 1, (1 << 16) - 1)):
        name = f"index.outside.{value}.{count}"
        yield _refused(hw, name, ErrorCode.INDEX_RANGE, partial(register, value=value, count=count))

    def in_a_loop(b: Builder) -> int:
        addresses = []

        def body() -> None:
            addresses.append(b.address)
            b.add(_indexed(0, 4, count=3, side=IndexSide.DST, src=0, dst=400))

        b.loop(body, 5)
        return addresses[0]

    yield _refused(hw, "index.outside.in.round.3", ErrorCode.INDEX_RANGE, in_a_loop, visits=4)


def _rows(hw: HardwareConfig) -> Iterator[Case]:
    """Items of GATHER at the rows of its table and below 0, in every place: nothing moves."""

    def gather(b: Builder, move: str, items: list[int]) -> int:
        _items(b, items, 400)
        line = b.reserve(8 * 64)
        address = b.address
        base = line if move.endswith("data") else 0
        rows = {"table_base": base, "table_stride": 4, "table_rows": 2, "n": len(items), "index_base": 400}
        b.add(make_packet("GATHER", move=MOVES[move], words=3, act_base=500, act_pitch=8, **rows))
        return address

    for move in MOVES:
        for items in ([2, 0, 1], [0, 1, 2], [0, -1, 1], [1, 1, 1, 1, 1 << 20]):
            name = f"gather.outside.{move}.{'.'.join(map(str, items))}"
            yield _refused(hw, name, ErrorCode.INDEX_RANGE, partial(gather, move=move, items=items))
    yield from _data_rows(hw)


MOVES = {"gather_act": 0, "scatter_act": 1, "gather_data": 2, "scatter_data": 3}


def _data_rows(hw: HardwareConfig) -> Iterator[Case]:
    """Rows of the data space, by items and by a range, of less and more than a line."""

    def there_and_back(b: Builder, words: int, items: bool) -> None:
        stride = -(-words * hw.block // 64)
        line = b.reserve(9 * stride * 64)
        table = {"table_base": line, "table_stride": stride, "table_rows": 9, "words": words}
        how = {"index_base": 450} if items else {"index_kind": 1, "first": 2}
        if items:
            _items(b, [2, 7, 0, 7, 8], 450)
        b.add(make_packet("GATHER", move=MOVES["scatter_data"], n=5, act_base=0, act_pitch=5, **table, **how))
        back = {"index_kind": 1, "first": 0, "n": 9, "act_base": 300, "act_pitch": 9}
        b.add(make_packet("GATHER", move=MOVES["gather_data"], **table, **back))

    for words in (1, 3, 64 // hw.block, 11):
        for items in (False, True):
            name = f"gather.data.{words}.{'items' if items else 'range'}"
            yield _case(hw, name, partial(there_and_back, words=words, items=items))


def _loops(hw: HardwareConfig) -> Iterator[Case]:
    """Counts, bodies of one packet and of more than the prefetch buffer holds, nested loops, registers."""

    def copies(b: Builder, count: int, packets: int, register: int) -> None:
        def body() -> None:
            for i in range(packets):
                b.add(_indexed(register, 1, count=(1 << 16) - 1, side=IndexSide.SRC, src=i, dst=300 + i, n0=2))

        b.loop(body, count, register)

    for register in range(4):
        yield _case(hw, f"loop.register.{register}", partial(copies, count=4, packets=1, register=register))
    for count in (1, 2, 100):
        yield _case(hw, f"loop.count.{count}", partial(copies, count=count, packets=1, register=0))
    for packets in (2, 29, 30, 40, 70):
        yield _case(hw, f"loop.body.{packets}", partial(copies, count=3, packets=packets, register=0))

    def inside(b: Builder, outer: int, inner: int, registers: tuple[int, int]) -> None:
        def body() -> None:
            b.add(_indexed(registers[0], 5, src=0, dst=300, n0=5))
            b.loop(
                lambda: b.add(_indexed(registers[1], 7, side=IndexSide.DST, src=2, dst=310, n0=3)), inner, registers[1]
            )
            b.add(_indexed(registers[0], 2, side=IndexSide.DST, src=9, dst=380))

        b.loop(body, outer, registers[0])

    for outer, inner in ((1, 1), (3, 1), (1, 3), (4, 5)):
        yield _case(hw, f"loop.nested.{outer}.{inner}", partial(inside, outer=outer, inner=inner, registers=(0, 1)))
    yield _case(hw, "loop.nested.one.register", partial(inside, outer=3, inner=2, registers=(2, 2)))
    yield from _bare_loops(hw)


def _bare_loops(hw: HardwareConfig) -> Iterator[Case]:
    """Loops that only count, also one that ends where the one around it ends; a register after its loop."""
    empty = encode(copy_packet("fill_act", n0=0))
    for count in (40_000, (1 << 16) - 1):
        b = Builder(hw)
        b.raw(encode(make_packet("LOOP", n=1, count=count)))
        b.raw(empty)
        b.halt(3)
        yield Case(f"T1.loop.count.{count}", b.build(), halt_code=3)
    b = Builder(hw)
    b.raw(encode(make_packet("LOOP", n=2, count=3, register=1)))
    b.raw(encode(make_packet("LOOP", n=1, count=2, register=0)))
    b.raw(encode(_indexed(1, 4, side=IndexSide.DST, src=0, dst=300)))
    b.raw(encode(_indexed(0, 1, side=IndexSide.DST, src=0, dst=350)))
    b.halt(4)
    yield Case("T1.loop.ends.together", b.build(), halt_code=4)


def _illegal_loops(hw: HardwareConfig) -> Iterator[Case]:
    """What a body may not hold is refused where it stands, in the round that reaches it."""

    def program(name: str, status: ErrorCode, refused: int, *packets: Packet) -> Case:
        b = Builder(hw)
        for packet in packets:
            b.raw(encode(packet))
        return Case(f"T1.loop.{name}", b.build(), status, stop_at=refused * 64)

    nothing, halt = copy_packet("fill_act", n0=0), make_packet("HALT")

    def loop(n: int) -> Packet:
        return make_packet("LOOP", n=n, count=2)

    limit = ErrorCode.FIELD_LIMIT
    yield program("with.halt", limit, 2, loop(3), nothing, halt, nothing, halt)
    yield program("with.jump", limit, 2, loop(3), nothing, make_packet("JUMP"), nothing, halt)
    yield program("depth.3", limit, 2, loop(4), loop(3), loop(2), nothing, nothing, halt)
    yield program("over.the.outer", limit, 1, loop(2), loop(2), nothing, nothing, halt)
    yield program("behind.its.heap", ErrorCode.ILLEGAL_OPCODE, 2, loop(5), nothing)


def _semaphores(hw: HardwareConfig) -> Iterator[Case]:
    """SET and LOOP wait for, and signal, none, one and all semaphores; and for ever."""
    load, store = copy_packet("data_to_act", n0=0), copy_packet("act_to_data", n0=0)

    def but(packet: Packet, **values: int) -> Packet:
        return Packet(packet.instruction, {**packet.values, **values})

    for name in ("SET", "LOOP"):
        one = make_packet(name)
        for what, mask in (("one", 4), ("several", 6), ("all", ALL)):
            b = Builder(hw)
            body = [copy_packet("fill_act", n0=0)] if name == "LOOP" else []
            for p in (but(load, signal=mask), but(one, wait=mask, signal=mask), *body, but(store, wait=mask)):
                b.raw(encode(p))
            b.raw(encode(make_packet("HALT", code=5)))
            yield Case(f"T1.{name.lower()}.semaphores.{what}", b.build(), halt_code=5)
        b = Builder(hw)
        b.raw(encode(load))
        at = b.raw(encode(but(one, wait=2)))
        b.raw(encode(store))
        b.raw(encode(make_packet("HALT")))
        yield Case(f"T1.deadlock.{name.lower()}", b.build(), ErrorCode.DEADLOCK, stop_at=at)
