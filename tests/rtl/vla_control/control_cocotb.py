"""vla_control as a host sees it: the ap_ctrl_hs protocol, arguments, results and interrupts over AXI4-Lite."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from vla_isa.registers import COUNTERS, DATA_CHANNELS, REGISTERS

OFFSET = {r.name: r.offset for r in REGISTERS}
BASES = [r.name for r in REGISTERS if "_BASE_" in r.name]  # in the order of their offsets
START, DONE, IDLE, READY, RESTART = 1, 2, 4, 8, 128


class Host:
    """One access at a time, with a random number of cycles between the parts of an access."""

    def __init__(self, dut, seed: int = 0) -> None:
        self.dut, self.rng, self.starts = dut, random.Random(seed), 0

    async def reset(self) -> None:
        for name in ("awvalid", "awaddr", "wvalid", "wdata", "wstrb", "bready", "arvalid", "araddr", "rready"):
            getattr(self.dut, f"s_axi_{name}").value = 0
        for name in ("done_i", "status_i", "error_addr_i", "halt_code_i", "counters_i"):
            getattr(self.dut, name).value = 0
        self.dut.rst_i.value = 1
        cocotb.start_soon(Clock(self.dut.clk_i, 2, "ns").start())
        await self.cycles(2)
        self.dut.rst_i.value = 0
        await self.cycles(1)

    async def cycles(self, n: int) -> None:
        for _ in range(n):
            await Timer(500, "ps")
            self.starts += int(self.dut.start_o.value)
            await FallingEdge(self.dut.clk_i)

    async def until(self, signal) -> None:
        """Cycles until a ready or valid is high, that cycle included."""
        for _ in range(20):
            await Timer(500, "ps")
            high = bool(signal.value)
            self.starts += int(self.dut.start_o.value)
            await FallingEdge(self.dut.clk_i)
            if high:
                return
        raise AssertionError(f"{signal._name} stays low")

    async def write(self, offset: int, value: int, strobe: int = 15) -> None:
        d = self.dut
        d.s_axi_awaddr.value, d.s_axi_wdata.value, d.s_axi_wstrb.value = offset, value, strobe
        channels = [(d.s_axi_awvalid, d.s_axi_awready), (d.s_axi_wvalid, d.s_axi_wready)]
        for valid, ready in self.rng.sample(channels, 2):  # each is taken without the other
            valid.value = 1
            await self.until(ready)
            valid.value = 0
            await self.cycles(self.rng.randrange(3))
        await self.cycles(self.rng.randrange(3))
        d.s_axi_bready.value = 1
        await self.until(d.s_axi_bvalid)
        assert d.s_axi_bresp.value == 0
        d.s_axi_bready.value = 0

    async def read(self, offset: int) -> int:
        d = self.dut
        d.s_axi_araddr.value, d.s_axi_arvalid.value = offset, 1
        await self.until(d.s_axi_arready)
        d.s_axi_arvalid.value = 0
        await self.cycles(self.rng.randrange(3))
        d.s_axi_rready.value = 1
        await Timer(500, "ps")
        assert d.s_axi_rvalid.value == 1 and d.s_axi_rresp.value == 0
        value = d.s_axi_rdata.value.to_unsigned()
        await FallingEdge(d.clk_i)
        d.s_axi_rready.value = 0
        return value

    async def finish(self) -> None:
        """The machine says done."""
        self.dut.done_i.value = 1
        await self.cycles(1)
        self.dut.done_i.value = 0


@cocotb.test()
async def one_run(dut) -> None:
    """Idle, start once, busy, done that clears on read, idle."""
    host = Host(dut, 1)
    await host.reset()
    assert await host.read(0) == IDLE
    await host.write(0, START)
    assert host.starts == 1 and dut.running_o.value == 1
    assert await host.read(0) == START
    await host.cycles(20)
    await host.finish()
    assert await host.read(0) == DONE | READY | IDLE
    assert await host.read(0) == IDLE
    await host.cycles(5)
    assert host.starts == 1


@cocotb.test()
async def auto_restart(dut) -> None:
    """With bit 7 a new run starts after each done, until the host clears it."""
    host = Host(dut, 2)
    await host.reset()
    await host.write(0, START | RESTART)
    for run in range(3):
        await host.cycles(3)
        assert host.starts == run + 1
        await host.finish()
    await host.cycles(2)
    await host.write(0, 0)
    await host.finish()
    await host.cycles(5)
    assert host.starts == 4
    assert await host.read(0) == DONE | READY | IDLE


@cocotb.test()
async def interrupts(dut) -> None:
    """Enabled events are kept in the status, written ones toggle, the global enable gates the output."""
    host = Host(dut, 3)
    await host.reset()
    await host.write(0, START)
    await host.finish()
    assert await host.read(OFFSET["INTERRUPT_STATUS"]) == 0  # not enabled: not kept
    for enable in (1, 2, 3):
        await host.write(OFFSET["INTERRUPT_ENABLE"], enable)
        await host.write(OFFSET["GLOBAL_INTERRUPT"], 0)
        await host.write(0, START)
        await host.finish()
        assert await host.read(OFFSET["INTERRUPT_STATUS"]) == enable
        assert await host.read(OFFSET["INTERRUPT_ENABLE"]) == enable
        assert await host.read(OFFSET["GLOBAL_INTERRUPT"]) == 0
        assert dut.interrupt_o.value == 0
        await host.write(OFFSET["GLOBAL_INTERRUPT"], 1)
        assert await host.read(OFFSET["GLOBAL_INTERRUPT"]) == 1
        assert dut.interrupt_o.value == 1
        await host.write(OFFSET["INTERRUPT_STATUS"], enable)
        assert await host.read(OFFSET["INTERRUPT_STATUS"]) == 0
        assert dut.interrupt_o.value == 0


@cocotb.test()
async def arguments(dut) -> None:
    """Arguments reach the machine, byte by byte where strobes say so, and read back."""
    host = Host(dut, 4)
    await host.reset()
    rng = random.Random(4)
    width = {r.name: r.width for r in REGISTERS}
    values = dict.fromkeys((*BASES, "START_PACKET"), 0)
    for _ in range(200):
        name = rng.choice(list(values))
        word = rng.randrange(width[name] // 32)
        value, strobe = rng.getrandbits(32), rng.choice((15, 15, rng.randrange(16)))
        await host.write(OFFSET[name] + 4 * word, value, strobe)
        for byte in range(4):
            if strobe >> byte & 1:
                at = 32 * word + 8 * byte
                values[name] = values[name] & ~(255 << at) | (value >> (8 * byte) & 255) << at
        if name in BASES:
            values[name] &= ~4095
        assert dut.entry_o.value.to_unsigned() == values["START_PACKET"]
        assert await host.read(OFFSET[name] + 4 * word) == values[name] >> (32 * word) & 0xFFFFFFFF


def bases(dut) -> int:
    """All bases as the machine has them, in the order of BASES."""
    return dut.data_bases_o.value.to_unsigned() | dut.weight_bases_o.value.to_unsigned() << (64 * DATA_CHANNELS)


@cocotb.test()
async def bases_are_those_of_the_start(dut) -> None:
    """What is written during a run reaches the machine with the next start; low bits never do."""
    host = Host(dut, 6)
    await host.reset()
    rng = random.Random(6)
    for run in range(3):
        values = [rng.getrandbits(64) for _ in BASES]
        before = bases(dut)
        for name, value in zip(BASES, values, strict=True):
            await host.write(OFFSET[name], value & 0xFFFFFFFF)
            await host.write(OFFSET[name] + 4, value >> 32)
            assert bases(dut) == before
        if dut.running_o.value:
            await host.finish()
            await host.cycles(2)
        else:
            await host.write(0, START | RESTART)
            await host.cycles(2)
        assert dut.running_o.value == 1
        assert bases(dut) == sum((v & ~4095) << (64 * i) for i, v in enumerate(values)), run


@cocotb.test()
async def readies_do_not_look_at_valids(dut) -> None:
    """A ready is the same in a cycle whatever the valids are: AXI forbids paths from one to the other."""
    host = Host(dut, 7)
    await host.reset()
    d, rng = dut, random.Random(7)
    for _ in range(50):
        seen = set()
        for aw in (0, 1):
            for w in (0, 1):
                d.s_axi_awvalid.value, d.s_axi_wvalid.value = aw, w
                await Timer(50, "ps")
                seen.add((int(d.s_axi_awready.value), int(d.s_axi_wready.value)))
        assert len(seen) == 1
        d.s_axi_awvalid.value, d.s_axi_wvalid.value = rng.randrange(2), rng.randrange(2)
        d.s_axi_bready.value = rng.randrange(2)
        await FallingEdge(d.clk_i)


@cocotb.test()
async def results(dut) -> None:
    """Status, address, code and every counter read as the machine gives them; nothing else exists."""
    host = Host(dut, 5)
    await host.reset()
    rng = random.Random(5)
    status, address, code = 6, rng.getrandbits(38), rng.getrandbits(32)
    counters = [rng.getrandbits(64) for _ in COUNTERS]
    dut.status_i.value, dut.error_addr_i.value, dut.halt_code_i.value = status, address, code
    dut.counters_i.value = sum(c << (64 * i) for i, c in enumerate(counters))
    expected = {"STATUS": status, "ERROR_ADDR": address, "HALT_CODE": code}
    expected |= {f"COUNTER_{name.upper()}": c for (name, _), c in zip(COUNTERS, counters, strict=True)}
    used = set()
    for register in REGISTERS:
        for word in range(register.width // 32):
            offset = register.offset + 4 * word
            used.add(offset)
            if register.name in expected:
                await host.write(offset, 0xFFFFFFFF)  # read only
                assert await host.read(offset) == expected[register.name] >> (32 * word) & 0xFFFFFFFF, register
    for offset in sorted({*range(0, 0x180, 4), 0xFFC} - used):
        await host.write(offset, 0xFFFFFFFF)
        assert await host.read(offset) == 0, hex(offset)
    assert host.starts == 0
