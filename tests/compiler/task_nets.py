"""Networks for tasks, and what a task means in real numbers: the model with a product by 0 behind its convolutions.

The masks of the product come from the test, never from what was compiled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from graphs import GraphBuilder
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["branches", "masked_model", "run_onnx", "zeroed_model"]

Masks = Mapping[str, list[int]]


def branches() -> onnx.ModelProto:
    """Convolutions whose dead blocks go through a pool, a sum, a Concat, a depthwise convolution and a Gemm."""
    g = GraphBuilder("branches", seed=3)
    x = g.conv(g.input("x", (1, 3, 24, 24)), 32, stride=2)  # conv0: folded to channels
    pooled = g.node("MaxPool", [x], 32, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    left = g.conv(pooled, 32)
    added = g.node("Add", [g.conv(left, 32, relu=False), pooled], 32)
    right = g.conv(pooled, 48, 1)
    joined = g.node("Concat", [added, right], 80, axis=1)
    deep = g.conv(joined, 80, group=80)
    y = g.conv(joined, 40, 3, 2)
    z = g.node("GlobalAveragePool", [g.conv(y, 32)], 32)
    flat = g.node("Flatten", [z], 32)
    wide = g.node("Flatten", [g.node("GlobalAveragePool", [deep], 80)], 80)
    return g.model(g.gemm(flat, 32, 5, relu=False), g.gemm(wide, 80, 3, relu=False), joined)


def masked_model(model: onnx.ModelProto, masks: Masks, block: int) -> onnx.ModelProto:
    """A model with the dead channels of its convolutions multiplied by 0, in front of what follows."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    nodes = []
    for node in out.graph.node:
        nodes.append(node)
        if node.name not in masks:
            continue
        keep = _keep(masks[node.name], block, _channels(model, node))
        out.graph.initializer.append(numpy_helper.from_array(keep.reshape(1, -1, 1, 1), f"{node.name}.keep"))
        raw = f"{node.output[0]}.raw"
        nodes.append(helper.make_node("Mul", [raw, f"{node.name}.keep"], [node.output[0]], name=f"{node.name}.mul"))
        node.output[0] = raw
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    return out


def zeroed_model(qdq: onnx.ModelProto, masks: Masks, block: int) -> onnx.ModelProto:
    """A quantized model whose dead channels have weights and a bias of 0."""
    out = onnx.ModelProto()
    out.CopyFrom(qdq)
    made = {v: n for n in out.graph.node for v in n.output}
    constants = {t.name: t for t in out.graph.initializer}
    for node in [n for n in out.graph.node if n.name in masks]:
        for value in node.input[1:]:
            tensor = constants[made[value].input[0]]
            array = numpy_helper.to_array(tensor).copy()
            array[_keep(masks[node.name], block, len(array)) == 0] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return out


def run_onnx(model: onnx.ModelProto, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """ONNX Runtime, node by node as the model has it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _keep(blocks: list[int], block: int, channels: int) -> NDArray[np.float32]:
    keep = np.zeros(channels, np.float32)
    for b in blocks:
        keep[b * block : (b + 1) * block] = 1
    return keep


def _channels(model: onnx.ModelProto, node: onnx.NodeProto) -> int:
    made = {v: n for n in model.graph.node for v in n.output}
    constants = {t.name: t.dims[0] for t in model.graph.initializer if t.dims}
    name = node.input[1]
    return int(constants[name] if name in constants else constants[made[name].input[0]])
