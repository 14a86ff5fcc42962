"""vla_semaphores against a model in Python: random takes and signals of six clients, every cycle."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

CLIENTS, FREEZE = 6, 4
Masks = list[int | None]  # of each client; None: no request


def bits(mask: int) -> list[int]:
    return [s for s in range(16) if mask >> s & 1]


def pack(masks: Masks) -> int:
    return sum((m or 0) << (16 * i) for i, m in enumerate(masks))


def valid(masks: Masks) -> int:
    return sum((m is not None) << i for i, m in enumerate(masks))


class Model:
    """What the unit shows in a cycle, and what a cycle does to it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.counts = [0] * 16
        self.zero = True
        self.asked: Masks = [None] * CLIENTS  # in the last cycle
        self.signalled: Masks = [None] * CLIENTS
        self.granted: int | None = None
        self.overflowed: int | None = None  # the lowest client
        self.frozen: deque[bool] = deque([False] * FREEZE, FREEZE)

    def step(self, takes: Masks, signals: Masks) -> None:
        covered = (i for i, m in enumerate(self.asked) if m is not None and all(self.counts[s] for s in bits(m)))
        frozen = self.overflowed is not None or any(self.frozen)
        granted = None if frozen or self.granted is not None else next(covered, None)
        asked = [None if i == self.granted else m for i, m in enumerate(takes)]
        self.zero = not any(self.counts)
        taken = () if self.granted is None else bits(self.asked[self.granted] or 0)
        over = set()
        for s in range(16):
            count = self.counts[s] + sum(m is not None and m >> s & 1 for m in self.signalled) - (s in taken)
            over |= {s} if count > 255 else set()
            self.counts[s] = min(count, 255)
        self.frozen.append(self.overflowed is not None)
        self.overflowed = next((i for i, m in enumerate(self.signalled) if m and over & set(bits(m))), None)
        self.granted, self.asked, self.signalled = granted, asked, signals


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
    """Grants, zero, overflow and its client agree with the model in every cycle; every grant is covered."""
    rng = random.Random(1)
    model = Model()
    await start(dut)
    takes: Masks = [None] * CLIENTS
    seen = dict.fromkeys(("grant", "overflow", "clear", "zero", "waits", "given up"), 0)
    for cycle in range(12000):
        rising = cycle // 1000 % 2 == 0  # phases in which counts mostly rise, so that some overflow
        for i, mask in enumerate(takes):
            if mask is None and rng.random() < (0.02 if rising else 0.4):
                takes[i] = rng.getrandbits(16) & rng.getrandbits(16) & rng.getrandbits(16)
            elif mask is not None and rng.random() < 0.005 and model.granted != i:
                takes[i] = None
                seen["given up"] += 1
        signals: Masks = [
            rng.getrandbits(16) if rng.random() < (0.5 if rising else 0.08) else None for _ in range(CLIENTS)
        ]
        clear = rng.random() < 0.001
        dut.clear_i.value = int(clear)
        dut.take_valid_i.value, dut.take_mask_i.value = valid(takes), pack(takes)
        dut.signal_valid_i.value = valid(signals)
        dut.signal_mask_i.value = pack([rng.getrandbits(16) if m is None else m for m in signals])
        await Timer(500, "ps")
        grant = dut.take_grant_o.value.to_unsigned()
        assert grant == (0 if model.granted is None else 1 << model.granted)
        if model.granted is not None:
            assert all(model.counts[s] for s in bits(model.asked[model.granted] or 0))
        assert bool(dut.zero_o.value) == model.zero
        assert bool(dut.overflow_o.value) == (model.overflowed is not None)
        if model.overflowed is not None:
            assert dut.overflow_client_o.value.to_unsigned() == model.overflowed
        granted = model.granted
        model.step(list(takes), signals)
        seen["overflow"] += model.overflowed is not None
        seen["waits"] += granted is None and any(m is not None for m in takes)
        if granted is not None:
            takes[granted] = None
            seen["grant"] += 1
        if clear:
            model.reset()
        seen["clear"] += clear
        seen["zero"] += model.zero
        await FallingEdge(dut.clk_i)
    assert min(seen.values()) > 3 and seen["grant"] > 500, seen
