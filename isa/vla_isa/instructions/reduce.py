"""REDUCE: one value per pixel of a matrix. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header, matrix
from vla_isa.packet import Instruction

__all__ = ["REDUCE"]

_FUNCTIONS = ("sum", "max", "squares", "moments", "argmax", "topk_mask")

REDUCE = Instruction(
    name="REDUCE",
    opcode=0x06,
    queue="vec",
    implemented=False,
    summary="Per pixel of a matrix, over its channels: sum, maximum, sum of squares, moments, index of the maximum, "
    "written as items; or a mask of the k largest.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 3, "what is reduced", enum=_FUNCTIONS, code="ReduceFunction"),
            Field("h", 11, "rows", minimum=1),
            Field("m", 14, "pixels of a row", minimum=1),
            Field("blocks", 10, "channel blocks", minimum=1),
            Field("channels", 14, "real channels", minimum=1),
            *matrix("in", "the input"),
            Field("in_zero", 8, "zero point of the input", signed=True),
            Field("k", 10, "k of the mask"),
            Field("out_base", 20, "activation word of the items, or of the mask", below="act_words"),
            Field("out_row_stride", 20, "words between rows of the mask"),
            Field("out_pitch", 14, "words between channel blocks of the mask"),
        ]
    ),
)
