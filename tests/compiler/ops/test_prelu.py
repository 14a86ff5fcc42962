"""PRelu: scalar slopes, slopes per channel of any sign, whole tensors, computed ones."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph

SLOPES = {
    "in 0..1": np.linspace(0, 1, 20),
    "over 1": np.linspace(1.5, 3, 20),
    "mixed": np.linspace(-2, 2, 20),
}


def test_scalar_slope_is_the_table_of_the_convolution():
    def body(g, x):
        return g.node("PRelu", [g.conv(x, 20, 3, relu=False), g.constant(np.full((1, 1, 1), 0.25, np.float32))])

    assert "PRelu" not in check_both(image_graph(body)).packets


@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_slope_per_channel(slopes):
    def body(g, x):
        slope = g.constant(slopes.astype(np.float32).reshape(20, 1, 1))
        return g.node("PRelu", [g.conv(x, 20, 3, relu=False), slope])

    packets = check_both(image_graph(body)).packets
    assert packets.count("PRelu") % (2 if slopes.min() >= 0 and slopes.max() <= 1 else 4) == 0


@pytest.mark.parametrize("shape", [(1, 20, 11, 13), (11, 13)], ids=str)
def test_slope_of_another_shape(shape):
    def body(g, x):
        return g.node("PRelu", [x, g.constant(g.rng.standard_normal(shape).astype(np.float32))])

    check_both(image_graph(body))


@pytest.mark.parametrize("shape", [(1, 20, 11, 13), (20, 1, 1)], ids=str)
def test_computed_slope(shape):
    check_both(image_graph(lambda g, x: g.node("PRelu", [x, g.input("slope", shape)])))


def test_of_vectors():
    g = GraphBuilder("vector")
    x = g.gemm(g.input("x", (1, 30)), 30, 24, relu=False)
    check_both(g.model(g.node("PRelu", [x, g.constant(np.linspace(0, 0.5, 24, dtype=np.float32))])))
