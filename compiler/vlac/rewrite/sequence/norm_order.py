"""Norms over the last axis read the others in the order of memory: the Transpose to heads goes behind them.

QK-norms often stand behind that Transpose, where nothing but moves should be between a projection and its attention.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import is_op
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["order_norms"]


def order_norms(model: ir.Model) -> None:
    """Rewrite every such norm of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "LayerNormalization", "RMSNormalization") and node.inputs[0] is not None:
            rank = len(shape_of(node.inputs[0]))
            if attribute(node, "axis", -1) in (-1, rank - 1) and len(node.outputs) == 1:
                _order(model.graph, node, view_of(node.inputs[0]))


def _order(graph: ir.Graph, node: ir.Node, view: View) -> None:
    rank = len(view.axes)
    outer = [max((s for _, s in axis), default=-1) for axis in view.axes[:-1]]
    if any(not s for s in outer):
        return  # expanded
    moving = sorted((i for i in range(rank - 1) if outer[i] > 0), key=lambda i: -outer[i])
    places = iter(moving)
    order = [*(next(places) if outer[i] > 0 else i for i in range(rank - 1)), rank - 1]
    if order == list(range(rank)):
        return
    with Nodes(graph, node) as new:
        x = emit(new, view.transpose(order))
        if x is None:
            return
        attributes = {name: a.value for name, a in node.attributes.items()}
        y = new.add(node.op_type, [x, *node.inputs[1:]], shape_of(x), attributes)
        back = emit(new, View.whole(y).transpose([int(i) for i in np.argsort(order)]))
        assert back is not None
        new.replace(back)
