"""Raise a model's opset in place to one that has the operators that the rewrites of sequences put into it.

Operators whose form changed between opset 13 and 24 are written in the new one; of others the meaning did not change
(only types were added). Not here: files of older opsets (`import_onnx/older.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from vlac.rewrite.nodes import initializer

__all__ = ["raise_opset"]

# the first opset with the operator in the form that the rewrites use
_SINCE = {
    "LayerNormalization": 17,
    "Gelu": 20,
    "GroupNormalization": 21,
    "Attention": 23,
    "RMSNormalization": 23,
    "RotaryEmbedding": 23,
    "Swish": 24,
    "TensorScatter": 24,
}
_REDUCTIONS = (
    *("ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
)


def raise_opset(model: ir.Model, least: int = 0) -> bool:
    """Raise it as far as the main graph's nodes need it, and to `least`; whether they did."""
    found = model.graph.opset_imports.get("", 0)
    needed = max([least, *(_SINCE.get(n.op_type, 0) for n in model.graph if n.domain in ("", "ai.onnx"))])
    if needed <= found:
        return False
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        for last, name, change in _CHANGES:
            if found < last <= needed and node.op_type in name and node.domain in ("", "ai.onnx"):
                change(model.graph, node)
        node.version = None
    model.graph.opset_imports[""] = needed
    model.ir_version = max(model.ir_version or 0, 10)
    return True


def _axes_as_input(graph: ir.Graph, node: ir.Node) -> None:
    axes = node.attributes.pop("axes", None)
    if axes is not None:
        given = initializer(graph, f"{node.outputs[0].name}.axes", np.array(axes.value, np.int64))
        node.resize_inputs(2)
        node.replace_input_with(1, given)


def _count_outputs(graph: ir.Graph, node: ir.Node) -> None:
    if len(node.inputs) < 2 or node.inputs[1] is None:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


def _rename_mode(graph: ir.Graph, node: ir.Node) -> None:
    mode = node.attributes.get("mode")
    names = {"bilinear": "linear", "bicubic": "cubic"}
    node.attributes["mode"] = ir.AttrString("mode", "linear" if mode is None else names.get(mode.value, mode.value))


def _keep_grid(graph: ir.Graph, node: ir.Node) -> None:
    """RoiAlign's older grid, which another one took the place of as the default."""
    mode = ir.AttrString("coordinate_transformation_mode", "output_half_pixel")
    node.attributes.setdefault("coordinate_transformation_mode", mode)


_CHANGES: tuple[tuple[int, tuple[str, ...], Callable[[ir.Graph, ir.Node], None]], ...] = (
    (16, ("RoiAlign",), _keep_grid),
    (18, _REDUCTIONS, _axes_as_input),
    (18, ("Split",), _count_outputs),
    (20, ("GridSample",), _rename_mode),
)
