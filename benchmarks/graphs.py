"""ONNX graphs of the published numbers and of the tests: standard shapes with seeded random weights.

Each builder returns an onnx.ModelProto (opset 17, IR 8). Weights are scaled so that activations keep their
size (He et al. 2015). Not here: trained models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "GRAPHS",
    "GraphBuilder",
    "carla_frame",
    "conv_128",
    "demo_policy",
    "gemm_4096",
    "inception_block",
    "mobilenet_block",
    "resnet18",
    "three_convs",
]

OPSET = 17


class GraphBuilder:
    """Collects nodes and seeded weights; every method returns the name of the value it makes."""

    def __init__(self, name: str, seed: int = 0) -> None:
        """An empty graph."""
        self.name, self.rng = name, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.channels: dict[str, int] = {}
        self.types: dict[str, int] = {}  # of values that are not float32

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """A float input."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.channels[name] = shape[min(len(shape) - 1, 1)] if shape else 1
        return name

    def constant(self, array: NDArray[Any], name: str = "") -> str:
        """An initializer."""
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def node(self, op: str, inputs: list[str], channels: int | None = None, **attributes: Any) -> str:
        """Any node with one output; `channels` where they differ from the first input's."""
        out = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        if op in ("ArgMax", "ArgMin", "Cast"):
            self.types[out] = attributes.get("to", TensorProto.INT64)
        elif op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
            self.types[out] = TensorProto.BOOL
        self.channels[out] = self.channels.get(inputs[0], 0) if channels is None else channels
        return out

    def weight(self, *shape: int) -> NDArray[np.float32]:
        """He-scaled random weights; the fan-in is the product of all axes but the first."""
        fan = float(np.prod(shape[1:]))
        return (self.rng.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)

    def conv(
        self,
        x: str,
        out: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        group: int = 1,
        relu: bool = True,
        **attributes: Any,
    ) -> str:
        """Conv with "same" padding unless `pads` is given, and Relu."""
        w = self.constant(self.weight(out, self.channels[x] // group, kernel, kernel))
        b = self.constant((self.rng.standard_normal(out) * 0.1).astype(np.float32))
        attributes.setdefault("pads", [kernel // 2] * 4)
        y = self.node("Conv", [x, w, b], out, strides=[stride, stride], group=group, **attributes)
        return self.node("Relu", [y]) if relu else y

    def gemm(self, x: str, k: int, n: int, *, relu: bool = True) -> str:
        """Gemm with transB, as PyTorch exports it, and Relu."""
        w = self.constant(self.weight(n, k))
        b = self.constant((self.rng.standard_normal(n) * 0.1).astype(np.float32))
        y = self.node("Gemm", [x, w, b], n, transB=1)
        return self.node("Relu", [y]) if relu else y

    def model(self, *outputs: str, opset: int = OPSET) -> onnx.ModelProto:
        """The checked model."""
        infos = [helper.make_tensor_value_info(o, self.types.get(o, TensorProto.FLOAT), None) for o in outputs]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, infos, self.constants)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        proto = onnx.shape_inference.infer_shapes(proto)
        onnx.checker.check_model(proto)
        return proto


def conv_128() -> onnx.ModelProto:
    """One convolution 128x128x64 -> 64, 3x3."""
    g = GraphBuilder("conv_128")
    return g.model(g.conv(g.input("x", (1, 64, 128, 128)), 64, relu=False))


def three_convs() -> onnx.ModelProto:
    """Three convolutions of stride 2: 64x64x16 -> 32, 32x32x32 -> 64, 16x16x64 -> 128."""
    g = GraphBuilder("three_convs")
    x = g.input("x", (1, 16, 64, 64))
    for out in (32, 64, 128):
        x = g.conv(x, out, stride=2)
    return g.model(x)


def gemm_4096() -> onnx.ModelProto:
    """1 x 4096 by 4096 x 512."""
    g = GraphBuilder("gemm_4096")
    return g.model(g.gemm(g.input("x", (1, 4096)), 4096, 512, relu=False))


def carla_frame() -> onnx.ModelProto:
    """The frame network of a driving policy: eight convolutions of stride 2 on 256x256x3, then four Gemms."""
    g = GraphBuilder("carla_frame")
    x = g.input("image", (1, 3, 256, 256))
    for out in (32, 64, 128, 256, 512, 512, 512, 1024):
        x = g.conv(x, out, stride=2)
    x = g.node("Flatten", [x], 1024)
    for k, n in ((1024, 512), (512, 256), (256, 256)):
        x = g.gemm(x, k, n)
    return g.model(g.gemm(x, 256, 2, relu=False))


def demo_policy() -> onnx.ModelProto:
    """A small policy: image stack, mission words and previous action in, seven action scores out."""
    g = GraphBuilder("demo_policy")
    x = g.input("image", (1, 12, 56, 56))
    for out in (32, 64, 128):
        x = g.conv(x, out, stride=2)
    x = g.node("Flatten", [x], 6272)
    mission = g.gemm(g.input("mission", (1, 64)), 64, 32)
    action = g.gemm(g.input("previous_action", (1, 7)), 7, 16)
    joined = g.node("Concat", [x, mission, action], 6320, axis=1)
    hidden = g.gemm(joined, 6320, 256)
    return g.model(g.gemm(hidden, 256, 7, relu=False))


def resnet18(size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """ResNet-18 (He et al. 2016) with batch norms already folded."""
    g = GraphBuilder("resnet18")
    x = g.conv(g.input("image", (1, 3, size, size)), 64, 7, 2)
    x = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for out, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for stride in (first, 1):
            y = g.conv(g.conv(x, out, 3, stride), out, 3, relu=False)
            skip = x if stride == 1 and g.channels[x] == out else g.conv(x, out, 1, stride, relu=False, pads=[0] * 4)
            x = g.node("Relu", [g.node("Add", [y, skip])])
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])])
    return g.model(g.gemm(x, 512, classes, relu=False))


def mobilenet_block() -> onnx.ModelProto:
    """An inverted residual block (Sandler et al. 2018): 1x1 expand, depthwise 3x3, 1x1 project, add."""
    g = GraphBuilder("mobilenet_block")
    x = g.conv(g.input("x", (1, 24, 28, 28)), 24, 1)
    six = g.constant(np.float32(6)), g.constant(np.float32(0))
    y = g.node("Clip", [g.conv(x, 144, 1, relu=False), six[1], six[0]])
    y = g.node("Clip", [g.conv(y, 144, 3, group=144, relu=False), six[1], six[0]])
    return g.model(g.node("Add", [x, g.conv(y, 24, 1, relu=False)]))


def inception_block() -> onnx.ModelProto:
    """Four branches joined by channels, none of them a multiple of 16 (Szegedy et al. 2015)."""
    g = GraphBuilder("inception_block")
    x = g.conv(g.input("x", (1, 20, 28, 28)), 40, 3)
    pooled = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    branches = [
        g.conv(x, 20, 1),
        g.conv(g.conv(x, 24, 1), 36, 3),
        g.conv(g.conv(x, 8, 1), 12, 5),
        g.conv(pooled, 10, 1),
    ]
    joined = g.node("Concat", branches, 78, axis=1)
    return g.model(g.conv(joined, 32, 3))


GRAPHS = {
    "conv_128": conv_128,
    "three_convs": three_convs,
    "gemm_4096": gemm_4096,
    "carla_frame": carla_frame,
    "demo_policy": demo_policy,
    "resnet18": resnet18,
    "mobilenet_block": mobilenet_block,
    "inception_block": inception_block,
}
