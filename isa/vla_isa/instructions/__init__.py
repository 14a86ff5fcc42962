"""THE TABLE: every instruction, one file each, and what is derived from the table. Nothing else states a bit position.

A file has an instruction's fields, limits and rules, what a packet touches and costs, its executable meaning, and its
small packets for conformance. `shared_fields.py` and `shared_meaning.py` are what several of them have in common;
what is long of a cost has a file beside its instruction (`conv_words.py`, `gemm_words.py`, `copy_cost.py`).
`generated/codes.py` is written from the enumerations of the fields (`python -m vla_isa.generate`): functions of an
instruction use it as `codes.Name`, so that a new enumeration can be written before its codes are.

A packet is 64 bytes, little endian, opcode in byte 0, then the wait and signal masks of the 16
semaphores. Addresses are in words of the memory they point into (activation words of B bytes, weight
words of B*B bytes, parameter words of 8*B bytes); data-space addresses are in 64-byte lines.

A tensor on chip is `[H][C/B][W][B]`: pixel (y, x) of channel block c lies at word

    base + ((slot + y) mod ring) * row_stride + c * pitch + x

so a region may be a ring of `ring` rows whose row 0 of this packet sits in slot `slot`; a region that
is no ring has ring >= its rows and slot 0.
"""

from __future__ import annotations

from enum import IntEnum

from vla_isa.instructions.conv import CONV
from vla_isa.instructions.copy import COPY
from vla_isa.instructions.gather import GATHER
from vla_isa.instructions.gemm import GEMM
from vla_isa.instructions.halt import HALT
from vla_isa.instructions.jump import JUMP
from vla_isa.instructions.loop import LOOP
from vla_isa.instructions.pool import POOL
from vla_isa.instructions.recip import RECIP
from vla_isa.instructions.reduce import REDUCE
from vla_isa.instructions.row import ROW
from vla_isa.instructions.set import SET
from vla_isa.instructions.vec import VEC
from vla_isa.table_check import check_table

__all__ = ["BY_NAME", "BY_OPCODE", "MOVES", "TABLE", "ErrorCode"]


class ErrorCode(IntEnum):
    """What the status register says when the machine stops; `ERROR_ADDR` then holds the packet's address."""

    OK = 0
    ILLEGAL_OPCODE = 1  # unknown, or not implemented by this machine
    RESERVED_BITS = 2  # a reserved bit is set
    FIELD_LIMIT = 3  # a field outside its limits, or a rule of the table broken
    DEADLOCK = 4  # every engine idle, a packet still waiting; address of the oldest one
    SEMAPHORE_LEFT = 5  # a semaphore is not zero at HALT
    SEMAPHORE_OVERFLOW = 6  # a count would exceed 255; address of the signalling packet
    AXI_READ = 7  # the memory answered a read with an error
    AXI_WRITE = 8  # the memory answered a write with an error
    INDEX_RANGE = 9  # an item or an index register is not below its declared count


TABLE = (CONV, GEMM, COPY, POOL, VEC, ROW, REDUCE, RECIP, GATHER, SET, LOOP, JUMP, HALT)
check_table(TABLE)

BY_OPCODE = {i.opcode: i for i in TABLE}
BY_NAME = {i.name: i for i in TABLE}
MOVES = COPY.by_name["move"].enum
