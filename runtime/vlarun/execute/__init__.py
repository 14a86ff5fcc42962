"""What each instruction does to the memories: one file per instruction, no loop over pixels or channels.

An executor takes the decoded, legal packet and the machine; it reads all its operands before it writes.
Semaphores, legality and the program counter belong to the backend.
"""

from __future__ import annotations

from collections.abc import Callable

from vla_isa.errors import ConfigError
from vla_isa.instructions import TABLE
from vla_isa.packet import Packet
from vlarun.execute import (
    conv,
    copy,
    gather,
    gemm,
    halt,
    jump,
    loop,
    pool,
    recip,
    reduce,
    row,
    set_register,
    vec,
)
from vlarun.memory import Machine

__all__ = ["EXECUTORS"]

EXECUTORS: dict[str, Callable[[Packet, Machine], None]] = {
    "CONV": conv.execute,
    "GEMM": gemm.execute,
    "COPY": copy.execute,
    "POOL": pool.execute,
    "VEC": vec.execute,
    "ROW": row.execute,
    "REDUCE": reduce.execute,
    "RECIP": recip.execute,
    "GATHER": gather.execute,
    "SET": set_register.execute,
    "LOOP": loop.execute,
    "JUMP": jump.execute,
    "HALT": halt.execute,
}

_IMPLEMENTED = {i.name for i in TABLE if i.implemented}
if set(EXECUTORS) != _IMPLEMENTED:
    raise ConfigError(f"executors and the instruction table differ: {sorted(set(EXECUTORS) ^ _IMPLEMENTED)}")
