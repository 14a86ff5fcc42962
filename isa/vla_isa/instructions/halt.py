"""HALT: the program ends."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import FETCH, Instruction

__all__ = ["HALT"]

HALT = Instruction(
    name="HALT",
    opcode=0xFF,
    queue=FETCH,
    summary="Take its semaphores, wait until every queue is empty, then done with a code. Every semaphore "
    "must then be zero.",
    fields=pack_fields([*header(), Field("code", 32, "what HALT_CODE reads afterwards")]),
)
