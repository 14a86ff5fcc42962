"""vla_core_monitor by itself: who is named at the end, and which packets may still start."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge
from stimulus import pack, reset, settle, start

from vla_isa.instructions import ErrorCode

INPUTS = (
    "start_i",
    "fetch_stalled_i",
    "fetch_waiting_i",
    "fetch_fault_i",
    "fetch_fault_code_i",
    "fetch_halted_i",
    "fetch_halt_code_i",
    "fetch_addr_i",
    "fetch_seq_i",
    "head_waiting_i",
    "head_addr_i",
    "head_seq_i",
    "running_addr_i",
    "running_seq_i",
    "busy_i",
    "zero_i",
    "overflow_i",
    "overflow_client_i",
    "wload_error_i",
    "load_error_i",
    "store_error_i",
    "load_index_i",
    "store_index_i",
)
WLOAD, LOAD, MAC, VEC, STORE = range(5)
RECORD, END = 4, 12  # cycles from an error to its record, and to the end of the run
ERRORS = {WLOAD: "wload_error_i", LOAD: "load_error_i", STORE: "store_error_i"}


class Bench:
    """The queues around a monitor: packet number n lies at address 64 n."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.ended = False

    @classmethod
    async def make(cls, dut: Any) -> Bench:
        await start(dut, *INPUTS)
        return cls(dut)

    async def begin(self, *, running: dict[int, int] | None = None, heads: dict[int, int] | None = None) -> None:
        """Reset and start, with packets in engines and at the heads of queues, by queue."""
        self.ended = False
        await reset(self.dut, *INPUTS)
        self.dut.fetch_seq_i.value, self.dut.fetch_addr_i.value = 20, 20 * 64
        await self.pulse(start_i=1)
        results = [int(out.value) for out in (self.dut.status_o, self.dut.error_addr_o, self.dut.halt_code_o)]
        assert results == [ErrorCode.OK, 0, 0], "the host may read them while the run is on"
        self.engines(running or {})
        self.heads(heads or {})

    def engines(self, running: dict[int, int]) -> None:
        numbers = [running.get(q, 0) for q in range(5)]
        self.dut.running_seq_i.value = pack(numbers, 32)
        self.dut.running_addr_i.value = pack((64 * n for n in numbers), 38)
        self.dut.busy_i.value = int(bool(running))

    async def drain(self) -> None:
        """All engines are done; dispatch calls them busy until no error of theirs can come."""
        self.engines({})
        self.dut.busy_i.value = 1
        await self.cycles(RECORD + 1)
        self.dut.busy_i.value = 0

    def heads(self, heads: dict[int, int]) -> None:
        numbers = [heads.get(q, 0) for q in range(5)]
        self.dut.head_seq_i.value = pack(numbers, 32)
        self.dut.head_addr_i.value = pack((64 * n for n in numbers), 38)
        self.dut.head_waiting_i.value = pack((q in heads for q in range(5)), 1)

    async def cycles(self, count: int) -> None:
        for _ in range(count):
            await settle()
            self.ended |= bool(self.dut.done_o.value)
            await FallingEdge(self.dut.clk_i)

    async def pulse(self, **inputs: int) -> None:
        """One cycle with these inputs, which are zero again after it."""
        for name, value in inputs.items():
            getattr(self.dut, name).value = value
        await self.cycles(1)
        for name in inputs:
            getattr(self.dut, name).value = 0

    def may_start(self) -> set[int]:
        stop = self.dut.queue_stop_o.value.to_unsigned()
        return {q for q in range(5) if not stop >> q & 1}

    def end(self) -> tuple[ErrorCode, int]:
        """Status and number of the packet; the run must have ended."""
        assert self.ended
        return ErrorCode(int(self.dut.status_o.value)), int(self.dut.error_addr_o.value) // 64


@cocotb.test()
async def halt(dut: Any) -> None:
    """HALT ends the run with its code, or with the semaphores that are left."""
    bench = await Bench.make(dut)
    for zero in (1, 0):
        await bench.begin()
        dut.zero_i.value = zero
        dut.fetch_halted_i.value, dut.fetch_halt_code_i.value = 1, 77
        await bench.cycles(END)
        assert bench.end() == ((ErrorCode.OK, 0) if zero else (ErrorCode.SEMAPHORE_LEFT, 20))
        assert dut.halt_code_o.value == 77 * zero


