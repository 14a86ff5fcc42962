"""A table behind a CONV, GEMM or VEC becomes that instruction's own table, or its clamp where it only clamps.

Nothing changes a bit: the table is applied to the same int8 results.
"""

from __future__ import annotations

from vlac.device.vec import VecOp
from vlac.ir.graph import Graph

__all__ = ["fuse_tables"]


def fuse_tables(graph: Graph) -> None:
    """Fuse every table whose input has one reader and is not an output."""
    for op in list(graph.ops):
        if not (isinstance(op, VecOp) and op.table is not None and len(op.inputs) == 1):
            continue
        source = op.inputs[0]
        producer = source.producer
        if producer is None or len(source.consumers) != 1 or graph.is_output(source):
            continue
        if producer.take_table(op.table):
            graph.absorb(producer, op)
            producer.node = f"{producer.node}+{op.node}"
