"""Comparisons, Not, And, Or and Where: piecewise functions of one tensor are one table."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused


def scalar(g, value):
    return g.constant(np.float32(value))


def where(g, condition, *values):
    return g.node("Where", [condition, *(scalar(g, v) if isinstance(v, float) else v for v in values)], 5)


FUNCTIONS = {
    "Softplus as torch writes it": lambda g, x: where(
        g,
        g.node("Greater", [x, scalar(g, 0.8)], 5),
        x,
        g.node("Log", [g.node("Add", [g.node("Exp", [x], 5), scalar(g, 1.0)], 5)], 5),
    ),
    "threshold": lambda g, x: where(g, g.node("LessOrEqual", [x, scalar(g, 0.1)], 5), -0.3, x),
    "a band": lambda g, x: where(
        g,
        g.node(
            "And",
            [g.node("GreaterOrEqual", [x, scalar(g, -0.4)], 5), g.node("Less", [x, scalar(g, 0.6)], 5)],
            5,
        ),
        x,
        g.node("Mul", [x, x], 5),
    ),
    "outside a band": lambda g, x: where(
        g,
        g.node("Or", [g.node("Less", [x, scalar(g, -0.4)], 5), g.node("Greater", [x, scalar(g, 0.6)], 5)], 5),
        0.5,
        x,
    ),
    "not zero": lambda g, x: where(g, g.node("Not", [g.node("Equal", [x, scalar(g, 0.0)], 5)], 5), x, 0.7),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_tensor(name):
    def body(g, x):
        return g.conv(FUNCTIONS[name](g, g.conv(x, 5, relu=False)), 4)

    outcome = check_both(image_graph(body))
    assert not any(p in outcome.packets for p in ("Greater", "Log", "Mul"))


def test_a_choice_between_tensors_is_refused():
    def body(g, x):
        a, b = g.conv(x, 5), g.conv(x, 5)
        return where(g, g.node("Greater", [a, scalar(g, 0.0)], 5), b, a)

    refused(image_graph(body), "Where", "must be functions of one tensor, with no quantization in between")


def test_a_truth_value_is_no_output():
    g = GraphBuilder("truth")
    refused(
        g.model(g.node("Greater", [g.input("x", (1, 5)), scalar(g, 0.0)], 5)), "must end in a Where", "model output"
    )


def test_a_shared_condition():
    def body(g, x):
        x = g.conv(x, 5, relu=False)
        mask = g.node("Greater", [x, scalar(g, 0.0)], 5)
        first = where(g, mask, x, 0.3)
        second = where(g, mask, g.node("Mul", [x, scalar(g, -0.2)], 5), x)
        return g.conv(g.node("Add", [first, second], 5), 4)

    check_both(image_graph(body))


def test_operands_that_are_quantized_apart_are_refused():
    def body(g, x):
        x = g.conv(x, 5, relu=False)
        scaled = g.node("Mul", [x, scalar(g, -0.2)], 5)
        chosen = where(g, g.node("Greater", [x, scalar(g, 0.0)], 5), x, scaled)
        return g.node("Add", [g.conv(scaled, 4), g.conv(chosen, 4)], 4)

    refused(image_graph(body), "Where", "with no quantization in between", "mul2")