@cocotb.test()
async def an_older_error_replaces_a_younger_one(dut: Any) -> None:
    """Every pair of engines, in both orders and at once."""
    bench = await Bench.make(dut)
    for first in ERRORS:
        for second in ERRORS:
            for gap in (0, 4) if first != second else ():
                await bench.begin(running={first: 9, second: 5})
                if gap:
                    await bench.pulse(**{ERRORS[first]: 1})
                    await bench.cycles(gap)
                    await bench.pulse(**{ERRORS[second]: 1})
                else:
                    await bench.pulse(**{ERRORS[first]: 1, ERRORS[second]: 1})
                assert not bench.ended
                await bench.drain()
                await bench.cycles(END)
                code = ErrorCode.AXI_WRITE if second == STORE else ErrorCode.AXI_READ
                assert bench.end() == (code, 5), (first, second, gap)
                await bench.begin(running={first: 5, second: 9})
                await bench.pulse(**{ERRORS[first]: 1})
                await bench.pulse(**{ERRORS[second]: 1})
                await bench.drain()
                await bench.cycles(END)
                assert bench.end()[1] == 5, (first, second, gap)


@cocotb.test()
async def a_wrong_item(dut: Any) -> None:
    """It has a code of its own; of two errors the older packet's counts."""
    bench = await Bench.make(dut)
    item = {LOAD: {"load_error_i": 1, "load_index_i": 1}, STORE: {"store_error_i": 1, "store_index_i": 1}}
    for wrong, other in ((LOAD, STORE), (STORE, LOAD), (LOAD, WLOAD)):
        for older in (wrong, other):
            await bench.begin(running={wrong: 6, other: 5 if older == other else 7})
            await bench.pulse(**item[wrong])
            await bench.pulse(**{ERRORS[other]: 1})
            await bench.drain()
            await bench.cycles(END)
            code = ErrorCode.AXI_WRITE if other == STORE else ErrorCode.AXI_READ
            assert bench.end() == ((ErrorCode.INDEX_RANGE, 6) if older == wrong else (code, 5)), (wrong, other)


@cocotb.test()
async def only_older_packets_start_after_an_error(dut: Any) -> None:
    """The run goes on until no older packet is left; one that waits for ever is a deadlock."""
    bench = await Bench.make(dut)
    for waits in (False, True):
        await bench.begin(running={LOAD: 6}, heads={WLOAD: 9, MAC: 4, VEC: 7})
        assert bench.may_start() == {WLOAD, LOAD, MAC, VEC, STORE}
        await bench.pulse(load_error_i=1)
        bench.engines({})
        await bench.cycles(RECORD)
        await settle()
        assert {WLOAD, VEC} & bench.may_start() == set() and MAC in bench.may_start()
        await bench.cycles(20)
        assert not bench.ended
        if waits:
            await bench.cycles(80)
            assert bench.end() == (ErrorCode.DEADLOCK, 4)
        else:
            bench.heads({WLOAD: 9, VEC: 7})
            await bench.cycles(END)
            assert bench.end() == (ErrorCode.AXI_READ, 6)


@cocotb.test()
async def overflow_and_deadlock(dut: Any) -> None:
    """An overflow names the packet that signals, a deadlock the oldest that waits."""
    bench = await Bench.make(dut)
    for client in range(6):
        await bench.begin(running={q: 3 + q for q in range(5)})
        await bench.cycles(1)  # the signal
        bench.engines({})
        dut.busy_i.value = 1
        dut.fetch_seq_i.value, dut.fetch_addr_i.value = 21, 21 * 64
        await bench.cycles(1)
        await bench.pulse(overflow_i=1, overflow_client_i=client)
        dut.busy_i.value = 0
        await bench.cycles(END)
        assert bench.end() == (ErrorCode.SEMAPHORE_OVERFLOW, 3 + client if client < 5 else 20)
    for heads, waiting, wanted in (({LOAD: 8, STORE: 7, VEC: 12}, 0, 7), ({}, 1, 20)):
        await bench.begin(heads=heads)
        dut.fetch_stalled_i.value, dut.fetch_waiting_i.value = 1, waiting
        await bench.cycles(40)
        assert not bench.ended
        await bench.cycles(60)
        assert bench.end() == (ErrorCode.DEADLOCK, wanted)


@cocotb.test()
async def an_illegal_packet(dut: Any) -> None:
    """It ends the run with its code; errors before it come first."""
    bench = await Bench.make(dut)
    await bench.begin()
    dut.fetch_fault_i.value, dut.fetch_fault_code_i.value = 1, ErrorCode.RESERVED_BITS
    await bench.cycles(END)
    assert bench.end() == (ErrorCode.RESERVED_BITS, 20)
    await bench.begin(running={STORE: 19})
    await bench.pulse(store_error_i=1)
    bench.engines({})
    dut.busy_i.value = 1
    dut.fetch_fault_i.value, dut.fetch_fault_code_i.value = 1, ErrorCode.RESERVED_BITS
    await bench.cycles(RECORD + 1)
    dut.busy_i.value = 0
    await bench.cycles(END)
    assert bench.end() == (ErrorCode.AXI_WRITE, 19)
