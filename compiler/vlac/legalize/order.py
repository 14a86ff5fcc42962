"""The order of operations: a pool stands right behind what it reads, so that it runs beside the next convolutions.

Instructions of a queue run in program order; of parallel branches that end in a pool's convolution (Inception) the
pool would otherwise start only when the convolutions of the other branches are done.
"""

from __future__ import annotations

from vlac.ir.graph import Graph

__all__ = ["pools_first"]


def pools_first(graph: Graph) -> None:
    """Move every pool up to the operation that makes its input."""
    for op in list(graph.ops):
        producer = op.inputs[0].producer if op.is_early else None
        if producer is not None:
            graph.move(op, producer)
