"""Relu and Clip: the device clamps where it makes a value, so that they cost nothing behind a layer."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import constant_input

__all__ = ["clamp_bounds", "clamped_result"]


def clamp_bounds(node: ir.Node) -> tuple[float, float] | None:
    """The interval of a Relu or of a Clip with constant bounds, else None."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return None
    bounds = []
    for index, free in ((1, -np.inf), (2, np.inf)):
        if index < len(node.inputs) and node.inputs[index] is not None:
            found = constant_input(node, index)
            if found is None:
                return None
            free = float(found.reshape(-1)[0])
        bounds.append(free)
    return bounds[0], bounds[1]


def clamped_result(value: ir.Value) -> ir.Value:
    """A result, or that of the Relu or Clip that alone reads it: the device clamps where it makes the value."""
    readers = value.consumers()
    if len(readers) != 1 or value.is_graph_output() or clamp_bounds(readers[0]) is None:
        return value
    return clamped_result(readers[0].outputs[0])
