"""A MatMul by a stack of constant matrices becomes one MatMul per matrix, as GEMM takes one.

Where every matrix reads the same rows (experts of one layer), they become one matrix with all their columns.
Not here, refused by MatMul's rules: quantized models, a computed right side, and a vector as left side (nobody needed
it, and ONNX's own test of it cancels so far that 8-bit weights are 5 steps off, more than this project calls right).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import constant, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["split_batches"]


def split_batches(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    for node in list(model.graph):
        if node.op_type == "MatMul" and node.domain in ("", "ai.onnx"):
            x, weight = node.inputs[0], constant(node.inputs[1])
            if x is None or weight is None or constant(x) is not None:
                continue
            if weight.ndim > 2 and len(shape_of(x)) > 1:
                _replace(Nodes(model.graph, node), x, weight, shape_of(node.outputs[0]))


def _replace(new: Nodes, x: ir.Value, weight: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    given = shape_of(x)
    (rows, k), n = given[-2:], weight.shape[-1]
    batch = np.broadcast_shapes(given[:-2], weight.shape[:-2])
    groups = math.prod(given[:-2])
    matrices = np.broadcast_to(weight, (*batch, k, n)).reshape(-1, k, n)
    if groups == 1:
        result = _one_product(new, new.reshape(x, (rows, k)), matrices)
    else:
        index = np.broadcast_to(np.arange(groups).reshape(given[:-2]), batch).reshape(-1)
        result = _products(new, new.reshape(x, (groups, rows, k)), matrices, index)
    new.replace(new.reshape(result, shape))


def _one_product(new: Nodes, x: ir.Value, matrices: NDArray[np.float32]) -> ir.Value:
    """[B, M, N] of rows [M, K] and matrices [B, K, N]."""
    (m, k), (b, _, n) = shape_of(x), matrices.shape
    wide = new.add("MatMul", [x, new.constant(matrices.transpose(1, 0, 2).reshape(k, b * n))], (m, b * n))
    return new.add("Transpose", [new.reshape(wide, (m, b, n))], (b, m, n), {"perm": [1, 0, 2]})


def _products(new: Nodes, x: ir.Value, matrices: NDArray[np.float32], index: NDArray[np.int64]) -> ir.Value:
    """[B, M, N] of rows [G, M, K] and matrices [B, K, N], where `index` [B] is the rows' group."""
    (_, m, k), (b, _, n) = shape_of(x), matrices.shape
    groups = {g: new.reshape(_group(new, x, g), (m, k)) for g in dict.fromkeys(index.tolist())}
    parts = [
        new.add("MatMul", [groups[g], new.constant(matrix)], (m, n))
        for g, matrix in zip(index.tolist(), matrices, strict=True)
    ]
    return new.reshape(new.add("Concat", parts, (b * m, n), {"axis": 0}), (b, m, n))


def _group(new: Nodes, x: ir.Value, group: int) -> ir.Value:
    _, m, k = shape_of(x)
    bounds = [new.constant(np.array([v], np.int64)) for v in (group, group + 1, 0)]  # first, last + 1, axis
    return new.add("Slice", [x, *bounds], (1, m, k))
