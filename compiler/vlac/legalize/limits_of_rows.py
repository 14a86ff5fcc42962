"""A constant mask that only cuts off the last keys, at a few places, becomes limits: the array reads no mask.

A state that does not see the actions behind it, say. Only where writing logits takes longer than their products: there
a mask's words wait for banks, and slow down the vector engine's, while a further packet is short.
Not here: masks of one limit, or of one that grows (`model/mask_structure.py`).
"""

from __future__ import annotations

import numpy as np

from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT16
from vlac.device.product import LogitsOp
from vlac.ir.graph import Graph

__all__ = ["limits_of_rows"]

_MOST_RUNS = 2  # of rows with one limit


def limits_of_rows(graph: Graph, hw: HardwareConfig) -> None:
    """Give every such product limits in place of its mask."""
    for op in graph.ops:
        if isinstance(op, LogitsOp) and len(op.inputs) == 3:
            blocks = op.inputs[0].blocks(hw.block) // op.heads
            found = _limits(op)
            runs = 1 + sum(a != b for a, b in zip(found[1:], found, strict=False))
            if found and runs <= _MOST_RUNS and blocks < op.output.planes * hw.pixels // hw.requant_pixels:
                graph.drop_input(op, 2)
                op.limits = found


def _limits(op: LogitsOp) -> tuple[int, ...]:
    """Of each query; () where the mask is something else."""
    mask, keys = op.inputs[2].constant, op.output.c
    if mask is None or op.limit < keys or op.limit_step:
        return ()
    rows = mask.reshape(-1, keys)
    limits = (rows == 0).sum(axis=1)
    cut = np.where(np.arange(keys) < limits[:, None], 0, INT16.lo)
    alike = len(rows) == op.inputs[0].w and limits.min() > 0 and np.array_equal(rows, cut)
    return tuple(limits.tolist()) if alike else ()
