"""GATHER: rows of a table by their numbers, in either direction. Laid out, not implemented."""

from __future__ import annotations

from vla_isa.fields import Field, pack_fields
from vla_isa.instructions.shared_fields import header, index
from vla_isa.packet import Instruction

__all__ = ["GATHER"]

_MOVES = ("gather_act", "scatter_act", "gather_data", "scatter_data")

GATHER = Instruction(
    name="GATHER",
    opcode=0x08,
    queue="move",  # by the memory that is written
    queues=("load", "load", "load", "store"),
    implemented=False,
    summary="Rows of a table by items or by a range of numbers, read or written: embeddings, caches, experts.",
    fields=pack_fields(
        [
            *header(),
            Field("move", 2, "rows read or written, and the table's memory", enum=_MOVES, code="GatherMove"),
            Field("table_base", 32, "activation word or data line of row 0"),
            Field("table_stride", 22, "words or lines between rows"),
            Field("table_rows", 20, "rows; a number that is not below stops the machine with INDEX_RANGE", minimum=1),
            Field("index_kind", 1, "where row numbers come from", enum=("items", "range"), code="GatherIndex"),
            Field("index_base", 20, "activation word of the items", below="act_words"),
            Field("first", 20, "first row of a range"),
            Field("n", 14, "rows moved", minimum=1),
            Field("words", 12, "activation words of a row: channel blocks times bytes", minimum=1),
            Field("act_base", 20, "activation word of the moved rows: word 0, row 0", below="act_words"),
            Field("act_pitch", 14, "words between the words of a row"),
            *index("table_base"),
        ]
    ),
)
