"""Add: fused into a convolution, stand-alone, with constants, with rows."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph


def test_residual_is_fused_into_the_convolution():
    def body(g, x):
        return g.node("Relu", [g.node("Add", [g.conv(x, 20, 3, relu=False), x])])

    outcome = check_both(image_graph(body))
    assert "Add" not in outcome.packets


def test_residual_of_two_convolutions():
    check_both(image_graph(lambda g, x: g.node("Add", [g.conv(x, 24, 1, relu=False), g.conv(x, 24, 3, relu=False)])))


def test_stand_alone_add_when_both_sides_are_read_again():
    def body(g, x):
        y = g.conv(x, 20, 3)
        return g.conv(g.node("Concat", [g.node("Add", [x, y]), x, y], 60, axis=1), 4, 1)

    assert "Add" in check_both(image_graph(body)).packets


def test_a_tensor_added_to_itself():
    check_both(image_graph(lambda g, x: g.node("Add", [x, x])))


@pytest.mark.parametrize("shape", [(), (20, 1, 1), (1, 20, 1, 1), (1, 20, 11, 13), (1, 1, 11, 13), (13,)], ids=str)
def test_constants(shape):
    def body(g, x):
        y = g.node("MaxPool", [x], kernel_shape=[1, 1])  # so that nothing folds the constant into the convolution
        return g.node("Add", [y, g.constant(g.rng.standard_normal(shape).astype(np.float32))])

    check_both(image_graph(body))


def test_vectors():
    g = GraphBuilder("vectors")
    a, b = (g.gemm(g.input(n, (1, 40)), 40, 50, relu=False) for n in "ab")
    check_both(g.model(g.node("Add", [a, b])))


def test_operands_in_different_channel_order():
    """A concat has gaps between its parts, a graph input has none: one of them is reordered."""
    g = GraphBuilder("order")
    x, other = g.input("x", (1, 20, 9, 9)), g.input("other", (1, 40, 9, 9))
    joined = g.node("Concat", [g.conv(x, 20, 1), g.conv(x, 20, 3)], 40, axis=1)
    check_both(g.model(g.node("Add", [joined, other])))
