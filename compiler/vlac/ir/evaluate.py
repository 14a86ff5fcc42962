"""What a device graph computes, by the meaning of its operations: the reference for its program on any backend.

Not here: instructions, packets and memory, none of which are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor

__all__ = ["evaluate", "output_values"]

I64 = NDArray[np.int64]


def evaluate(graph: Graph, inputs: Mapping[Tensor, NDArray[Any]]) -> dict[Tensor, I64]:
    """Every tensor's stored integers, int64 [h, w, c], channels in logical order.

    Args:
        graph: a device graph after any pass.
        inputs: stored integers of the ONNX shapes, by the tensors of `graph.inputs`.
    """
    values: dict[Tensor, I64] = {}
    for tensor in graph.inputs:
        q = inputs[tensor].astype(np.int64)
        if tensor in graph.input_layouts:
            _, view, order = graph.input_layouts[tensor]
            values[tensor] = q.reshape(view).transpose(order).reshape(tensor.h, tensor.w, tensor.c)
        else:
            values[tensor] = tensor.to_hwc(q)
    for op in graph.ops:
        for t in op.inputs:
            if t.constant is not None:
                values[t] = t.to_hwc(t.constant.astype(np.int64))
        values[op.output] = op.meaning([values[t] for t in op.inputs])
    return values


def output_values(graph: Graph, values: Mapping[Tensor, I64]) -> dict[str, NDArray[Any]]:
    """The device's outputs by name, of the shapes that the host sees, from what `evaluate` returns."""
    found = {}
    for out in graph.outputs:
        flat = out.tensor.from_hwc(values[out.tensor]).reshape(-1)
        flat = flat if out.moved is None else flat[out.moved]
        found[out.name] = out.tensor.stored.cast(flat).reshape(out.shape)
    return found
