"""vla_queue between a random dispatcher, a random semaphore unit and an engine of two packets."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from vla_isa.instructions import BY_NAME

WAIT, SIGNAL = (BY_NAME["COPY"].by_name[n].lsb for n in ("wait", "signal"))


@dataclass(frozen=True)
class Entry:
    packet: int
    addr: int
    seq: int

    @property
    def wait(self) -> int:
        return self.packet >> WAIT & 0xFFFF

    @property
    def signal(self) -> int:
        return self.packet >> SIGNAL & 0xFFFF


async def start(dut) -> None:
    for name in (
        "flush_i",
        "stop_i",
        "in_valid_i",
        "in_packet_i",
        "in_addr_i",
        "in_seq_i",
        "take_grant_i",
        "packet_ready_i",
        "done_i",
        "error_i",
    ):
        getattr(dut, name).value = 0
    dut.rst_i.value = 1
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    await FallingEdge(dut.clk_i)
    await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0


def check_ends(dut, waiting: deque[Entry], engine: deque[Entry]) -> None:
    """What is said of the packet that waits first and of the one that runs."""
    if waiting:
        head = waiting[0]
        assert dut.take_mask_o.value == head.wait
        assert (dut.head_addr_o.value, dut.head_seq_o.value) == (head.addr, head.seq)
        assert dut.packet_o.value.to_unsigned() == head.packet
    if engine:
        oldest = engine[0]
        assert (dut.signal_mask_o.value, dut.running_addr_o.value) == (oldest.signal, oldest.addr)
        assert dut.running_seq_o.value == oldest.seq


async def traffic(dut, rng: random.Random, cycles: int, stop_at: int | None = None) -> dict[str, int]:
    """Random traffic, every output compared with a model in every cycle; counts of what happened."""
    waiting: deque[Entry] = deque()
    engine: deque[Entry] = deque()
    taken, seq = False, 0
    count = dict.fromkeys(("in", "take", "free", "give", "done", "fails", "full"), 0)
    offer: Entry | None = None
    for cycle in range(cycles):
        if offer is None and rng.random() < 0.6:
            packet = rng.getrandbits(512) & ~(0xFFFF << WAIT if rng.random() < 0.3 else 0)  # some wait for nothing
            offer = Entry(packet, rng.getrandbits(38), seq)
            seq += 1
        stop = stop_at is not None and cycle >= stop_at
        asks = bool(waiting) and not taken and not stop
        free = asks and not waiting[0].wait
        grant, ready, done = (
            asks and not free and rng.random() < 0.5,
            len(engine) < 2 and rng.random() < 0.7,
            bool(engine) and rng.random() < 0.2,
        )
        dut.stop_i.value, dut.in_valid_i.value = int(stop), int(offer is not None)
        if offer:
            dut.in_packet_i.value, dut.in_addr_i.value, dut.in_seq_i.value = offer.packet, offer.addr, offer.seq
        fails = done and rng.random() < 0.2
        dut.take_grant_i.value, dut.packet_ready_i.value, dut.done_i.value = int(grant), int(ready), int(done)
        dut.error_i.value = int(fails)
        await Timer(500, "ps")
        depth = int(dut.Depth.value)
        assert bool(dut.in_ready_o.value) == (len(waiting) < depth)
        assert bool(dut.empty_o.value) == (not waiting)
        assert bool(dut.busy_o.value) == (taken or bool(engine))
        assert bool(dut.head_waiting_o.value) == (bool(waiting) and not taken)
        assert bool(dut.take_valid_o.value) == (asks and not free)
        assert bool(dut.packet_valid_o.value) == taken
        assert bool(dut.signal_valid_o.value) == (done and not fails)
        check_ends(dut, waiting, engine)
        take, give = free or grant, taken and ready
        push = offer is not None and len(waiting) < depth
        count["full"] += len(waiting) == depth
        if done:
            engine.popleft()
        if give:
            engine.append(waiting.popleft())
        if push and offer:
            waiting.append(offer)
            offer = None
        taken = take or (taken and not give)
        count["free"] += free
        count["fails"] += fails
        for name, event in (("in", push), ("take", take), ("give", give), ("done", done)):
            count[name] += event
        await FallingEdge(dut.clk_i)
    dut.in_valid_i.value = dut.done_i.value = 0
    return count


@cocotb.test()
async def random_traffic(dut) -> None:
    """Order, masks and states over many packets."""
    await start(dut)
    count = await traffic(dut, random.Random(7), 4000)
    assert min(count.values()) > 100, count


@cocotb.test()
async def stop_and_flush(dut) -> None:
    """After stop_i at most the packet that has its semaphores goes on; a flush forgets the rest."""
    await start(dut)
    for seed in range(5):
        rng = random.Random(seed)
        count = await traffic(dut, rng, 300, stop_at=120)
        assert count["done"] <= count["give"] <= count["take"] < count["in"]
        assert dut.empty_o.value == 0
        dut.flush_i.value = 1
        await FallingEdge(dut.clk_i)
        dut.flush_i.value = 0
        await Timer(500, "ps")
        assert dut.empty_o.value == 1 and dut.busy_o.value == 0 and dut.take_valid_o.value == 0
        await FallingEdge(dut.clk_i)
