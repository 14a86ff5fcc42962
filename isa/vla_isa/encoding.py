"""The 64 bytes of a packet, and the legality check that dispatch makes of them.

`decode` and `encode` are inverse for every packet without reserved bits. `illegal` is what the RTL's
dispatch does before a packet enters a queue: opcode, reserved bits, field limits, rules, in this order.
"""

from __future__ import annotations

from vla_isa.errors import EncodingError
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import BY_NAME, BY_OPCODE, ErrorCode
from vla_isa.packet import Packet

__all__ = ["decode", "encode", "illegal", "make_packet"]


def make_packet(name: str, **values: int) -> Packet:
    """A packet by instruction name; see `Instruction.packet`.

    Raises:
        EncodingError: unknown instruction or field, or a value that its width cannot hold.
    """
    if name not in BY_NAME:
        raise EncodingError(f"unknown instruction '{name}'; there are {', '.join(BY_NAME)}")
    return BY_NAME[name].packet(**values)


def encode(packet: Packet) -> bytes:
    """The 64 bytes of a packet."""
    word = packet.instruction.opcode
    for f in packet.instruction.value_fields:
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
    for f in ins.value_fields:
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
    for f in ins.value_fields:
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
