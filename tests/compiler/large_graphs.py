"""Graphs that exceed a memory of `tiny`: images and weights cut in bands and chunks, long heads, many tensors."""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder


def wide_rows() -> onnx.ModelProto:
    """Rings without room for the next row."""
    g = GraphBuilder("wide_rows")
    x = g.conv(g.input("x", (1, 3, 8, 4000)), 8)
    return g.model(g.conv(g.conv(x, 16, 3, 2), 8, 1))


def strided() -> onnx.ModelProto:
    g = GraphBuilder("strided")
    x = g.input("x", (1, 3, 192, 160))
    for out in (16, 32, 64):
        x = g.conv(x, out, stride=2)
    return g.model(g.conv(x, 24, 5))


def residual() -> onnx.ModelProto:
    """The skip connection is streamed beside both convolutions, with halos of different height."""
    g = GraphBuilder("residual")
    x = g.conv(g.input("x", (1, 8, 60, 60)), 48)
    x = g.node("Relu", [g.node("Add", [x, g.conv(g.conv(x, 48), 48, relu=False)])])
    x = g.node("Add", [x, g.conv(x, 48, 5, relu=False)])
    return g.model(g.conv(x, 8, 3, 2))


def joined() -> onnx.ModelProto:
    """Concats of streamed parts, one inside the other, one of them an output."""
    g = GraphBuilder("joined")
    x = g.conv(g.input("x", (1, 20, 56, 56)), 20)
    pooled = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    y = g.node("Concat", [g.conv(x, 12, 1), pooled, x], 52, axis=1)
    z = g.node("Concat", [y, g.conv(y, 16)], 68, axis=1)
    return g.model(g.conv(z, 24, 3, 2), y)


def joined_inputs() -> onnx.ModelProto:
    g = GraphBuilder("joined_inputs")
    x, y = g.input("x", (1, 16, 80, 80)), g.input("y", (1, 20, 80, 80))
    return g.model(g.conv(g.node("Concat", [x, y], 36, axis=1), 8, 3))


def pools() -> onnx.ModelProto:
    g = GraphBuilder("pools")
    x = g.conv(g.input("x", (1, 8, 100, 100)), 24)
    x = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = g.node("AveragePool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=1)
    x = g.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    return g.model(g.node("Flatten", [g.node("GlobalAveragePool", [g.conv(x, 16)])]))


def pools_of_everything() -> onnx.ModelProto:
    """Windows as high as the map, which is larger than the scratchpad: cut by channel blocks."""
    g = GraphBuilder("pools_of_everything")
    x = g.conv(g.input("x", (1, 8, 64, 64)), 60, 1)
    most = g.node("MaxPool", [x], kernel_shape=[20, 64], strides=[5, 1])
    means = [g.node("GlobalAveragePool", [x]), g.node("AveragePool", [x], kernel_shape=[64, 64])]
    vector = g.node("Flatten", [g.node("Concat", means, 120, axis=1)], 120)
    return g.model(most, g.gemm(vector, 120, 5))


def padded() -> onnx.ModelProto:
    g = GraphBuilder("padded")
    x = g.conv(g.input("x", (1, 8, 80, 80)), 24, pads=[5, 6, 2, 1], dilations=[2, 2])
    amounts, value = g.constant(np.array([0, 0, 3, 2, 0, 0, 1, 4], np.int64)), g.constant(np.float32(0.5))
    x = g.node("Pad", [x, amounts, value])
    return g.model(g.node("Pad", [g.conv(x, 12, 3, 2, pads=[2] * 4), amounts, value]))


def elementwise() -> onnx.ModelProto:
    """An addition behind a convolution whose result has other readers."""
    g = GraphBuilder("elementwise")
    a = g.conv(g.input("x", (1, 8, 80, 80)), 24)
    b = g.conv(a, 24, relu=False)
    doubled = g.node("Mul", [g.node("Sigmoid", [b]), g.constant(np.float32(2))])
    return g.model(g.node("Add", [g.node("Add", [a, b]), doubled]), g.conv(b, 8))


def depthwise() -> onnx.ModelProto:
    g = GraphBuilder("depthwise")
    x = g.conv(g.conv(g.input("x", (1, 8, 80, 80)), 48, 1), 48, 3, 2, group=48)
    return g.model(g.conv(x, 96, 1))


def heavy_weights() -> onnx.ModelProto:
    """Each layer's weights are several times the weight scratchpad."""
    g = GraphBuilder("heavy_weights")
    return g.model(g.conv(g.conv(g.input("x", (1, 64, 7, 7)), 256), 128))


def wide_gemm() -> onnx.ModelProto:
    """More columns than the parameter memory has records."""
    g = GraphBuilder("wide_gemm")
    return g.model(g.gemm(g.gemm(g.input("x", (1, 20)), 20, 10_000), 10_000, 6, relu=False))


def many_tensors() -> onnx.ModelProto:
    """Twenty vectors and five images in, twenty-seven results out."""
    g = GraphBuilder("many_tensors")
    vectors = [g.gemm(g.input(f"v{i}", (1, 5 + i)), 5 + i, 7) for i in range(20)]
    images = [g.conv(g.input(f"i{i}", (1, 3 + i, 20, 20)), 9, 3) for i in range(5)]
    head = g.gemm(g.node("Concat", vectors, 140, axis=1), 140, 3, relu=False)
    return g.model(head, g.conv(g.node("Concat", images, 45, axis=1), 5, 1), *vectors, *images)


LARGE = {
    f.__name__: f
    for f in (
        wide_rows,
        strided,
        residual,
        joined,
        joined_inputs,
        pools,
        pools_of_everything,
        padded,
        elementwise,
        depthwise,
        heavy_weights,
        wide_gemm,
        many_tensors,
    )
}
