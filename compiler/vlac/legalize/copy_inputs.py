"""A model input that is an output too, as it is or in another shape, is copied by VEC.

So whatever is stored has a producer, whose rows are stored as they are made. Not here: the copies that settle where a
tensor lies (`legalize/place`).
"""

from __future__ import annotations

from dataclasses import replace

from vlac.device.row import RowOp
from vlac.device.vec import VecOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor
from vlac.legalize.prune import prune

__all__ = ["copy_inputs"]


def copy_inputs(graph: Graph) -> None:
    """Let every output that is a model input be a copy of it."""
    copies: dict[Tensor, Tensor] = {}
    for i, out in enumerate(graph.outputs):
        made = out.tensor.producer
        source = (made.view_of if made is not None else None) or out.tensor
        if source in graph.inputs:
            if source not in copies:
                copies[source] = _copied(graph, source)
            graph.outputs[i] = replace(out, tensor=copies[source], source=source)
    prune(graph)


def _copied(graph: Graph, x: Tensor) -> Tensor:
    out = x.like(f"{x.name}:output")
    make = VecOp.identity if x.planes == 1 else RowOp.identity
    graph.insert(make(x.label, "Copy", x, out))
    return out
