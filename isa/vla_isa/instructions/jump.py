"""JUMP: fetch goes on at another packet."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import FETCH, Instruction

__all__ = ["JUMP"]

JUMP = Instruction(
    name="JUMP",
    opcode=0x0F,
    queue=FETCH,
    summary="Continue at another packet: fetch takes its semaphores, signals, and goes on there.",
    fields=pack_fields([*header(), Field("target", 32, "data line of the next packet")]),
)
