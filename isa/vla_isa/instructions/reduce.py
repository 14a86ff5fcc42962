"""REDUCE: one value per row of a matrix. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import Instruction

__all__ = ["REDUCE"]

REDUCE = Instruction(
    name="REDUCE",
    opcode=0x06,
    queue="vec",
    implemented=False,
    summary="Per row of a matrix: sum, max, variance, argmax or top-k mask; writes a vector.",
    fields=pack_fields(
        [
            *header(),
            Field(
                "function",
                3,
                "what is reduced",
                enum=("sum", "max", "variance", "argmax", "topk_mask"),
                code="ReduceFunction",
            ),
            Field("in_base", 20, "activation word of the input", below="act_words"),
            Field("in_pitch", 14, "words between channel blocks"),
            Field("m", 14, "rows", minimum=1),
            Field("blocks", 10, "channel blocks", minimum=1),
            Field("channels", 14, "real channels", minimum=1),
            Field("k", 10, "k of the top-k mask"),
            Field("in_bytes", 2, "input element", enum=("int8", "int16"), code="InBytes"),
            Field("out_base", 20, "activation word of the vector", below="act_words"),
        ]
    ),
)
