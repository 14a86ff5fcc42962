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
