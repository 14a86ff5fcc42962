"""An input that another graph of the program makes is read as that graph lays it down, rows behind each other.

What the model makes of it from there on, mostly the same moves back, is one rearrangement, or none. Not here: which
inputs these are (`graphs.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vla_isa.layout import TensorLayout
from vlac.device.layout_op import LayoutOp
from vlac.ir.graph import Graph

__all__ = ["lie_as"]


def lie_as(graph: Graph, layouts: Mapping[str, TensorLayout]) -> None:
    """Let inputs of the model, by name, lie as `layouts` say, as far as those are of one row of pixels."""
    assert graph.signature is not None
    names = dict(enumerate(v.name for v in graph.signature.inputs))
    for number, x in enumerate(list(graph.inputs)):
        layout = layouts.get(names.get(graph.input_labels[x][1], ""))
        if layout is None or layout.shape != x.shape or layout.h != 1 or x.planes != layout.planes:
            continue
        order = np.arange(math.prod(x.shape)).reshape(layout.view).transpose(layout.permutation).reshape(-1)
        rows = x.like(f"{x.name}:rows", shape=(1, layout.w, layout.c))
        graph.inputs[number] = rows
        graph.input_labels[rows] = graph.input_labels.pop(x)
        graph.input_layouts[rows] = (x.shape, layout.view, layout.permutation)
        graph.input_orders[rows] = order
        graph.insert(LayoutOp(x.label, "Reshape", [rows], x, np.argsort(order)), before=graph.ops[0])
