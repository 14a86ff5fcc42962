"""SET: give an index register its value. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import FETCH, Instruction

__all__ = ["SET"]

SET = Instruction(
    name="SET",
    opcode=0x09,
    queue=FETCH,
    implemented=False,
    summary="Index register = immediate, or a word in memory.",
    fields=pack_fields(
        [
            *header(),
            Field("register", 2, "which index register"),
            Field("source", 2, "where the value comes from", enum=("immediate", "act", "param"), code="SetSource"),
            Field("immediate", 16, "the value"),
            Field("base", 20, "word that holds the value"),
            Field("count", 8, "declared number of values; a larger one is an error", minimum=1),
        ]
    ),
)
