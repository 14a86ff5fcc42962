"""vla_fetch on random programs of SET, LOOP and indexed packets, beside `vla_isa.fetch`; and what a round reads."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import cocotb
from cocotb.clock import Clock
from fetch_bench import Bench, packet

from vla_isa.encoding import decode, encode, make_packet
from vla_isa.errors import IndexRangeError
from vla_isa.fetch import Fetch, indexed, item_value
from vla_isa.generated.codes import SetSource
from vla_isa.instructions import ErrorCode
from vla_isa.packet import FETCH, QUEUES, Packet

PROGRAMS, MOST = 60, 700  # random programs, and the packets that one runs
LONGEST = 60_000  # cycles
DEPTH, BURST = 32, 8  # of the prefetch buffer
END = make_packet("HALT", code=5)


@dataclass
class Expected:
    """What a program does: packets to the queues, what acts in fetch, and how it ends (code, address)."""

    dispatched: list[tuple[int, int, int, int]] = field(default_factory=list)
    events: list[tuple[str, int]] = field(default_factory=list)
    end: tuple[ErrorCode, int] = (ErrorCode.OK, 0)


def expected(memory: dict[int, bytes], entry: int, items: dict[int, int]) -> Expected | None:
    """Of a program; None where it is too long."""
    out, fetch = Expected(), Fetch(64 * entry)
    for number in range(MOST):
        raw = memory.get(fetch.address // 64)
        if raw is None:
            out.end = (ErrorCode.AXI_READ, fetch.address)
            return out
        p = decode(raw)
        if fetch.refusal(p):
            out.end = (ErrorCode.FIELD_LIMIT, fetch.address)
            return out
        try:
            item = step(out, fetch, p, number, items)
        except IndexRangeError:
            out.end = (ErrorCode.INDEX_RANGE, fetch.address)
            return out
        if p.name == "HALT":
            return out
        fetch.advance(p, item)
    return None


def step(out: Expected, fetch: Fetch, p: Packet, number: int, items: dict[int, int]) -> range | None:
    """A packet goes to its queue, or acts in fetch; what its item is."""
    values = fetch.values(p)
    if p.queue != FETCH:
        if values is not None:
            p = replace(indexed(p, values.start), values={**indexed(p, values.start).values, "index_enable": 1})
        where = QUEUES.index(p.queue)
        out.dispatched.append((where, int.from_bytes(encode(p), "little"), fetch.address, number))
        return None
    out.events.append(("take", p["wait"]))
    item = None
    if p.name == "SET" and p["source"] == SetSource.ITEM:
        item = item_value(p, items[p["base"]])
    out.events.append(("signal", p["signal"]))
    return item


class Maker:
    """Random programs."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.items = {rng.randrange(16384): rng.choice((0, 3, 9, 9, -1, 1 << 20)) for _ in range(3)}

    def masks(self) -> dict[str, int]:
        return {"wait": self.rng.getrandbits(16), "signal": self.rng.getrandbits(16)}

    def indexed(self) -> Packet:
        rng = self.rng
        stride = rng.choice((0, 1, rng.getrandbits(32), rng.getrandbits(32)))
        count = rng.choice((10, 65535, 65535, 65535, 65535, 4))
        index = {"index_enable": 1, "index_register": rng.randrange(4), "index_count": count, "index_stride": stride}
        if rng.random() < 0.4:
            return make_packet("GATHER", move=rng.randrange(4), table_base=rng.getrandbits(32), **index)
        places = {"src": rng.getrandbits(32), "dst": rng.getrandbits(32), "index_side": rng.randrange(2)}
        return make_packet("COPY", move=rng.randrange(8), **places, **index, **self.masks())

    def set(self) -> Packet:
        rng = self.rng
        if rng.random() < 0.3:
            where = {
                "source": SetSource.ITEM,
                "base": rng.choice(list(self.items)),
                "count": rng.choice((10, 10, 9, 4)),
            }
            return make_packet("SET", register=rng.randrange(4), immediate=7, **where, **self.masks())
        value = rng.choice((0, 1, 8, 65535)) if rng.random() < 0.9 else rng.getrandbits(16)
        return make_packet("SET", register=rng.randrange(4), immediate=value, **self.masks())

    def run(self, depth: int, length: int) -> list[Packet]:
        """Packets, loops among them."""
        rng, out = self.rng, []
        while len(out) < length:
            kind = rng.random()
            if kind < 0.12 and (depth < 2 or rng.random() < 0.02):
                body = self.run(depth + 1, rng.choice((1, 1, 2, 3, 8, 24, 33)))
                n = len(body) + (rng.random() < 0.02)
                count = rng.choice((1, 2, 3, 5))
                out += [make_packet("LOOP", n=n, count=count, register=rng.randrange(4), **self.masks()), *body]
            elif kind < 0.25:
                out.append(self.indexed())
            elif kind < 0.32:
                out.append(self.set())
            elif kind < 0.321:
                out.append(make_packet(rng.choice(("JUMP", "HALT")), **self.masks()))
            else:
                out.append(decode(packet(rng)[1]))
        return out


