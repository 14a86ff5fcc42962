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
    summary="Index register = an immediate, or an item in the activation scratchpad, which must be below count; fetch "
    "waits for it.",
    fields=pack_fields(
        [
            *header(),
            Field("register", 2, "which index register"),
            Field("source", 1, "where the value comes from", enum=("immediate", "item"), code="SetSource"),
            Field("immediate", 16, "the value"),
            Field("base", 20, "activation word of the item", below="act_words"),
            Field("count", 16, "an item that is not below stops the machine with INDEX_RANGE", minimum=1),
        ]
    ),
)
