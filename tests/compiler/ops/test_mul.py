"""Mul by constants and by one value per channel (squeeze and excite)."""

import numpy as np
import pytest
from one_op import check_both, image_graph


@pytest.mark.parametrize("shape", [(), (20, 1, 1), (1, 20, 11, 13)], ids=str)
def test_constants(shape):
    def body(g, x):
        y = g.node("MaxPool", [x], kernel_shape=[1, 1])
        return g.node("Mul", [y, g.constant(g.rng.standard_normal(shape).astype(np.float32))])

    check_both(image_graph(body))


def test_constant_behind_a_convolution_is_folded():
    def body(g, x):
        return g.node("Mul", [g.conv(x, 20, 3, relu=False), g.constant(np.full((1, 20, 1, 1), 0.5, np.float32))])

    check_both(image_graph(body))


def test_squeeze_and_excite():
    def body(g, x):
        gate = g.node("Sigmoid", [g.conv(g.node("GlobalAveragePool", [x]), 20, 1, relu=False)])
        return g.node("Mul", [x, gate])

    check_both(image_graph(body))


@pytest.mark.parametrize("order", [("Add", "Mul"), ("Mul", "Add", "Mul"), ("Sub", "Div", "Add"), ("Add", "Mul", "Sub")])
def test_steps_of_a_channel_behind_a_convolution(order):
    """What is added before a factor is multiplied by it, in whatever order they come."""

    def body(g, x):
        y = g.conv(x, 20, 3, relu=False)
        for step in order:
            y = g.node(step, [y, g.constant(g.rng.uniform(0.5, 3, (1, 20, 1, 1)).astype(np.float32))])
        return y

    check_both(image_graph(body))
