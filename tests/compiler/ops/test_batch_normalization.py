"""BatchNormalization: into a convolution, into a Gemm, and on its own as a depthwise convolution."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph


def batch_norm(g, x, channels, **attributes):
    shape = (channels,)
    values = [
        g.rng.uniform(0.5, 1.5, shape),
        g.rng.standard_normal(shape),
        g.rng.standard_normal(shape),
        g.rng.uniform(0.5, 1.5, shape),
    ]
    return g.node(
        "BatchNormalization", [x, *(g.constant(v.astype(np.float32)) for v in values)], channels, **attributes
    )


def test_behind_a_convolution():
    outcome = check_both(image_graph(lambda g, x: g.node("Relu", [batch_norm(g, g.conv(x, 24, 3, relu=False), 24)])))
    assert outcome.packets.count("Conv") == 2


def test_behind_a_gemm():
    g = GraphBuilder("gemm")
    check_both(g.model(batch_norm(g, g.gemm(g.input("x", (1, 30)), 30, 20, relu=False), 20)))


def test_on_its_own():
    check_both(image_graph(lambda g, x: batch_norm(g, g.node("MaxPool", [x], kernel_shape=[2, 2]), 20, epsilon=0.1)))


@pytest.mark.parametrize("shape", [(1, 20), (6, 20), (3, 20, 5), (2, 20, 3, 4)], ids=str)
def test_of_what_is_no_image(shape):
    g = GraphBuilder("no_image")
    check_both(g.model(batch_norm(g, g.input("x", shape), 20)))
