"""Relu, Clip, LeakyRelu, Sigmoid and Tanh: behind a convolution, a Gemm, a pool, and on their own."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph

FUNCTIONS = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.2},
    "Sigmoid": {},
    "Tanh": {},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_behind_a_convolution_is_free(name):
    outcome = check_both(image_graph(lambda g, x: g.node(name, [g.conv(x, 24, 3, relu=False)], **FUNCTIONS[name])))
    assert name not in outcome.packets


@pytest.mark.parametrize("name", FUNCTIONS)
def test_behind_a_gemm(name):
    g = GraphBuilder("gemm")
    check_both(g.model(g.node(name, [g.gemm(g.input("x", (1, 40)), 40, 30, relu=False)], **FUNCTIONS[name])))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_a_tensor_that_others_read(name):
    def body(g, x):
        return g.node("Concat", [g.node(name, [x], **FUNCTIONS[name]), x], 40, axis=1)

    check_both(image_graph(body))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_a_model_input(name):
    g = GraphBuilder("input")
    check_both(g.model(g.conv(g.node(name, [g.input("x", (1, 10, 7, 5))], **FUNCTIONS[name]), 8)))


@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-0.3, 0.4), (None, 0.5), (-0.5, None)], ids=str)
def test_clip(bounds):
    def body(g, x):
        inputs = ["" if b is None else g.constant(np.float32(b)) for b in bounds]
        return g.node("Clip", [g.conv(x, 24, 3, relu=False), *inputs])

    check_both(image_graph(body))


def test_several_functions_in_a_row():
    check_both(image_graph(lambda g, x: g.node("Tanh", [g.node("Sigmoid", [g.node("LeakyRelu", [x])])])))
