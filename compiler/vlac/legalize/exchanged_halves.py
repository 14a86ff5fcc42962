"""Halves of small heads are exchanged by a second product, of permuted weights, in front of rotary positions.

Halves that each take a channel block of their own, which they do not fill, cost vector work twice, and queries and keys
in that order are moved again. A head that fits one block is one part where a layer makes it as it is and exchanged:
its product costs no more then, as it has one block of either instead of two. No value changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_isa.hardware import HardwareConfig
from vlac.device.gemm import GemmOp
from vlac.device.rotate import RotateOp
from vlac.ir.graph import Graph

__all__ = ["exchange_halves"]


def exchange_halves(graph: Graph, hw: HardwareConfig) -> None:
    """Rewrite every rotation of small heads that a layer makes."""
    for op in [op for op in graph.ops if isinstance(op, RotateOp) and op.exchanged]:
        x, plain = op.inputs[0], op.inputs[2].producer
        d = x.c // op.heads
        made = x.producer
        if not isinstance(made, GemmOp) or not made.writes_any_order or x.parent is not None:
            continue
        if d > hw.block or not isinstance(plain, RotateOp) or len(op.halves[0]) % hw.block == 0:
            continue
        turned = x.like(f"{x.name}:exchanged", label=f"{x.label}:exchanged")
        first, second = op.halves
        exchanged = np.empty(d, np.int64)
        exchanged[first], exchanged[second] = second, first
        rows = (np.arange(op.heads)[:, None] * d + exchanged).reshape(-1)
        r = made.requant
        requant = replace(r, bias=r.bias[rows], mult=r.mult[rows], shift=r.shift[rows])
        again = GemmOp(made.node, made.op_type, list(made.inputs), turned, made.weight[rows], requant)
        graph.insert(again, before=graph.ops[graph.ops.index(made) + 1])
        graph.set_input(op, 0, turned)
        op.exchanged = False
        op.halves = plain.halves = (np.arange(d),)
