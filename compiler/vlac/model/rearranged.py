"""Where each element of a result comes from, for nodes that only move values: ONNX's own evaluator moves numbers.

The reference evaluator is given 1, 2, 3, ... instead of the values. Not here: doing the moves (`lowering/layout.py`).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from vlac.model.reading import constant_input, is_constant, shape_of

__all__ = ["evaluated", "strided_slices"]

I64 = NDArray[np.int64]
Shape = tuple[int, ...]


def evaluated(node: ir.Node, fill_input: int | None = None) -> list[I64]:
    """For each output, the input element of each of its elements (flat), -1 where `fill_input` gives the value."""
    shape = shape_of(node.inputs[0])
    feeds, names = {}, []
    for i, value in enumerate(node.inputs):
        names.append("" if value is None else f"i{i}")
        if value is not None and i:
            found = constant_input(node, i)
            feeds[names[i]] = np.zeros_like(found, np.int64) if i == fill_input else found
    feeds[names[0]] = np.arange(1, math.prod(shape) + 1).reshape(shape)
    proto = ir.to_proto(node)
    del proto.input[:]
    proto.input.extend(names)
    infos = [helper.make_tensor_value_info(n, TensorProto.INT64, None) for n in names if n]
    outs = [helper.make_tensor_value_info(n, TensorProto.INT64, None) for n in proto.output]
    graph = node.graph
    version = graph.opset_imports.get("", 17) if isinstance(graph, ir.Graph) else 17
    model = helper.make_model(
        helper.make_graph([proto], "moved", infos, outs), opset_imports=[helper.make_opsetid("", version)]
    )
    return [np.asarray(r).reshape(-1).astype(np.int64) - 1 for r in ReferenceEvaluator(model).run(None, feeds)]


def strided_slices(node: ir.Node) -> list[tuple[Shape, Shape, Shape]] | None:
    """For each result of a node that moves values: starts, steps and sizes along the axes of its input, or None.

    None where a result is not made of the elements at steady steps along every axis.
    """
    if any(v is not None and not is_constant(v) for v in node.inputs[1:]):
        return None
    shape, found = shape_of(node.inputs[0]), []
    for index in evaluated(node):
        places = [np.unique(i, return_index=True) for i in np.unravel_index(index, shape)]
        axes = [values[np.argsort(first)] for values, first in places]  # in the order of their first use
        steps = [int(a[1] - a[0]) if len(a) > 1 else 1 for a in axes]
        steady = all(np.array_equal(a, a[0] + step * np.arange(len(a))) for a, step in zip(axes, steps, strict=True))
        if not steady or not np.array_equal(np.ravel_multi_index(np.ix_(*axes), shape).reshape(-1), index):
            return None
        found.append((tuple(int(a[0]) for a in axes), tuple(steps), tuple(len(a) for a in axes)))
    return found
