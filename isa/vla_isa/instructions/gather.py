"""GATHER: rows by an index vector. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header, index
from vla_isa.packet import Instruction

__all__ = ["GATHER"]

GATHER = Instruction(
    name="GATHER",
    opcode=0x08,
    queue="load",
    implemented=False,
    summary="Rows by an index vector, read or write: embeddings, cache append, grouping rows by expert.",
    fields=pack_fields(
        [
            *header(),
            Field("direction", 1, "gather or scatter", enum=("gather", "scatter"), code="GatherDirection"),
            Field(
                "from_data",
                1,
                "table in the activation scratchpad or the data space",
                enum=("act", "data"),
                code="GatherFrom",
            ),
            Field("table_base", 32, "word or line of row 0"),
            Field("table_stride", 22, "step between rows"),
            Field("table_rows", 20, "rows; an index outside is an error", minimum=1),
            Field("index_base", 20, "activation word of the index vector", below="act_words"),
            Field("n", 14, "indices", minimum=1),
            Field("blocks", 10, "channel blocks of a row", minimum=1),
            Field("out_base", 20, "activation word of the rows", below="act_words"),
            Field("out_pitch", 14, "words between channel blocks"),
            *index(),
        ]
    ),
)
