"""A table behind a CONV, GEMM or VEC becomes that instruction's own table, or its clamp where it only clamps.

Nothing changes a bit: the table is applied to the same int8 results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vla_isa.numerics import clamp
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.device.pool import PoolOp
from vlac.device.vec import VecOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Op

__all__ = ["fuse_tables"]

_ALL = INT8.values()


def fuse_tables(graph: Graph) -> None:
    """Fuse every table whose input has one reader and is not an output."""
    for op in list(graph.ops):
        if not (isinstance(op, VecOp) and op.table is not None and len(op.inputs) == 1):
            continue
        source = op.inputs[0]
        producer = source.producer
        if producer is None or len(source.consumers) != 1 or graph.is_output(source):
            continue
        if _absorb(producer, op.table):
            graph.absorb(producer, op)
            producer.node = f"{producer.node}+{op.node}"


def _absorb(producer: Op, table: NDArray[np.int8]) -> bool:
    """Give the table to the producer; False where it has no place for it."""
    if isinstance(producer, PoolOp) and producer.mode == "max":  # POOL writes a maximum as it is, without a clamp
        return False
    target: Any = producer.requant if isinstance(producer, (ConvOp, GemmOp)) else producer
    if not hasattr(target, "lo") or getattr(target, "table", None) is not None or getattr(producer, "residual", None):
        return False
    lo, hi = int(table.min()), int(table.max())
    if (clamp(_ALL, lo, hi) == table).all():
        # both clamps in one: clamping to [lo, hi] after the producer's own
        target.lo, target.hi = (min(max(v, lo), hi) for v in (target.lo, target.hi))
        return True
    if isinstance(producer, PoolOp):
        return False
    target.table = table
    return True