async def runs_to_its_end(
    dut, rng: random.Random, memory: dict[int, bytes], entry: int, items: dict[int, int]
) -> Bench:
    """Run a program and compare what comes out."""
    wanted = expected(memory, entry, items)
    assert wanted is not None
    bench = Bench(dut, rng, memory, items)
    await bench.start(entry)
    code, address = wanted.end
    halts = int(code is ErrorCode.OK)  # its signal comes when all is drained
    while len(bench.dispatched) < len(wanted.dispatched) or len(bench.events) < len(wanted.events) - halts:
        await bench.cycle(ready=0.8, grant=0.8)
        assert bench.now < LONGEST, (bench.dispatched, bench.events)
    for _ in range(300):
        await bench.cycle()
    await bench.cycle(drained=True)
    await bench.cycle(drained=True)
    assert bench.dispatched == wanted.dispatched
    if halts:
        assert dut.halted_o.value == 1 and bench.events == wanted.events
    else:
        assert bench.events == [*wanted.events, ("fault", code)]
        assert dut.queue_addr_o.value.to_unsigned() == address
    return bench


@cocotb.test()
async def random_programs(dut) -> None:
    """Every packet arrives with the address that its index makes; every fault is told at its packet."""
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    ends: set[ErrorCode] = set()
    seed = done = 0
    while done < PROGRAMS:
        seed += 1
        rng = random.Random(seed)
        maker, entry = Maker(rng), rng.randrange(1000)
        packets = [*maker.run(0, rng.choice((5, 20, 60))), END]
        memory = {entry + i: encode(p) for i, p in enumerate(packets)}
        wanted = expected(memory, entry, maker.items)
        if wanted is None:
            continue
        await runs_to_its_end(dut, rng, memory, entry, maker.items)
        done += 1
        ends.add(wanted.end[0])
    assert ends >= {ErrorCode.OK, ErrorCode.INDEX_RANGE, ErrorCode.FIELD_LIMIT}


@cocotb.test()
async def what_a_round_reads(dut) -> None:
    """A body that ends before the buffer does is read once, at every place of its start; a longer one in each round."""
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    rng, rounds = random.Random(1), 4
    for first in range(100, 100 + BURST):
        fits = DEPTH - first % BURST
        for n in (1, fits - 1, fits, fits + 1):
            body = [packet(rng)[1] for _ in range(n)]
            code = [encode(make_packet("LOOP", n=n, count=rounds)), *body, encode(END)]
            memory = {first - 1 + i: raw for i, raw in enumerate(code)}
            bench = await runs_to_its_end(dut, rng, memory, first - 1, {})
            times = {bench.asked.count(line) for line in range(first, first + n)}
            assert times == {1 if n <= fits else rounds}, (first, n, bench.asked)
