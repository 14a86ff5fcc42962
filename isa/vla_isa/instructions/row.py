"""ROW: an elementwise function over the rows of matrices, with constants per pixel. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header, matrix, requantize
from vla_isa.packet import Instruction

__all__ = ["ROW"]

ROW = Instruction(
    name="ROW",
    opcode=0x0B,
    queue="vec",
    implemented=False,
    summary="Elementwise function of int8 or int16 matrices, with constants of each pixel: exponents and their sums, "
    "norms, gates, residual sums, rotary positions.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 2, "what is computed", enum=("linear", "mul", "channel"), code="RowFunction"),
            Field("h", 11, "rows", minimum=1),
            Field("m", 14, "pixels of a row", minimum=1),
            Field("blocks", 10, "channel blocks", minimum=1),
            Field("channels", 14, "real channels; the others are written as 0", minimum=1),
            *matrix("a", "operand a"),
            Field("a_zero", 8, "zero point of a", signed=True),
            *matrix("b", "operand b", kinds=True),
            Field("b_zero", 8, "zero point of b", signed=True),
            *matrix("c", "operand c", kinds=True),
            *matrix("out", "the output"),
            Field(
                "row_mode",
                2,
                "what happens to a first: nothing; less the pixel's item; the pixel's record",
                enum=("none", "less", "record"),
                code="RowMode",
            ),
            Field("row_base", 20, "activation word of the items or records", below="act_words"),
            Field("row_k", 14, "what a is multiplied by before the record's bias is added"),
            Field("a_mult", 24, "multiplier of a, or of a * b"),
            Field("c_mult", 24, "multiplier of c"),
            Field("c_shift", 4, "c is shifted left by this first"),
            Field("shift", 6, "shift of the scaled result"),
            Field("param_base", 16, "parameter word of the records of function channel", below="param_words"),
            *requantize(),
            Field(
                "table_mode",
                2,
                "none; int8 over results; interpolated int16 over a; dithered u16 over results",
                enum=("none", "out8", "in16", "dither"),
                code="RowTable",
            ),
            Field("table_base", 16, "parameter word where the table starts", below="param_words"),
            Field(
                "reduce", 1, "write the sum of each pixel's results as an item", enum=("none", "sum"), code="RowReduce"
            ),
            Field("reduce_base", 20, "activation word of the sums", below="act_words"),
        ]
    ),
)
