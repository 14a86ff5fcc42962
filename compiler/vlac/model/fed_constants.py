"""Large constants of a model as inputs of a session of ONNX Runtime, which reads numpy arrays where they lie: a model
of 500 MB needs neither a second copy nor a protobuf of its own to be run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute

__all__ = ["feed_constants"]

_MICROSOFT = "com.microsoft"
_SMALL = 1024  # elements: shapes, axes and the like stay constants, as some operators demand


def feed_constants(model: ir.Model) -> dict[str, NDArray[Any]]:
    """Make the large constants inputs; what to feed them with, by name."""
    graph, fed = model.graph, {}
    for name, value in list(graph.initializers.items()):
        if value.const_value is None or value.const_value.size <= _SMALL:
            continue
        array = value.const_value.numpy()
        if array.dtype.isbuiltin != 1 or array.dtype.kind == "O":  # bfloat16, int4, text: no session is fed with them
            continue
        del graph.initializers[name]
        value.const_value = None
        graph.inputs.append(value)
        fed[name] = _as_it_lies(model, value, array)
    return fed


def _as_it_lies(model: ir.Model, weight: ir.Value, array: NDArray[Any]) -> NDArray[Any]:
    """A weight in the order of memory, and products that read it so: of a transposed view, the interface of ONNX
    Runtime makes a copy in every run, element by element.
    """
    turned = array.ndim == 2 and array.T.flags.c_contiguous and not array.flags.c_contiguous
    if not turned or weight.is_graph_output() or not all(_reads_either(*use) for use in weight.uses()):
        return np.ascontiguousarray(array)
    for node, _ in weight.uses():
        before = attribute(node, "transB", 0)
        if node.op_type == "MatMul":
            node.op_type, node.domain = "FusedMatMul", _MICROSOFT
            model.opset_imports.setdefault(_MICROSOFT, 1)
        node.attributes["transB"] = ir.AttrInt64("transB", 1 - before)
    weight.shape = ir.Shape(array.T.shape)
    return array.T


def _reads_either(node: ir.Node, index: int) -> bool:
    """Whether a product can read an operand transposed as well."""
    rows = node.inputs[0]
    return index == 1 and (
        node.op_type == "Gemm"
        or (node.op_type == "MatMul" and rows is not None and rows.shape is not None and len(rows.shape) > 1)
    )
