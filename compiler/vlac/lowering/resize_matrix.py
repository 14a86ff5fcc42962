"""Resize of a small tensor in any mode: the product of the flattened tensor with the matrix that Resize is.

ONNX Runtime resizes one unit vector after another, which gives the matrix (and what a crop outside the image adds).
A row is exact where small whole numbers have its ratios; else its weights are rounded to 8 bits like any weights.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vla_isa.integer import INT8
from vla_isa.numerics import requantize_scale
from vlac.device.gemm import GemmOp
from vlac.ir.records import Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.weights import multipliers, prove_no_wrap
from vlac.model.labels import node_label
from vlac.model.onnx_runtime import OnnxSession
from vlac.model.reading import constant_input, shape_of

__all__ = ["LARGEST", "is_small", "lower_matrix"]

F32 = NDArray[np.float32]
LARGEST = 1024


def is_small(node: ir.Node) -> bool:
    """Whether the matrix has at most LARGEST rows and columns."""
    return max(math.prod(shape_of(v)) for v in (node.inputs[0], node.outputs[0])) <= LARGEST


def _matrix(node: ir.Node, opset: int) -> tuple[F32, F32]:
    """float32 [outputs, inputs] and what is added, [outputs]."""
    shape = shape_of(node.inputs[0])
    proto = ir.to_proto(node)
    names = ["x", *("" if v is None else f"i{i}" for i, v in enumerate(node.inputs) if i)]
    del proto.input[:], proto.output[:]
    proto.input.extend(names)
    proto.output.append("y")
    constants = []
    for i in range(1, len(names)):
        array = constant_input(node, i)
        if array is not None and names[i]:
            constants.append(numpy_helper.from_array(array, names[i]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([proto], "resize", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = OnnxSession(model, optimized=True)

    def resized(values: F32) -> F32:
        return np.asarray(session.run(None, {"x": values.reshape(shape)})[0], np.float32).reshape(-1)

    size = math.prod(shape)
    added = resized(np.zeros(size, np.float32))
    columns = [resized(unit) - added for unit in np.eye(size, dtype=np.float32)]
    return np.stack(columns, axis=1), added


def _rounded(matrix: F32) -> tuple[NDArray[np.int8], F32]:
    """int8 weights and the scale of each row: 1 / d for the smallest d that makes it whole, else max / 127."""
    scales = np.where(matrix.any(axis=1), np.abs(matrix).max(axis=1) / INT8.hi, 1 / INT8.hi)
    done = np.zeros(len(matrix), np.bool_)
    for d in range(1, INT8.hi + 1):
        whole = np.abs(matrix * d - np.rint(matrix * d)).max(axis=1) < 1e-4
        fits = whole & (np.abs(matrix * d).max(axis=1) < INT8.hi + 0.5) & ~done
        scales[fits], done = 1 / d, done | fits
    weights = INT8.cast(np.clip(np.rint(matrix / scales[:, None]), -INT8.hi, INT8.hi))
    return weights, scales.astype(np.float32)


def lower_matrix(low: LoweringContext, node: ir.Node) -> None:
    """Flatten, multiply, and read the product in the output's shape."""
    x, out = low.operand(node, 0), low.result(node)
    where = f"Resize '{node_label(node)}'"
    matrix, added = _matrix(node, low.opset)
    weights, scales = _rounded(matrix)
    mult, shift = multipliers(requantize_scale(x.scale, scales, out.tensor.scale), where)
    bias = np.rint(added.astype(np.float64) / (np.float64(x.scale) * scales)).astype(np.int64)
    prove_no_wrap(weights, bias, where)
    bias -= x.zero_point * weights.sum(axis=1, dtype=np.int64)
    size = len(weights)
    t = out.tensor
    made = t.like(f"{t.name}:flat", shape=(1, size))
    source = low.moved(node, x, (1, weights.shape[1]), f"{x.name}:flat")
    requant = Requant(bias, mult, shift, t.zero_point, out.lo, out.hi)
    low.graph.insert(GemmOp(out.label, "Resize", [source], made, weights, requant))
    low.layout(node, [made], np.arange(size), t)
