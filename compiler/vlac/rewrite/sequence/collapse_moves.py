"""Chains of Reshapes, Transposes, Slices and their relatives become the shortest that make the same view.

Where heads were split for an attention and joined behind it, nothing is left. Only in models of sequences: elsewhere
the order of axes is that of images (`axis_order.py`).
"""

from __future__ import annotations

import onnx_ir as ir

from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.views import is_move, view_of

__all__ = ["collapse_moves"]


def collapse_moves(model: ir.Model) -> None:
    """Shorten every chain of a float model, in place."""
    for node in list(model.graph):
        if is_move(node) and node.graph is model.graph:
            for value in node.outputs:
                if value.is_graph_output() or any(not is_move(r) for r in value.consumers()):
                    _shorten(model.graph, node, value)


def _shorten(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    view = view_of(value)
    chain = _chain(value, view.root)
    if not chain:
        return
    with Nodes(graph, node, value) as new:
        made = emit(new, view)
        if made is None or _cost(new.made) >= _cost(chain):
            return
        new.insert()
        named = value.is_graph_output()
        if named and made is view.root and (made.producer() is None or made.is_graph_output()):
            return  # an output has a node of its own
        value.replace_all_uses_with(made, replace_graph_outputs=True)
        if named or made is not view.root:
            made.name, value.name = value.name, made.name if made is view.root else f"{value.name}.old"


def _chain(value: ir.Value, root: ir.Value) -> list[ir.Node]:
    """The moves from the root to a value."""
    found: list[ir.Node] = []
    while value is not root:
        node = value.producer()
        if node is None or node.inputs[0] is None:
            return []
        found.append(node)
        value = node.inputs[0]
    return found


def _cost(nodes: list[ir.Node]) -> tuple[int, int]:
    """Nodes that move anything, then all."""
    return sum(n.op_type in ("Transpose", "Expand", "Slice", "Gather", "Split") for n in nodes), len(nodes)
