"""Rows of a table by numbers, as `table[index]` is exported, become Gather.

matches: GatherND of rows, data [V, ...] by computed indices [..., 1], or of data [1, length, ...] by [n, 2] whose first
column is 0 (`x[arange(1), place]`); GatherND by constants that takes all elements in their order becomes a Reshape
(masks of libraries are looked up so). GatherElements of one constant row [1, N] by computed indices [1, n] too.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import is_op
from vlac.rewrite.sequence.views import View

__all__ = ["gather_rows"]


def gather_rows(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "GatherND") and not attribute(node, "batch_dims", 0):
            table, index = node.inputs
            if table is not None and index is not None:
                with Nodes(model.graph, node) as new:
                    _replace(new, table, index, shape_of(node.outputs[0]))
        elif is_op(node, "GatherElements") and attribute(node, "axis", 0) in (-1, 1):
            row, index = constant(node.inputs[0]), node.inputs[1]
            if row is not None and index is not None and len(row) == shape_of(index)[0] == 1:
                with Nodes(model.graph, node) as new:
                    values = new.constant(row.reshape(-1))
                    out = node.outputs[0]
                    new.replace(new.add("Gather", [values, index], shape_of(out), {"axis": 0}, out.dtype))


def _replace(new: Nodes, table: ir.Value, index: ir.Value, out: tuple[int, ...]) -> None:
    array = constant(index)
    if array is not None:
        if _takes_all(array, shape_of(table)):
            target = new.constant(np.array(out, np.int64))
            new.replace(new.add("Reshape", [table, target], out, dtype=table.dtype))
    elif shape_of(index)[1:] == (2,) and shape_of(table)[0] == 1 and (place := _second(index)) is not None:
        rows = new.add("Reshape", [place, new.constant(np.array([-1]))], shape_of(index)[:1], dtype=place.dtype)
        picked = new.add("Gather", [table, rows], (1, *out), {"axis": 1}, table.dtype)
        new.replace(new.add("Reshape", [picked, new.constant(np.array(out, np.int64))], out, dtype=table.dtype))
    elif shape_of(index)[-1:] == (1,):
        plain = View.whole(index).reshape(shape_of(index)[:-1])
        made = None if plain is None else emit(new, plain)
        if made is not None:
            new.replace(new.add("Gather", [table, made], out, {"axis": 0}, table.dtype))


def _second(index: ir.Value) -> ir.Value | None:
    """The second column of indices that are joined of two, of which the first is 0."""
    node = index.producer()
    if not is_op(node, "Concat") or node is None or len(node.inputs) != 2:
        return None
    first = constant(node.inputs[0])
    return node.inputs[1] if first is not None and not first.any() else None


def _takes_all(index: NDArray[np.int64], shape: tuple[int, ...]) -> bool:
    """Whether indices of leading axes count through all of them in order."""
    depth = index.shape[-1]
    sizes = np.array(shape[:depth])
    rows = np.where(index < 0, index + sizes, index).reshape(-1, depth)
    steps = np.array([math.prod(shape[i + 1 : depth]) for i in range(depth)])
    return np.array_equal(rows @ steps, np.arange(math.prod(shape[:depth])))
