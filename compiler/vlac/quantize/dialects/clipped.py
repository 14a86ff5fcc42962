"""QCDQ (Brevitas, PT2E with a narrow range): a Clip of integers between QuantizeLinear and DequantizeLinear.

Rounding is monotone, so clipping the float value at the dequantized bounds first gives the same integers; there
the clamp of the layer before takes it at no cost.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.ops.spec import constant_input

__all__ = ["unclip"]


def unclip(model: ir.Model) -> None:
    """Move every Clip behind a QuantizeLinear in front of it."""
    for node in list(model.graph):
        quantizer = node.inputs[0].producer() if node.op_type == "Clip" and node.inputs[0] is not None else None
        if quantizer is not None and quantizer.op_type == "QuantizeLinear":
            _move(model.graph, quantizer, node)


def _move(graph: ir.Graph, quantizer: ir.Node, clip: ir.Node) -> None:
    scale, zero = constant_input(quantizer, 1), constant_input(quantizer, 2)
    bounds = [constant_input(clip, i) for i in (1, 2)]
    if scale is None or scale.size != 1:
        return  # refused later, where the scale is read
    offset = 0 if zero is None else int(zero.reshape(-1)[0])
    name = clip.name or clip.outputs[0].name or "clip"
    reals: list[ir.Value | None] = [quantizer.inputs[0]]
    for bound, part in zip(bounds, ("low", "high"), strict=True):
        if bound is None:
            reals.append(None)
            continue
        real = np.float32(int(bound.reshape(-1)[0]) - offset) * np.float32(scale.reshape(-1)[0])
        value = ir.Value(name=f"{name}.{part}", const_value=ir.tensor(np.float32(real), name=f"{name}.{part}"))
        value.shape, value.dtype = ir.Shape([]), ir.DataType.FLOAT
        graph.initializers[f"{name}.{part}"] = value
        reals.append(value)
    source = quantizer.inputs[0]
    assert source is not None
    first = ir.node("Clip", reals, name=f"{name}.real")
    first.outputs[0].name, first.outputs[0].shape = f"{name}.real", source.shape
    first.outputs[0].dtype = ir.DataType.FLOAT
    second = ir.node("QuantizeLinear", [first.outputs[0], *quantizer.inputs[1:]], quantizer.attributes, name=name)
    out, old = second.outputs[0], clip.outputs[0]
    out.name, out.shape, out.dtype = f"{name}.quantized", old.shape, old.dtype
    graph.insert_before(clip, [first, second])
    old.replace_all_uses_with(out, replace_graph_outputs=True)
    graph.remove(clip, safe=True)
    if not quantizer.outputs[0].consumers() and not quantizer.outputs[0].is_graph_output():
        graph.remove(quantizer, safe=True)
