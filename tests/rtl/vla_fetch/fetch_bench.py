"""The surroundings of vla_fetch: a memory with random latency, queues, semaphores and a read lane.

`packet` makes a random legal packet. Not here: the programs (fetch_cocotb.py, loops_cocotb.py).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from cocotb.triggers import FallingEdge, Timer

from vla_isa.encoding import encode, make_packet
from vla_isa.instructions import BY_NAME
from vla_isa.packet import QUEUES
from vla_isa.registers import DATA_CHANNELS

__all__ = ["Bench", "packet"]

BASES = [0x12_3456_7000 + (c << 48) for c in range(DATA_CHANNELS)]
MOST = BY_NAME["COPY"].by_name["move"].legal_max  # of the moves
ZERO = (
    "start_i",
    "entry_i",
    "stop_i",
    "ar_ready_i",
    "r_valid_i",
    "r_data_i",
    "r_last_i",
    "r_error_i",
    "queue_ready_i",
    "take_grant_i",
    "drained_i",
    "item_rd_grant_i",
    "item_rd_word_i",
    "item_rd_data_i",
)


@dataclass
class Bench:
    """The surroundings of one run.

    `memory`: line -> packet bytes; other lines answer with an error. `items`: their low 32 bits, by activation word.
    """

    dut: object
    rng: random.Random
    memory: dict[int, bytes]
    items: dict[int, int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)  # lines that were read
    words: deque[tuple[int, int]] = field(default_factory=deque)  # cycle, item on its way
    reads: deque[tuple[int, bytes, bool, bool]] = field(default_factory=deque)  # cycle, beat, last, error
    dispatched: list[tuple[int, int, int, int]] = field(default_factory=list)  # queue, packet, address, number
    events: list[tuple[str, int]] = field(default_factory=list)
    now: int = 0
    offered: bool = False

    async def start(self, entry: int) -> None:
        for name in ZERO:
            getattr(self.dut, name).value = 0
        self.dut.data_bases_i.value = sum(base << (64 * c) for c, base in enumerate(BASES))
        self.dut.rst_i.value = 1
        await FallingEdge(self.dut.clk_i)
        await FallingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.dut.start_i.value, self.dut.entry_i.value = 1, entry
        await FallingEdge(self.dut.clk_i)
        self.dut.start_i.value = 0

    async def cycle(self, *, ready: float = 0.6, grant: float = 0.5, drained: bool = False) -> None:
        """One clock cycle; what happens in it goes to `dispatched` and `events`."""
        d, rng = self.dut, self.rng
        ar_ready = rng.random() < 0.5
        if self.reads and self.reads[0][0] <= self.now and not self.offered:
            self.offered = rng.random() < 0.7
        _, beat, last, error = self.reads[0] if self.reads else (0, b"", False, False)
        d.r_valid_i.value = int(self.offered)
        d.r_data_i.value = int.from_bytes(beat, "little") if self.offered else rng.getrandbits(256)
        d.r_last_i.value, d.r_error_i.value = int(last), int(error)
        d.ar_ready_i.value = int(ar_ready)
        queues = sum((rng.random() < ready) << i for i in range(5))
        d.queue_ready_i.value, d.take_grant_i.value = queues, 0
        d.drained_i.value = int(drained)
        here = bool(self.words) and self.words[0][0] == self.now
        d.item_rd_word_i.value = int(here)
        d.item_rd_data_i.value = self.words.popleft()[1] if here else rng.getrandbits(32)
        d.item_rd_grant_i.value = 0
        await Timer(400, "ps")
        if d.item_rd_valid_o.value == 1 and rng.random() < 0.5:
            d.item_rd_grant_i.value = 1
            self.words.append((self.now + 3, self.items[d.item_rd_addr_o.value.to_unsigned()] & 0xFFFFFFFF))
        take = bool(d.take_valid_o.value)
        d.take_grant_i.value = int(take and rng.random() < grant)
        await Timer(100, "ps")
        self.observe(queues, ar_ready)
        await FallingEdge(d.clk_i)
        self.now += 1

    def observe(self, queues: int, ar_ready: bool) -> None:
        d = self.dut
        if self.offered:
            assert d.r_ready_o.value == 1
            self.reads.popleft()
            self.offered = False
        if d.ar_valid_o.value == 1 and ar_ready:
            self.accept(d.ar_addr_o.value.to_unsigned(), d.ar_len_o.value.to_unsigned() + 1)
        valid = d.queue_valid_o.value.to_unsigned()
        assert valid & (valid - 1) == 0
        if valid & queues:
            self.dispatched.append(
                (
                    valid.bit_length() - 1,
                    d.queue_packet_o.value.to_unsigned(),
                    d.queue_addr_o.value.to_unsigned(),
                    d.queue_seq_o.value.to_unsigned(),
                )
            )
        for name, signal, value in (
            ("take", d.take_grant_i, d.take_mask_o),
            ("signal", d.signal_valid_o, d.signal_mask_o),
            ("fault", d.fault_o, d.fault_code_o),
        ):
            if signal.value == 1 and (name != "fault" or not self.events or self.events[-1][0] != "fault"):
                self.events.append((name, value.value.to_unsigned()))

    def accept(self, address: int, beats: int) -> None:
        assert beats * 32 <= 4096 and address // 4096 == (address + beats * 32 - 1) // 4096
        channel = address >> 48
        page, byte = divmod(address - BASES[channel], 4096)
        line, odd = divmod((page * DATA_CHANNELS + channel) * 4096 + byte, 64)
        assert odd == 0
        self.asked += range(line, line + beats // 2)
        at = max(self.now + self.rng.randint(1, 80), self.reads[-1][0] if self.reads else 0)
        for i in range(beats):
            raw = self.memory.get(line + i // 2)
            half = (raw or bytes(64))[32 * (i % 2) : 32 * (i % 2) + 32]
            self.reads.append((at, half, i == beats - 1, raw is None))


def packet(rng: random.Random) -> tuple[int, bytes]:
    """A legal packet and its queue."""
    if rng.random() < 0.7:
        p = make_packet(
            "COPY",
            move=rng.randint(0, MOST),
            src=rng.getrandbits(32),
            wait=rng.getrandbits(16),
            signal=rng.getrandbits(16),
        )
    else:
        p = make_packet(rng.choice(("CONV", "GEMM", "POOL", "VEC")), wait=rng.getrandbits(16))
    return QUEUES.index(p.queue), encode(p)
