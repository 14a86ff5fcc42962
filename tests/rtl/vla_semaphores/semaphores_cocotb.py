"""vla_semaphores against a model in Python: random takes and signals of six clients, every cycle."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

CLIENTS = 6


class Model:
    """Counts, and what a cycle does to them."""

    def __init__(self) -> None:
        self.counts = [0] * 16

    def grants(self, takes: list[int | None]) -> list[bool]:
        """Which takes (masks, None: no request) are granted, lowest client first."""
        taken, out = 0, []
        for mask in takes:
            granted = mask is not None and not mask & taken and all(self.counts[s] for s in range(16) if mask >> s & 1)
            if granted and mask is not None:
                taken |= mask
            out.append(granted)
        return out

    def step(self, takes: list[int], signals: list[int]) -> int | None:
        """Apply granted takes and signals; the lowest client that overflows a semaphore, or None."""
        over = 0
        for s in range(16):
            count = self.counts[s] + sum(m >> s & 1 for m in signals) - sum(m >> s & 1 for m in takes)
            over |= (count > 255) << s
            self.counts[s] = min(count, 255)
        return next((i for i, m in enumerate(signals) if m & over), None)


def pack(masks: list[int]) -> int:
    return sum(m << (16 * i) for i, m in enumerate(masks))


async def start(dut) -> None:
    for name in ("clear_i", "take_valid_i", "take_mask_i", "signal_valid_i", "signal_mask_i"):
        getattr(dut, name).value = 0
    dut.rst_i.value = 1
    cocotb.start_soon(Clock(dut.clk_i, 2, "ns").start())
    await FallingEdge(dut.clk_i)
    await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0


@cocotb.test()
async def random_clients(dut) -> None:
    """Grants, zero, overflow and its client agree with the model in every cycle."""
    rng = random.Random(1)
    model = Model()
    await start(dut)
    seen = {"grant": 0, "overflow": 0, "clear": 0, "zero": 0}
    for cycle in range(6000):
        rising = cycle // 500 % 2 == 0  # phases in which counts mostly rise, so that some overflow
        takes = [
            rng.getrandbits(16) & rng.getrandbits(16) & rng.getrandbits(16)
            if rng.random() < (0.1 if rising else 0.6)
            else None
            for _ in range(CLIENTS)
        ]
        signals = [rng.getrandbits(16) if rng.random() < (0.5 if rising else 0.05) else 0 for _ in range(CLIENTS)]
        clear = rng.random() < 0.001
        dut.clear_i.value = int(clear)
        dut.take_valid_i.value = sum((m is not None) << i for i, m in enumerate(takes))
        dut.take_mask_i.value = pack([rng.getrandbits(16) if m is None else m for m in takes])
        dut.signal_valid_i.value = sum((m != 0) << i for i, m in enumerate(signals))
        dut.signal_mask_i.value = pack([m or rng.getrandbits(16) for m in signals])
        await Timer(500, "ps")
        grants = model.grants(takes)
        assert dut.take_grant_o.value.to_unsigned() == sum(g << i for i, g in enumerate(grants))
        assert bool(dut.zero_o.value) == (not any(model.counts))
        seen["zero"] += not any(model.counts)
        over = model.step([m or 0 for m, g in zip(takes, grants, strict=True) if g], signals)
        assert bool(dut.overflow_o.value) == (over is not None)
        if over is not None:
            assert dut.overflow_client_o.value.to_unsigned() == over
        if clear:
            model.counts = [0] * 16
        seen["clear"] += clear
        seen["grant"] += sum(grants)
        seen["overflow"] += over is not None
        await FallingEdge(dut.clk_i)
    assert all(seen.values()), seen
