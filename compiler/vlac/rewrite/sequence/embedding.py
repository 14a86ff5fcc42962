"""Rows of a table by numbers, as `table[index]` is exported, become Gather.

matches: GatherND of rows: data [V, ...] by indices [..., 1].
"""

from __future__ import annotations

import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import is_op
from vlac.rewrite.sequence.views import View

__all__ = ["gather_rows"]


def gather_rows(model: ir.Model) -> None:
    """Rewrite every such GatherND of a float model by computed numbers, in place."""
    for node in list(model.graph):
        if is_op(node, "GatherND") and not attribute(node, "batch_dims", 0):
            table, index = node.inputs
            if table is None or index is None or index.const_value is not None or shape_of(index)[-1:] != (1,):
                continue
            new = Nodes(model.graph, node)
            plain = View.whole(index).reshape(shape_of(index)[:-1])
            made = None if plain is None else emit(new, plain)
            if made is not None:
                new.replace(new.add("Gather", [table, made], shape_of(node.outputs[0]), {"axis": 0}, table.dtype))
