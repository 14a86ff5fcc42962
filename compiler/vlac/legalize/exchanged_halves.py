"""Halves of small heads are exchanged by a second product, of permuted weights, in front of rotary positions.

Halves that each take a channel block of their own, which they do not fill, cost vector work twice, and queries and keys
in that order are moved again. A head that fits one block is one part where a layer makes it as it is and exchanged:
its product costs no more then, as it has one block of either instead of two. Where cosines and sines are constants, the
layer makes the two side by side, and one instruction takes both products. No value changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.gemm import GemmOp
from vlac.device.rotate import RotateOp
from vlac.device.rotate_pairs import RotatePairsOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor

__all__ = ["exchange_halves"]

I64 = NDArray[np.int64]


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
        first, second = op.halves
        exchanged = np.empty(d, np.int64)
        exchanged[first], exchanged[second] = second, first
        starts = np.arange(op.heads)[:, None] * d
        if _is_one(graph, op, plain):
            rows = np.concatenate([starts + np.arange(d), starts + exchanged], axis=1).reshape(-1)
            _take_pairs(graph, op, plain, _again(graph, made, rows, "pairs"))
        else:
            graph.set_input(op, 0, _again(graph, made, (starts + exchanged).reshape(-1), "exchanged"))
            op.exchanged = False
            op.halves = plain.halves = (np.arange(d),)


def _again(graph: Graph, made: GemmOp, rows: I64, what: str) -> Tensor:
    """A layer's channels by number, made by a second one behind it."""
    x, r = made.output, made.requant
    turned = x.like(f"{x.name}:{what}", label=f"{x.label}:{what}", shape=(*x.shape[:-1], len(rows)))
    requant = replace(r, bias=r.bias[rows], mult=r.mult[rows], shift=r.shift[rows])
    again = GemmOp(made.node, made.op_type, list(made.inputs), turned, made.weight[rows], requant)
    graph.insert(again, before=graph.ops[graph.index(made) + 1])
    return turned


def _is_one(graph: Graph, op: RotateOp, plain: RotateOp) -> bool:
    """Whether nobody else reads the first product, which is added as it is, and both tables are constants."""
    part = plain.output
    alone = part.consumers == [op] and not graph.is_output(part)
    same = op.mult == op.c_mult << op.c_shift and (plain.mult, plain.shift) == (1, 0)
    return alone and same and all(o.inputs[1].constant is not None for o in (op, plain))


def _take_pairs(graph: Graph, op: RotateOp, plain: RotateOp, pairs: Tensor) -> None:
    """One instruction in the place of two; a layer that nobody else reads goes."""
    x, (cos, sin) = op.inputs[0], (plain.inputs[1], op.inputs[1])
    both = np.concatenate([np.asarray(t.constant) for t in (cos, sin)], axis=-1)
    angles = cos.like(f"{cos.name}:sin", shape=both.shape, constant=both)
    turn = RotatePairsOp(op.node, op.op_type, [pairs, angles], op.output, op.heads, op.mult, op.shift, op.rounding)
    graph.replace_op(op, turn)
    graph.erase(plain)
    if not x.consumers and not graph.is_output(x) and x.producer is not None:
        graph.erase(x.producer)
