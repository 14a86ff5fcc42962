"""RECIP: reciprocals as records for requantization per row. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import Instruction

__all__ = ["RECIP"]

RECIP = Instruction(
    name="RECIP",
    opcode=0x07,
    queue="vec",
    implemented=False,
    summary="Per element of a vector: 1/x or 1/sqrt(x) as (mult, shift) records for per-row requantization.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 1, "which function", enum=("reciprocal", "rsqrt"), code="RecipFunction"),
            Field("in_base", 20, "activation word of the vector", below="act_words"),
            Field("n", 14, "elements", minimum=1),
            Field("mult", 24, "scale of the result, mantissa"),
            Field("shift", 6, "scale of the result, shift"),
            Field("add", 32, "added to x first (epsilon)"),
            Field("out_base", 20, "activation word of the records", below="act_words"),
        ]
    ),
)
