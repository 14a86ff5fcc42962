"""LOOP: repeat packets."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import FETCH, Instruction

__all__ = ["LOOP"]

LOOP = Instruction(
    name="LOOP",
    opcode=0x0A,
    queue=FETCH,
    summary="Execute the next n packets count times; at the start of each round the register becomes its number, 0, 1, "
    "... A body may hold a whole loop, which may hold none. JUMP and HALT in a body, a third loop, and one that ends "
    "behind the loop around it are refused where they stand (FIELD_LIMIT). The semaphores of the LOOP are taken and "
    "given once.",
    fields=pack_fields(
        [
            *header(),
            Field("n", 16, "packets in the body", minimum=1),
            Field("count", 16, "repetitions", minimum=1),
            Field("register", 2, "index register that counts"),
        ]
    ),
)
