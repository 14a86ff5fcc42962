"""vla_fetch on straight programs and jumps, faults, and stops in the middle."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from fetch_bench import Bench, packet

from vla_isa.encoding import encode, make_packet
from vla_isa.instructions import ErrorCode


@cocotb.test()
async def straight_and_jumps(dut) -> None:
    """Random straight runs joined by JUMPs arrive in order, with address and number; HALT waits for the drain."""
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    for seed in range(6):
        rng = random.Random(seed)
        memory: dict[int, bytes] = {}
        expected, takes, number, line = [], [], 0, rng.randrange(100)
        entry = line
        for piece in range(4):
            for _ in range(rng.choice((0, 1, 5, 40, 70))):
                queue, raw = packet(rng)
                memory[line] = raw
                expected.append((queue, int.from_bytes(raw, "little"), 64 * line, number))
                number, line = number + 1, line + 1
            wait, signal = rng.getrandbits(16), rng.getrandbits(16)
            target = 1000 * (piece + 1) + rng.randrange(64)
            takes += [("take", wait), ("signal", signal)]
            last = piece == 3
            memory[line] = encode(
                make_packet("HALT", wait=wait, signal=signal, code=77)
                if last
                else make_packet("JUMP", wait=wait, signal=signal, target=target)
            )
            number, line = number + 1, target
        bench = Bench(dut, rng, memory)
        await bench.start(entry)
        while len([e for e in bench.events if e[0] == "take"]) < 4 and bench.now < 6000:
            await bench.cycle()
        for _ in range(30):
            await bench.cycle(drained=False)
        assert dut.halted_o.value == 0
        await bench.cycle(drained=True)
        await bench.cycle()
        assert dut.halted_o.value == 1 and dut.halt_code_o.value == 77
        assert bench.dispatched == expected
        assert bench.events == takes


@cocotb.test()
async def faults(dut) -> None:
    """A packet that cannot run or be read is told once everything before it is complete, and nothing follows."""
    cases = (
        (bytes(64), ErrorCode.ILLEGAL_OPCODE),
        (b"\xff" + bytes(62) + b"\x80", ErrorCode.RESERVED_BITS),
        (bytes([1]) + bytes(63), ErrorCode.FIELD_LIMIT),
        (None, ErrorCode.AXI_READ),
    )
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    for seed, (raw, code) in enumerate(cases):
        rng = random.Random(seed)
        good = [packet(rng)[1] for _ in range(12)]
        memory = dict(enumerate([*good, *([raw] if raw else [])]))
        if raw:
            memory |= {13 + i: packet(rng)[1] for i in range(60)}
        bench = Bench(dut, rng, memory)
        await bench.start(0)
        for _ in range(500):
            await bench.cycle()
        assert len(bench.dispatched) == 12 and not bench.events
        assert dut.stalled_o.value == 1 and dut.queue_addr_o.value == 64 * 12
        await bench.cycle(drained=True)
        assert bench.events == [("fault", code)]


@cocotb.test()
async def stop_then_start(dut) -> None:
    """After stop_i nothing moves; a later start runs cleanly though old reads are still under way."""
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    rng = random.Random(9)
    memory = {i: packet(rng)[1] for i in range(400)}
    bench = Bench(dut, rng, memory)
    await bench.start(0)
    for round_ in range(8):
        for _ in range(rng.randint(1, 150)):
            await bench.cycle()
        dut.stop_i.value = 1
        await bench.cycle()
        bench.dispatched.clear()
        for _ in range(rng.randint(0, 20)):
            await bench.cycle()
        assert not bench.dispatched
        entry = rng.randrange(300)
        dut.stop_i.value, dut.start_i.value, dut.entry_i.value = 0, 1, entry
        await bench.cycle()
        dut.start_i.value = 0
        bench.dispatched.clear()
        for _ in range(300):
            await bench.cycle()
        got = [(a, n) for _, _, a, n in bench.dispatched]
        assert len(got) > 20, (round_, got)
        assert got == [(64 * (entry + i), i) for i in range(len(got))]
