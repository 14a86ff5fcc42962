"""A cache that is written at a position becomes TensorScatter (opset 24).

matches: ScatterND by one computed position over the first axis of a Transpose of the cache (`index_copy`), and
ScatterElements by one position over an axis. Not matched: several positions at once, which need not be neighbours; a
sum or product with what is there; the first axis, which TensorScatter counts as the batch.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import is_op
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["recover_cache_writes"]


def recover_cache_writes(model: ir.Model) -> None:
    """Rewrite every such write of a float model, in place."""
    for node in list(model.graph):
        if attribute(node, "reduction", "none") != "none" or len(node.inputs) != 3:
            continue
        if is_op(node, "ScatterND"):
            _of_rows(model.graph, node)
        elif is_op(node, "ScatterElements"):
            _of_elements(model.graph, node)


def _of_rows(graph: ir.Graph, node: ir.Node) -> None:
    data, index, update = node.inputs
    if data is None or index is None or update is None or shape_of(index) != (1, 1) or index.const_value is not None:
        return
    view = view_of(data)
    order = _order(view)
    if order is None or order[0] == 0:
        return
    with Nodes(graph, node) as new:
        back = [int(i) for i in np.argsort(order)]
        rows = emit(new, view_of(update).transpose(back))
        y = None if rows is None else _write(new, view.root, rows, view_of(index), order[0])
        result = None if y is None else emit(new, View.whole(y).transpose(order))
        if result is not None:
            new.replace(result)


def _of_elements(graph: ir.Graph, node: ir.Node) -> None:
    data, index, update = node.inputs
    if data is None or index is None or update is None or index.const_value is not None:
        return
    axis = attribute(node, "axis", 0) % len(shape_of(data))
    position = view_of(index)
    one = all(not stride for atoms in position.axes for _, stride in atoms) and shape_of(update)[axis] == 1
    whole = all(a == b for i, (a, b) in enumerate(zip(shape_of(data), shape_of(update), strict=True)) if i != axis)
    if not one or not whole or axis == 0:
        return
    with Nodes(graph, node) as new:
        y = _write(new, data, update, View(position.root, position.offset, ()), axis)
        if y is not None:
            new.replace(y)


def _order(view: View) -> list[int] | None:
    """For each axis of a view the axis of its source that it is, where it is a Transpose."""
    whole = list(View.whole(view.root).axes)
    if len(whole) != len(view.axes) or view.offset:
        return None
    order: list[int] = []
    for axis in view.axes:
        found = [i for i, other in enumerate(whole) if other == axis and i not in order]
        if not found:
            return None
        order.append(found[0])
    return order


def _write(new: Nodes, cache: ir.Value, update: ir.Value, position: View, axis: int) -> ir.Value | None:
    plain = position.reshape((1,))
    index = None if plain is None else emit(new, plain.expand((shape_of(cache)[0],)))
    if index is None:
        return None
    return new.add("TensorScatter", [cache, update, index], shape_of(cache), {"axis": axis}, cache.dtype)
