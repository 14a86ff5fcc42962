"""REDUCE: one item per pixel over the channels of a matrix, or a mask of the largest channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import Element, ReduceFunction
from vla_isa.packet import Packet
from vlarun.memory import Machine

__all__ = ["execute"]

I64 = NDArray[np.int64]


def execute(packet: Packet, machine: Machine) -> None:
    """Read the input; write the items or the mask."""
    h, blocks, m, block = packet["h"], packet["blocks"], packet["m"], machine.hw.block
    x = machine.read_matrix(packet, "in", (1, h, blocks, m), wide=packet["in_bytes"] == Element.INT16)
    rows = x[0].transpose(0, 2, 1, 3).reshape(h * m, blocks * block).astype(np.int64) - packet["in_zero"]
    q = rows[:, : packet["channels"]]
    if packet["function"] == ReduceFunction.TOPK_MASK:
        mask = np.zeros(rows.shape, np.int8)
        mask[:, : q.shape[1]] = numerics.topk_mask(q, packet["k"])
        machine.write_matrix(packet, "out", mask.reshape(1, h, m, blocks, block).transpose(0, 1, 3, 2, 4))
        return
    value, second = _reduced(packet, q)
    machine.write_items(packet["out_base"], numerics.pack_items(value, second)[None])


def _reduced(packet: Packet, q: I64) -> tuple[I64, I64]:
    """(values, second values) of rows [pixels, channels]."""
    zero = np.zeros(len(q), np.int64)
    function = ReduceFunction(packet["function"])
    if function == ReduceFunction.MOMENTS:
        return numerics.moments(q, packet["channels"])
    if function == ReduceFunction.ARGMAX:
        return q.argmax(axis=1), zero
    if function == ReduceFunction.SQUARES:
        return (q * q).sum(axis=1), zero
    return (q.max(axis=1) if function == ReduceFunction.MAX else q.sum(axis=1)), zero
