"""LOOP: repeat packets. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import FETCH, Instruction

__all__ = ["LOOP"]

LOOP = Instruction(
    name="LOOP",
    opcode=0x0A,
    queue=FETCH,
    implemented=False,
    summary="Repeat the next n packets count times, an index register counting from 0; two loops may be nested.",
    fields=pack_fields(
        [
            *header(),
            Field("n", 16, "packets in the body", minimum=1),
            Field("count", 16, "repetitions", minimum=1),
            Field("register", 2, "index register that counts"),
        ]
    ),
)
