"""Which part of the table the Verilog machine does, where it is less than the whole.

An instruction is first executed by `sim`, then built in Verilog. Until then the generated packet check refuses it as
any illegal packet, and conformance asks the Verilog machine for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vla_isa.encoding import illegal
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import TABLE
from vla_isa.packet import Instruction

__all__ = ["VERILOG", "on_verilog"]

_ABSENT: tuple[str, ...] = ()

VERILOG: Mapping[int, Instruction] = {
    ins.opcode: replace(ins, implemented=ins.implemented and ins.name not in _ABSENT) for ins in TABLE
}


def on_verilog(data: bytes, hw: HardwareConfig) -> bool:
    """Whether the Verilog machine says of 64 bytes what the table says."""
    return illegal(data, hw, VERILOG)[0] == illegal(data, hw)[0]
