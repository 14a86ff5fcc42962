"""QCDQ (Brevitas, PT2E with a narrow range): a Clip of integers between QuantizeLinear and DequantizeLinear.

Rounding is monotone, so clipping the float value at the dequantized bounds first gives the same integers; there
the clamp of the layer before takes it at no cost.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import constant_input, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["unclip"]


def unclip(model: ir.Model) -> None:
    """Move every Clip behind a QuantizeLinear in front of it."""
    for node in list(model.graph):
        quantizer = node.inputs[0].producer() if node.op_type == "Clip" and node.inputs[0] is not None else None
        if quantizer is not None and quantizer.op_type == "QuantizeLinear":
            _move(model.graph, quantizer, node)


def _move(graph: ir.Graph, quantizer: ir.Node, clip: ir.Node) -> None:
    scale, zero = constant_input(quantizer, 1), constant_input(quantizer, 2)
    if scale is None or scale.size != 1:
        return  # refused later, where the scale is read
    offset = 0 if zero is None else int(zero.reshape(-1)[0])
    new, shape = Nodes(graph, clip), shape_of(clip.outputs[0])
    reals: list[ir.Value | None] = [quantizer.inputs[0]]
    for bound in (constant_input(clip, i) for i in (1, 2)):
        real = (
            None if bound is None else np.float32(int(bound.reshape(-1)[0]) - offset) * np.float32(scale.reshape(-1)[0])
        )
        reals.append(None if real is None else new.constant(real))
    clipped = new.add("Clip", reals, shape, dtype=ir.DataType.FLOAT)
    attributes = {name: a.value for name, a in quantizer.attributes.items()}
    new.replace(new.add("QuantizeLinear", [clipped, *quantizer.inputs[1:]], shape, attributes))
    if not quantizer.outputs[0].consumers() and not quantizer.outputs[0].is_graph_output():
        graph.remove(quantizer, safe=True)
