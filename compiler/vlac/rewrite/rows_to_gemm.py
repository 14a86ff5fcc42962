"""A MatMul of more than two axes and the row added behind it become one Gemm of all rows, whose bias costs nothing.

matches: Add(MatMul(x, w), row) with constants w [K, N] and row [N] (or with leading axes of 1), x of three axes or
more; rewrite: Reshape(Gemm(Reshape(x), w, row)). A MatMul of two axes becomes a Gemm elsewhere.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from vlac.model.reading import constant, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["rows_to_gemm"]


def rows_to_gemm(model: ir.Model) -> None:
    """Rewrite every such pair of a float model, in place."""
    for node in list(model.graph):
        if node.op_type == "Add" and node.domain in ("", "ai.onnx") and node.graph is model.graph:
            for product, row in (node.inputs, node.inputs[::-1]):
                if _matches(product, row):
                    _rewrite(model.graph, node, product, row)
                    break


def _matches(product: ir.Value | None, row: ir.Value | None) -> bool:
    made = None if product is None else product.producer()
    if product is None or made is None or made.op_type != "MatMul" or made.domain not in ("", "ai.onnx"):
        return False
    weight, array, shape = constant(made.inputs[1]), constant(row), shape_of(product)
    lone = len(product.uses()) == 1 and not product.is_graph_output()
    if weight is None or array is None or not lone or constant(made.inputs[0]) is not None:
        return False
    row_only = array.size == shape[-1] and array.ndim <= len(shape) and array.shape[-1:] == shape[-1:]
    return weight.ndim == 2 and len(shape_of(made.inputs[0])) > 2 and row_only


def _rewrite(graph: ir.Graph, node: ir.Node, product: ir.Value | None, row: ir.Value | None) -> None:
    assert product is not None
    made = product.producer()
    bias = constant(row)
    assert made is not None and bias is not None
    x, weight = made.inputs
    assert x is not None
    new, shape = Nodes(graph, node), shape_of(product)
    rows = math.prod(shape[:-1])
    flat = new.reshape(x, (rows, shape_of(x)[-1]))
    gemm = new.add("Gemm", [flat, weight, new.constant(bias.reshape(-1))], (rows, shape[-1]))
    new.replace(new.reshape(gemm, shape))
