"""Heads of detectors: scales of pixels in one row and what follows on the device, beside ONNX Runtime on the source."""

import numpy as np
import pytest
from graphs import GraphBuilder
from qdq_graphs import QdqBuilder
from source_parity import check_integers, check_real


def ints(g, *values):
    return g.constant(np.array(values, np.int64))


def scales(g, sizes, channels, *, extra=()):
    """One convolution per scale, as [1, channels, pixels] in a row."""
    rows = []
    for i, size in enumerate(sizes):
        y = g.conv(g.input(f"p{i}", (1, 8, size, size)), channels, 1, relu=False)
        rows.append(g.node("Reshape", [y, ints(g, *(extra or (1, channels)), -1)], channels))
    return rows


def yolo8(sizes):
    """One Concat, Split into boxes and classes, Sigmoid of classes."""
    g = GraphBuilder("yolo8", 1)
    y = g.node("Concat", scales(g, sizes, 12), 12, axis=2) if len(sizes) > 1 else scales(g, sizes, 12)[0]
    boxes = g.node("Slice", [y, ints(g, 0), ints(g, 4), ints(g, 1)], 4)
    classes = g.node("Sigmoid", [g.node("Slice", [y, ints(g, 4), ints(g, 12), ints(g, -2)], 8)], 8)
    boxes = g.node("Mul", [boxes, g.constant(np.linspace(1, 3, sum(s * s for s in sizes), dtype=np.float32))])
    return g.model(g.node("Transpose", [boxes], perm=[0, 2, 1]), classes)


def row(sizes):
    """Concat, Relu, Transpose, MatMul by class embeddings: pixels become rows of a matrix."""
    g = GraphBuilder("row", 2)
    y = g.node("Concat", scales(g, sizes, 12), 12, axis=-1)
    y = g.node("Transpose", [g.node("Relu", [y])], perm=[0, 2, 1])
    return g.model(g.node("MatMul", [y, g.constant(g.weight(12, 5))]))


def fcos(sizes):
    """A Reshape of each scale, a function and a transposition each, then Concat along rows."""
    g = GraphBuilder("fcos", 3)
    rows = [g.node("Transpose", [g.node("Relu", [r])], perm=[0, 2, 1]) for r in scales(g, sizes, 6)]
    return g.model(g.node("Mul", [g.node("Concat", rows, axis=1), g.constant(np.float32(2))]))


def ssd(sizes):
    """NHWC first, then boxes as rows."""
    g = GraphBuilder("ssd", 4)
    rows = []
    for i, size in enumerate(sizes):
        y = g.conv(g.input(f"p{i}", (1, 8, size, size)), 12, 1, relu=False)
        y = g.node("Transpose", [y], perm=[0, 2, 3, 1])
        rows.append(g.node("Reshape", [y, ints(g, 1, -1, 4)]))
    return g.model(g.node("Sigmoid", [g.node("Concat", rows, axis=1)]))


def yolo5(sizes):
    """Three anchors a pixel: [1, 3, 7, H, W] with the values of a box last, Sigmoid, and a grid that is added."""
    g = GraphBuilder("yolo5", 5)
    rows = []
    for i, size in enumerate(sizes):
        y = g.conv(g.input(f"p{i}", (1, 8, size, size)), 21, 1, relu=False)
        y = g.node("Transpose", [g.node("Reshape", [y, ints(g, 1, 3, 7, size, size)])], perm=[0, 1, 3, 4, 2])
        y = g.node("Add", [g.node("Sigmoid", [y]), g.constant(g.rng.random((1, 3, size, size, 7)).astype(np.float32))])
        rows.append(g.node("Reshape", [y, ints(g, 1, -1, 7)]))
    return g.model(g.node("Concat", rows, axis=1))


@pytest.mark.parametrize("head", [yolo8, row, fcos, ssd, yolo5])
@pytest.mark.parametrize("sizes", [(36,), (26, 13), (40, 20, 10)], ids=str)
def test_float(head, sizes):
    if head is row and len(sizes) == 1:
        sizes = (36, 5)
    check_real(head(sizes), 25)


@pytest.mark.parametrize("sizes", [(36,), (26, 13)], ids=str)
def test_quantized(sizes):
    """The scales are the user's: every integer is the source's."""
    g = QdqBuilder("quantized", 6)
    rows = []
    for i, size in enumerate(sizes):
        x = g.qdq(g.input(f"p{i}", (1, 8, size, size)), 0.03)
        y = g.qdq(g.node("Conv", [x, g.weights((12, 8, 1, 1))], 12), 0.1, 3)
        rows.append(g.qdq(g.node("Reshape", [y, ints(g, 1, 12, -1)]), 0.1, 3))
    y = g.qdq(g.node("Concat", rows, axis=2), 0.1, 3) if len(rows) > 1 else rows[0]
    y = g.qdq(g.node("Relu", [y]), 0.05, -128)
    y = g.qdq(g.node("Transpose", [y], perm=[0, 2, 1]), 0.05, -128)
    check_integers(g.model(g.qdq(g.node("MatMul", [y, g.weights((12, 5), axis=1)]), 0.2)), 0.2)


def test_points():
    """An image of points, as PointNet reads it: a row of pixels in front of convolutions over one axis."""
    g = GraphBuilder("points", 7)
    y = g.node("Reshape", [g.conv(g.input("x", (1, 8, 34, 34)), 6), ints(g, 1, 6, 1156)], 6)
    y = g.node("Conv", [y, g.constant(g.weight(7, 6, 1))], 7)
    check_real(g.model(g.node("GlobalMaxPool", [g.node("Relu", [y])])), 25)
