"""VEC: an elementwise function of two int8 operands, looked up in a table of all operand pairs."""

from __future__ import annotations

import numpy as np

from vla_isa.generated.codes import BKind
from vla_isa.packet import Packet
from vlarun.memory import Bytes, Machine, act_region
from vlarun.requantize import apply_pairs, apply_table, elementwise_pairs

__all__ = ["execute", "pairs_of"]


def execute(packet: Packet, machine: Machine) -> None:
    """Read a and b; write the output region."""
    rows, width, blocks = packet["out_h"], packet["out_w"], packet["out_blocks"]
    a = machine.read_act(act_region(packet, "a", machine.hw.block, rows=rows, width=width, blocks=blocks))
    q = apply_pairs(a, _operand_b(packet, machine), pairs_of(packet))
    if packet["table_enable"]:
        q = apply_table(q, machine.table_at(packet["table_base"]))
    out = act_region(packet, "out", machine.hw.block, rows=rows, width=width, blocks=blocks)
    machine.write_act(out, q)


def pairs_of(packet: Packet) -> Bytes:
    """The result for every pair of operands, before an output table, int8 [65536]."""
    return elementwise_pairs(
        packet.choice("function"),
        packet["a_zero"],
        packet["b_zero"],
        packet["a_mult"],
        packet["b_mult"],
        packet["shift"],
        packet["rounding"],
        packet["out_zero"],
        packet["lo"],
        packet["hi"],
    )


def _operand_b(packet: Packet, machine: Machine) -> Bytes:
    """b, int8, broadcastable against [rows, blocks, pixels, B]."""
    rows, width, blocks = packet["out_h"], packet["out_w"], packet["out_blocks"]
    block, kind = machine.hw.block, packet["b_kind"]
    if kind == BKind.SCALAR:
        return np.full((1, 1, 1, 1), packet["b_scalar"], np.int8)
    if kind == BKind.TENSOR:
        return machine.read_act(act_region(packet, "b", block, rows=rows, width=width, blocks=blocks))
    if kind == BKind.ROW:
        return machine.read_act(act_region(packet, "b", block, rows=1, width=1, blocks=blocks))
    return machine.read_act(act_region(packet, "b", block, rows=rows, width=width, blocks=1))[..., :1]
