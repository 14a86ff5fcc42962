"""T0: every opcode, reserved region, field limit and rule of the table, refused with its code and address.

Each program first stores a line, then reaches the packet in question, so that completion of earlier
packets is checked too. What a legal packet looks like is `make_packet` with its defaults.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vla_isa import encoding
from vla_isa.encoding import encode, make_packet
from vla_isa.fields import PACKET_BYTES, Field, Rule
from vla_isa.generated.codes import Move
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import BY_OPCODE, MOVES, TABLE, ErrorCode
from vla_isa.packet import Instruction, Packet
from vlarun.conformance.programs import Builder, Case, copy_packet

__all__ = ["cases"]

TRIES = 20_000


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """All T0 cases of a config."""
    for opcode in range(256):
        ins = BY_OPCODE.get(opcode)
        if ins is None or not ins.implemented:
            yield _refused(hw, f"opcode.0x{opcode:02x}", bytes([opcode]) + bytes(63), ErrorCode.ILLEGAL_OPCODE)
    for ins in TABLE:
        if not ins.implemented:
            continue
        for field in ins.fields:
            if field.reserved:
                yield from _reserved(hw, ins, field)
        for field in ins.value_fields:
            yield from _limits(hw, ins, field)
        for number, rule in enumerate(ins.rules):
            yield _broken_rule(hw, ins, rule, number)
    yield from _accepted(hw)


def _refused(hw: HardwareConfig, name: str, data: bytes, status: ErrorCode) -> Case:
    builder = Builder(hw)
    builder.load_act(np.arange(8 * hw.block, dtype=np.int8).reshape(8, hw.block))
    builder.store_act(0, 8)
    address = builder.raw(data)
    builder.store_act(0, 8)
    builder.halt()
    return Case(f"T0.{name}", builder.build(), status, stop_at=address)


def _reserved(hw: HardwareConfig, ins: Instruction, field: Field) -> Iterator[Case]:
    word = int.from_bytes(encode(_legal(ins)), "little")
    for bit in dict.fromkeys((field.lsb, field.lsb + field.width // 2, field.lsb + field.width - 1)):
        data = (word | 1 << bit).to_bytes(PACKET_BYTES, "little")
        yield _refused(hw, f"reserved.{ins.name.lower()}.bit{bit}", data, ErrorCode.RESERVED_BITS)


def _legal(ins: Instruction) -> Packet:
    """A packet that dispatch accepts: the defaults."""
    return make_packet(ins.name)


def _limits(hw: HardwareConfig, ins: Instruction, field: Field) -> Iterator[Case]:
    """One below and one above the legal values, and the extremes of the width, where they are illegal."""
    top = field.legal_max if field.below is None else min(field.legal_max, getattr(hw, field.below) - 1)
    for value in sorted({field.lowest, field.legal_min - 1, top + 1, field.highest}):
        if field.legal_min <= value <= top or not field.lowest <= value <= field.highest:
            continue
        packet = make_packet(ins.name, **{field.name: value})
        yield _refused(hw, f"limit.{ins.name.lower()}.{field.name}.{value}", encode(packet), ErrorCode.FIELD_LIMIT)


def _broken_rule(hw: HardwareConfig, ins: Instruction, rule: Rule, number: int) -> Case:
    """A packet whose fields are all inside their limits and that breaks this rule and no other."""
    rng = np.random.default_rng(number)
    for _ in range(TRIES):
        values = {f.name: f.legal_max for f in ins.value_fields if f.name.endswith("_ring")}
        others = [name for r in ins.rules if r is not rule for name in r.names if rng.random() < 0.3]
        for name in (*others, *rule.names):
            field = ins.by_name[name]
            near = int(rng.choice((7, 70)))
            values[name] = int(rng.integers(field.legal_min, min(field.legal_max, field.legal_min + near) + 1))
        packet = make_packet(ins.name, **values)
        everything = dict(packet.values)
        if not rule.holds(everything) and all(r.holds(everything) for r in ins.rules if r is not rule):
            data = encode(packet)
            return _refused(hw, f"rule.{ins.name.lower()}.{number}", data, encoding.illegal(data, hw)[0])
    raise AssertionError(f"no packet of {ins.name} breaks only the rule {rule.expression}")


def _accepted(hw: HardwareConfig) -> Iterator[Case]:
    """Packets at their limits that move nothing: they must be accepted."""
    needs: dict[str, dict[str, int]] = {"unit": {"move": Move.ACT_TO_ACT}, "index_enable": {"index_count": 1}}
    for field in copy_packet("fill_act").instruction.value_fields:
        if field.name in ("n0", "wait", "signal", "mask_enable") or field.name.endswith(("_ring", "_slot")):
            continue
        top = field.legal_max if field.below is None else min(field.legal_max, getattr(hw, field.below) - 1)
        for value in dict.fromkeys((field.legal_min, top)):
            builder = Builder(hw)
            values = {**copy_packet("fill_act", n0=0).values, **needs.get(field.name, {}), field.name: value}
            packet = make_packet("COPY", **values)
            builder.add(packet if field.name != "move" else copy_packet(MOVES[value], n0=0))
            builder.halt(7)
            yield Case(f"T0.accepted.copy.{field.name}.{value}", builder.build(), halt_code=7)
    for code in (0, 1, 0x80000000, 0xFFFFFFFF):
        builder = Builder(hw)
        builder.halt(code)
        yield Case(f"T0.accepted.halt.code.{code:#x}", builder.build(), halt_code=code)
