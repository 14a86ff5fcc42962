"""RECIP: reciprocals of items, as records for requantization per row. Laid out, not implemented."""

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
    summary="Per item with value v: K / (v + add) or K / sqrt(v + add) as a row record, K = mult * 2^-shift.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 1, "which function", enum=("reciprocal", "rsqrt"), code="RecipFunction"),
            Field("in_base", 20, "activation word of the items", below="act_words"),
            Field("n", 16, "items", minimum=1),
            Field("mult", 24, "K, mantissa", minimum=1 << 23),
            Field("shift", 6, "K, shift"),
            Field("add", 56, "added to each value first (epsilon)"),
            Field("bias", 1, "bias of the records", enum=("zero", "minus_second"), code="RecipBias"),
            Field("out_base", 20, "activation word of the records", below="act_words"),
        ]
    ),
)
