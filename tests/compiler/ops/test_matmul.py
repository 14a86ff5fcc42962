"""MatMul with a constant right side, and with the bias add behind it."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, refused


@pytest.mark.parametrize("shape", [(1, 48), (6, 20), (1, 9, 24)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_shapes(shape, bias):
    g = GraphBuilder("matmul")
    y = g.node("MatMul", [g.input("x", shape), g.constant(g.weight(28, shape[-1]).T)], 28)
    if bias:
        y = g.node("Add", [y, g.constant(g.rng.standard_normal(28).astype(np.float32))])
    check_both(g.model(y))


def test_two_activations_are_refused():
    g = GraphBuilder("two")
    refused(
        g.model(g.node("MatMul", [g.input("a", (2, 8)), g.input("b", (8, 4))], 4)),
        "MatMul 'matmul0'",
        "right side must be a constant matrix",
    )


@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12), (2, 3, 4, 12)], ids=str)
@pytest.mark.parametrize("columns", [None, 9])
def test_any_rank(shape, columns):
    g = GraphBuilder("rank")
    b = g.weight(columns or 1, 12).T
    check_both(g.model(g.node("MatMul", [g.input("x", shape), g.constant(b[:, 0] if columns is None else b)])))


def test_three_axes_on_the_right_are_refused():
    g = GraphBuilder("three")
    y = g.node("MatMul", [g.input("x", (2, 5, 12)), g.constant(g.weight(2, 12, 9))])
    refused(g.model(y), "right side must be a constant matrix", "shape [2, 12, 9]")
