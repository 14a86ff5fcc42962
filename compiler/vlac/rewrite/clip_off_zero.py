"""A Clip to an interval without zero becomes Max and Min.

Quantizing the result would stand for a Clip (the quantizer removes it) only where the integers reach no further
than its bounds, and their range always holds zero.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.ops.quantized import clamp_bounds
from vlac.ops.spec import shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["split_clips"]


def split_clips(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    for node in list(model.graph):
        if node.op_type != "Clip" or node.domain not in ("", "ai.onnx"):
            continue
        x, bounds = node.inputs[0], clamp_bounds(node)
        if x is None or bounds is None or bounds[0] <= 0 <= bounds[1]:
            continue
        new = Nodes(model.graph, node)
        for op, value in zip(("Max", "Min"), bounds, strict=True):  # ONNX: where they cross, the upper one wins
            if np.isfinite(value):
                x = new.add(op, [x, new.constant(np.float32(value))], shape_of(node.outputs[0]))
        new.replace(x)
