"""T1, continued: COPY, semaphores, JUMP and HALT at the ends of what their fields can hold.

Not here: the other instructions (limit_cases.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from vla_isa.encoding import encode, make_packet
from vla_isa.generated.codes import SEMAPHORES, Move
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import TABLE
from vla_isa.instructions.copy import COPY
from vla_isa.integer import INT8
from vla_isa.operands import Rng, Values, fill
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vlarun.conformance.limit_cases import fitting, run_each, small_packet
from vlarun.conformance.programs import Builder, Case, copy_packet

__all__ = ["cases"]

ALL = (1 << SEMAPHORES) - 1  # every semaphore


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """All cases of a config; the same ids on every one."""
    groups = {"counts": _copy_counts(hw), "strides": _copy_strides(hw), "rings": _copy_rings()}
    for what, changes in groups.items():
        yield run_each(hw, f"T1.limit.copy.{what}", fitting(hw, "COPY", changes))
    yield from _moves(hw)
    yield from _semaphores(hw)
    yield from _control(hw)


def _copy_counts(hw: HardwareConfig) -> Iterator[Values]:
    """Long runs and large counts inside the scratchpad."""
    for move in (Move.FILL_ACT, Move.ACT_TO_ACT):
        fixed = {"move": move, "pad": -3, "src": 0, "dst": hw.act_words // 2}
        for count in (3000, COPY.limit("n1")):
            for n in ("1", "2", "3"):
                yield {**fixed, f"n{n}": count, f"src_stride{n}": 1, f"dst_stride{n}": 1}
    for pad in (INT8.lo, 0, INT8.hi):
        yield {"pad": pad, "n0": 3}
    longest = min(COPY.limit("n0"), hw.act_words)
    for words in (3 * longest // 4, longest):
        yield {"n0": words, "pad": 11}


def _copy_strides(hw: HardwareConfig) -> Iterator[Values]:
    """Steps of 0 and 1, and steps to the end of the scratchpad, of every dimension and both sides."""
    for n in ("1", "2", "3"):
        for side, other in (("src", "dst"), ("dst", "src")):
            for step in (1, 3 * hw.act_words // 4, hw.act_words - 1):
                near = {other: hw.act_words // 2, f"{other}_stride{n}": 1}
                yield {"move": Move.ACT_TO_ACT, f"n{n}": 2, f"{side}_stride{n}": step, **near}


def _copy_rings() -> Iterator[Values]:
    most = COPY.limit("src_ring")
    for side, other in (("src", "dst"), ("dst", "src")):
        for ring, slot in ((1, 0), (1500, 1200), (most, most - 1)):
            v = {"move": Move.ACT_TO_ACT, "n2": min(ring, 2), other: 4096}
            v |= {f"{side}_ring": ring, f"{side}_slot": slot, f"{side}_stride2": 1, f"{other}_stride2": 1}
            yield v


def _moves(hw: HardwareConfig) -> Iterator[Case]:
    """Moves to and from HBM: the ends of the on-chip memories, and masks at every height of the parameter memory."""
    rng = np.random.default_rng(zlib.crc32(b"limit moves"))
    b = Builder(hw)
    for word in (0, 1, 3 * hw.act_words // 4, hw.act_words - 1):
        b.load_act(fill(rng, (1, hw.act_word_bytes), "random"), word)
        b.store_act(word, 1)
    for word in (0, 1, 3 * hw.weight_words // 4, hw.weight_words - 1):
        b.load_weight(fill(rng, (1, hw.weight_word_bytes), "random"), word)
    for word in (0, 1, 3 * hw.param_words // 4, hw.param_words - 1):
        b.load_param(rng.integers(0, 256, (1, hw.param_word_bytes), dtype=np.uint8), word)
    b.halt()
    yield Case("T1.limit.copy.memories", b.build())
    b = Builder(hw)
    for at, mask in enumerate((0, 1, 3 * hw.param_words // 4, hw.param_words - 1)):
        b.load_param(rng.integers(0, 256, (1, hw.param_word_bytes), dtype=np.uint8), mask)
        source = b.weight_words(fill(rng, (9, hw.weight_word_bytes), "random"))
        masked = {"mask_enable": 1, "mask_base": mask, "src": source, "dst": 9 * at, "n1": 9, "src_stride1": 1}
        b.add(copy_packet("weight_to_weight", **masked))
    b.halt()
    yield Case("T1.limit.copy.masks", b.build())
    b = Builder(hw)
    longest = min(COPY.limit("n0"), hw.act_words)
    b.load_act(fill(rng, (longest, hw.act_word_bytes), "random"))
    b.store_act(0, longest)
    b.halt()
    yield Case("T1.limit.copy.longest", b.build())
    yield Case("T1.limit.copy.one.dimension", _one_dimension(hw, rng))


def _one_dimension(hw: HardwareConfig, rng: Rng) -> Program:
    """Channel blocks without rows, and rows without channel blocks, from HBM and back."""
    b = Builder(hw)
    for n in ("1", "2"):
        lines = b.constant(fill(rng, (9 * LINE_BYTES,), "random"))
        steps = {"n0": 3, f"n{n}": 3}
        b.add(copy_packet("data_to_act", src=lines, dst=5, **steps, **{f"src_stride{n}": 2, f"dst_stride{n}": 7}))
        lines = b.reserve(9 * LINE_BYTES)
        b.add(copy_packet("act_to_data", src=5, dst=lines, **steps, **{f"src_stride{n}": 7, f"dst_stride{n}": 3}))
    b.halt()
    return b.build()


def _raw(hw: HardwareConfig, *packets: Packet) -> Program:
    b = Builder(hw)
    for packet in packets:
        b.raw(encode(packet))
    return b.build()


def _semaphores(hw: HardwareConfig) -> Iterator[Case]:
    """Every instruction waits for, and signals, all semaphores at once."""
    load, store = copy_packet("data_to_act", n0=0), copy_packet("act_to_data", n0=0)
    halt = make_packet("HALT")

    def but(packet: Packet, **values: int) -> Packet:
        return Packet(packet.instruction, {**packet.values, **values})

    for name in (ins.name for ins in TABLE if ins.operands):
        one = store if name == "COPY" else small_packet(hw, name, {})
        waits = _raw(hw, but(load, signal=ALL), but(one, wait=ALL), halt)
        yield Case(f"T1.limit.{name.lower()}.waits.for.all", waits)
        if name != "COPY":
            yield Case(
                f"T1.limit.{name.lower()}.signals.all", _raw(hw, but(one, signal=ALL), but(store, wait=ALL), halt)
            )
    yield Case("T1.limit.halt.waits.for.all", _raw(hw, but(load, signal=ALL), but(halt, wait=ALL)))


def _control(hw: HardwareConfig) -> Iterator[Case]:
    """JUMP with all semaphores and none, to the first two lines; codes of HALT."""
    for code in (1, 3 << 30, (1 << 32) - 1):
        yield Case(f"T1.limit.halt.code.{code}", _raw(hw, make_packet("HALT", code=code)), halt_code=code)
    load, halt = copy_packet("data_to_act", n0=0, signal=ALL), make_packet("HALT", code=2)
    back = _raw(hw, halt, load, make_packet("JUMP", wait=ALL, target=0))
    back.entries["main"] = 1
    yield Case("T1.limit.jump.to.line.0", back, halt_code=2)
    ahead = _raw(hw, make_packet("JUMP", target=1, signal=ALL))
    ahead.heaps.append(Segment(1, encode(copy_packet("act_to_data", n0=0, wait=ALL)) + encode(halt)))
    yield Case("T1.limit.jump.to.line.1", ahead, halt_code=2)
