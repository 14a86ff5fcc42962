"""RECIP: reciprocals of items as row records."""

from __future__ import annotations

import numpy as np

from vla_isa import numerics
from vla_isa.generated.codes import RecipBias, RecipFunction
from vla_isa.packet import Packet
from vlarun.memory import Machine

__all__ = ["execute"]


def execute(packet: Packet, machine: Machine) -> None:
    """Read the items; write the records."""
    value, second = numerics.unpack_items(machine.read_items(packet["in_base"], packet["n"]))
    inverse = numerics.rsqrt if packet["function"] == RecipFunction.RSQRT else numerics.reciprocal
    mult, shift = inverse(value + np.int64(packet["add"]), packet["mult"], packet["shift"])
    bias = -second if packet["bias"] == RecipBias.MINUS_SECOND else np.zeros_like(second)
    machine.write_items(packet["out_base"], numerics.pack_row_records(bias, mult, shift))
