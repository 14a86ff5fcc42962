"""Packets: a decoded instruction, its 64 bytes, and the legality check that dispatch makes.

`decode` and `encode` are inverse for every packet without reserved bits. `illegal` is what the RTL's
dispatch does before a packet enters a queue: opcode, reserved bits, field limits, rules, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vla_isa.errors import EncodingError
from vla_isa.fields import PACKET_BYTES, Field, Instruction
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import BY_NAME, BY_OPCODE, ErrorCode, move_queue

__all__ = ["Packet", "decode", "encode", "illegal"]


@dataclass(frozen=True)
class Packet:
    """An instruction with a value for every field (opcode and reserved bits apart)."""

    instruction: Instruction
    values: Mapping[str, int]

    @classmethod
    def make(cls, name: str, **values: int) -> Packet:
        """A packet by instruction name; fields not given are 0, or their minimum where 0 is not legal.

        Raises:
            EncodingError: unknown instruction or field, or a value that its width cannot hold.
        """
        if name not in BY_NAME:
            raise EncodingError(f"unknown instruction '{name}'; there are {', '.join(BY_NAME)}")
        ins = BY_NAME[name]
        for key in values:
            if key not in ins.by_name or key == "opcode" or ins.by_name[key].reserved:
                raise EncodingError(f"{name} has no field '{key}'")
        full = {}
        for f in value_fields(ins):
            value = int(values.get(f.name, max(f.legal_min, 0)))
            if not f.lowest <= value <= f.highest:
                raise EncodingError(f"{name}.{f.name}: {value} does not fit; the field holds {f.lowest}..{f.highest}")
            full[f.name] = value
        return cls(ins, full)

    def __getitem__(self, field: str) -> int:
        return self.values[field]

    @property
    def name(self) -> str:
        """The instruction's name."""
        return self.instruction.name

    @property
    def queue(self) -> str:
        """The queue it runs in: a name of `QUEUES`, or "fetch"."""
        queue = self.instruction.queue
        return move_queue(self.values["move"]) if queue == "move" else queue


def value_fields(ins: Instruction) -> list[Field]:
    """The fields that carry a value: not the opcode, not reserved ones."""
    return [f for f in ins.fields if f.name != "opcode" and not f.reserved]


def encode(packet: Packet) -> bytes:
    """The 64 bytes of a packet."""
    word = packet.instruction.opcode
    for f in value_fields(packet.instruction):
        word |= (packet.values[f.name] & ((1 << f.width) - 1)) << f.lsb
    return word.to_bytes(PACKET_BYTES, "little")


def decode(data: bytes) -> Packet:
    """The packet in 64 bytes; reserved bits are ignored here (see `illegal`).

    Raises:
        EncodingError: not 64 bytes, or an unknown opcode.
    """
    if len(data) != PACKET_BYTES:
        raise EncodingError(f"a packet is {PACKET_BYTES} bytes, found {len(data)}")
    ins = BY_OPCODE.get(data[0])
    if ins is None:
        raise EncodingError(f"unknown opcode 0x{data[0]:02x}")
    word = int.from_bytes(data, "little")
    values = {}
    for f in value_fields(ins):
        raw = (word >> f.lsb) & ((1 << f.width) - 1)
        values[f.name] = raw - (1 << f.width) if f.signed and raw >> (f.width - 1) else raw
    return Packet(ins, values)


def illegal(data: bytes, hw: HardwareConfig) -> tuple[ErrorCode, str]:
    """What dispatch says about 64 bytes: (OK, ""), or an error code and a sentence with field and limit."""
    ins = BY_OPCODE.get(data[0])
    if ins is None:
        return ErrorCode.ILLEGAL_OPCODE, f"unknown opcode 0x{data[0]:02x}"
    if not ins.implemented:
        return ErrorCode.ILLEGAL_OPCODE, f"{ins.name} (0x{ins.opcode:02x}) is not implemented by this machine"
    word = int.from_bytes(data, "little")
    for f in ins.fields:
        if f.reserved and (word >> f.lsb) & ((1 << f.width) - 1):
            bits = f"{f.lsb + f.width - 1}:{f.lsb}"
            return ErrorCode.RESERVED_BITS, f"{ins.name}: reserved bits {bits} are not zero"
    packet = decode(data)
    for f in value_fields(ins):
        value = packet.values[f.name]
        top = f.legal_max if f.below is None else min(f.legal_max, getattr(hw, f.below) - 1)
        if not f.legal_min <= value <= top:
            return ErrorCode.FIELD_LIMIT, (
                f"{ins.name}.{f.name} is {value}, outside {f.legal_min}..{top} on '{hw.name}'"
            )
    for rule in ins.rules:
        if not rule.holds(dict(packet.values)):
            found = ", ".join(f"{n} = {packet.values[n]}" for n in rule.names)
            return ErrorCode.FIELD_LIMIT, f"{ins.name}: {rule.doc} ({rule.expression}); found {found}"
    return ErrorCode.OK, ""
