"""Drop operations whose result nobody reads."""

from __future__ import annotations

from vlac.ir.graph import Graph

__all__ = ["prune"]


def prune(graph: Graph) -> None:
    """Remove dead operations, last first."""
    for op in reversed(list(graph.ops)):
        if not op.output.consumers and not graph.is_output(op.output):
            graph.erase(op)
