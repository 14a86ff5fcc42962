"""Programs of SET, LOOP and indexed moves with mutated packets: `sim` and the Verilog machine end the same way.

Every mutated program has one meaning: moves of one queue run in order, each queue here writes a memory of its own, and
only fetch takes semaphores. Where it ends in OK or in an error of fetch, all memories are equal; where it ends in an
error of the memory or an overflow, status and address. Programs that overwrite their own packets or items are left
out, and those in which a bit makes an instruction of another engine.
Not here: all queues at once, instructions that compute (conformance).
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from programs import program

from vla_isa import hardware, numerics
from vla_isa.encoding import encode, make_packet
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import IndexSide, Move, SetSource
from vla_isa.instructions import BY_OPCODE, ErrorCode
from vla_isa.operands import Rng
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.trace import packets
from vlarun.backends.base import RunResult, run_once
from vlarun.backends.rtl import RtlBackend, RtlOptions
from vlarun.backends.sim import SimBackend, SimOptions
from vlarun.errors import MachineError

TINY = hardware.load("tiny")
RUNS = int(os.environ.get("VLA_FUZZ_RUNS", "150"))  # programs of the random test; more by hand
FIRST = int(os.environ.get("VLA_FUZZ_SEED", "0"))
STALLS = ({}, {"stall_percent": 40}, {"latency": 1}, {"latency": 300, "outstanding": 1})
CYCLES = 60_000  # after which the machine is stopped
FEW = 60  # packets that it runs in less, whatever the memory
CONSTANTS, LINES = 1024, 1024  # of the data space, behind the packets
ITEMS, ITEM_WORDS, COUNT = 12_000, numerics.ITEM_BYTES // TINY.block, 16  # where items lie, how many
WEIGHTS = 200
ONE = {"n1": 1, "n2": 1, "n3": 1}
NAMES = {"COPY", "SET", "LOOP", "JUMP", "HALT"}
PRECISE = {
    ErrorCode.OK,
    ErrorCode.ILLEGAL_OPCODE,
    ErrorCode.RESERVED_BITS,
    ErrorCode.FIELD_LIMIT,
    ErrorCode.INDEX_RANGE,
    ErrorCode.SEMAPHORE_LEFT,
    ErrorCode.DEADLOCK,  # here only fetch waits
}
LEFT_ALONE = ("n0", "n1", "n2", "n3", "unit", "mask_enable", "move")  # a COPY's amount and kind
LEFT_ALONE += tuple(f"{side}_{what}" for side in ("src", "dst") for what in ("stride1", "stride2", "stride3", "ring"))


def number(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def move(rng: Rng) -> Packet:
    """Into the activation, parameter or weight memory, mostly with an index."""
    side = number(rng, 0, 1)  # steps of a source stay in its memory
    steps = (0, 1, 3, 5, 1, 2) if side == IndexSide.SRC else (0, 1, 3, 30, 1 << 31, (1 << 32) - 2)
    index = {
        "index_enable": number(rng, 0, 3) > 0,
        "index_register": number(rng, 0, 3),
        "index_count": (40, 65535, 65535, 65535)[number(rng, 0, 3)],
        "index_stride": steps[number(rng, 0, 5)],
        "index_side": side,
    }
    kind = (Move.DATA_TO_ACT, Move.DATA_TO_ACT, Move.FILL_ACT, Move.DATA_TO_PARAM, Move.WEIGHT_TO_WEIGHT)
    which = kind[number(rng, 0, 4)]
    source = number(rng, 0, 20) if which is Move.WEIGHT_TO_WEIGHT else CONSTANTS + number(rng, 50, 600)
    values = {"n0": number(rng, 0, 8), "src": source, "dst": number(rng, 100, 900), "pad": number(rng, -128, 127)}
    signal = 4 * (which in (Move.DATA_TO_ACT, Move.FILL_ACT) and rng.random() < 0.1)
    return make_packet("COPY", move=which, signal=signal, **values, **ONE, **index)


def set_register(rng: Rng) -> Packet:
    register = number(rng, 0, 3)
    if rng.random() < 0.5:
        return make_packet("SET", register=register, immediate=number(rng, 0, 12 if rng.random() < 0.9 else 65535))
    base = ITEMS + ITEM_WORDS * number(rng, 0, COUNT - 1)
    return make_packet("SET", register=register, source=SetSource.ITEM, base=base, count=(30, 65535)[number(rng, 0, 1)])


def run_of(rng: Rng, length: int, depth: int = 0) -> list[Packet]:
    """Moves and SETs, and loops of them."""
    out: list[Packet] = []
    while len(out) < length:
        kind = rng.random()
        if kind < 0.2 and depth < 2:
            body = run_of(rng, (1, 1, 3, 6, 14, 30)[number(rng, 0, 5)], depth + 1)
            out += [
                make_packet(
                    "LOOP", n=len(body), count=(1, 2, 3, 4, 5, 300)[number(rng, 0, 5)], register=number(rng, 0, 3)
                ),
                *body,
            ]
        else:
            out.append(set_register(rng) if kind < 0.4 else move(rng))
    return out


def mutated(rng: Rng, found: list[Packet]) -> list[bytes]:
    """Up to three mutations: a field, a bit of those that may change, a packet less, twice, or elsewhere."""
    for _ in range(number(rng, 0, 3)):
        at, kind = number(rng, 0, len(found) - 1), rng.random()
        if kind < 0.1:
            del found[at]
        elif kind < 0.2:
            found.insert(number(rng, 0, len(found) - 1), found[at])
        elif kind < 0.8:
            found[at] = with_field(rng, found[at])
    raw = [encode(p) for p in found]
    if rng.random() < 0.2:
        at = number(rng, 0, len(raw) - 1)
        free = [f for f in found[at].instruction.fields if f.reserved or f.name == "opcode"]
        f = free[number(rng, 0, len(free) - 1)]
        word = int.from_bytes(raw[at], "little") ^ 1 << number(rng, f.lsb, f.lsb + f.width - 1)
        raw[at] = word.to_bytes(PACKET_BYTES, "little")
    return raw


def with_field(rng: Rng, p: Packet) -> Packet:
    """A packet with another value in one of its fields."""
    fetches = p.queue == "fetch"
    free = [f for f in p.instruction.value_fields if f.name not in ("opcode", *LEFT_ALONE)]
    free = [f for f in free if f.name not in ("wait", "signal") or fetches]
    f = free[number(rng, 0, len(free) - 1)]
    if f.name in ("wait", "signal"):
        return Packet(p.instruction, {**p.values, f.name: (0, 4, 2, 6)[number(rng, 0, 3)]})
    near = p[f.name] + number(rng, -2, 2)
    value = (f.lowest, f.highest, number(rng, f.lowest, f.highest), near, near)[number(rng, 0, 4)]
    return Packet(p.instruction, {**p.values, f.name: min(max(value, f.lowest), f.highest)})


def fuzzed(seed: int) -> Program:
    """A program: items are loaded, fetch waits for them, then what is mutated."""
    rng = np.random.default_rng([20, seed])
    items = np.where(rng.random(COUNT) < 0.05, rng.choice([-1, 30, 65535, 1 << 20], COUNT), rng.integers(0, 30, COUNT))
    constants = rng.integers(0, 256, LINES * 64, np.uint8)
    packed = numerics.pack_items(items).reshape(-1).view(np.uint8)
    constants[: packed.size] = packed
    load = make_packet("COPY", move=Move.DATA_TO_ACT, src=CONSTANTS, dst=ITEMS, n0=COUNT * ITEM_WORDS, signal=1, **ONE)
    start = [encode(load), encode(make_packet("SET", wait=1))]
    rest = mutated(rng, [*run_of(rng, number(rng, 3, 40)), make_packet("HALT", code=5)])
    return program(
        TINY,
        [*start, *rest],
        segments={CONSTANTS: constants.tobytes()},
        weights=rng.integers(-128, 128, (WEIGHTS, TINY.weight_word_bytes), np.int8),
    )


def left_out(p: Program, sim: RunResult) -> bool:
    """Whether a run wrote over its packets or its items."""
    heap = p.heaps[0].data
    items = sim.memories["act"][ITEMS : ITEMS + COUNT * ITEM_WORDS].tobytes()
    constants = p.constants[0].data
    return sim.memories["data"].tobytes()[: len(heap)] != heap or items != constants[: len(items)]


def compared(seed: int) -> str:
    """How a program ends on both; what it ends in.

    Raises:
        AssertionError: they differ.
    """
    p, memory = fuzzed(seed), {**STALLS[seed % len(STALLS)], "stall_seed": seed}
    if any(BY_OPCODE[raw[0]].name not in NAMES for raw in packets(p) if raw[0] in BY_OPCODE):
        return "left out"
    try:
        rtl = run_once(RtlBackend(RtlOptions(flavour="checked", max_cycles=CYCLES, **memory)), p, {})
    except MachineError as e:
        assert "was not done" in str(e), seed
        with pytest.raises(MachineError, match="without reaching HALT"):
            run_once(SimBackend(SimOptions(max_packets=FEW, native=False)), p, {})
        return "stopped"
    sim = run_once(SimBackend(SimOptions(max_packets=CYCLES, native=False)), p, {})
    if left_out(p, sim):
        return "left out"
    found = (rtl.status, rtl.error_address, rtl.halt_code)
    assert (sim.status, sim.error_address, sim.halt_code) == found, (seed, sim.message, sim.error_address, found)
    if sim.status in PRECISE:
        for name, expected in sim.memories.items():
            assert np.array_equal(expected, rtl.memories[name]), (seed, name)
    return sim.status.name


def test_mutated_programs_end_the_same_way() -> None:
    ends = Counter(compared(seed) for seed in range(FIRST, FIRST + RUNS))
    wanted = ("OK", "ILLEGAL_OPCODE", "RESERVED_BITS", "FIELD_LIMIT", "INDEX_RANGE", "AXI_READ", "DEADLOCK", "stopped")
    assert not [name for name in wanted if not ends[name]], ends
