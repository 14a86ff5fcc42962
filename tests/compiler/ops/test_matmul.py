"""MatMul with a constant right side, and with the bias add behind it."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import GraphBuilder
from one_op import check_both

from vlac.rewrite.batched_matmul import split_batches


@pytest.mark.parametrize("shape", [(1, 48), (6, 20), (1, 9, 24)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_shapes(shape, bias):
    g = GraphBuilder("matmul")
    y = g.node("MatMul", [g.input("x", shape), g.constant(g.weight(28, shape[-1]).T)], 28)
    if bias:
        y = g.node("Add", [y, g.constant(g.rng.standard_normal(28).astype(np.float32))])
    check_both(g.model(y))


@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12), (2, 3, 4, 12)], ids=str)
@pytest.mark.parametrize("columns", [None, 9])
def test_any_rank(shape, columns):
    g = GraphBuilder("rank")
    b = g.weight(columns or 1, 12).T
    check_both(g.model(g.node("MatMul", [g.input("x", shape), g.constant(b[:, 0] if columns is None else b)])))


def stack(g, shape):
    return g.rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 12), (3, 12, 9)), ((3, 5, 12), (3, 12, 9)), ((2, 1, 5, 12), (2, 3, 12, 9)), ((3, 1, 2, 12), (2, 12, 4))],
    ids=str,
)
def test_a_stack_of_matrices(left, right):
    g = GraphBuilder("stack")
    outcome = check_both(g.model(g.node("MatMul", [g.input("x", left), g.constant(stack(g, right))])))
    products = [op for op in outcome.state.graph.ops if op.op_type == "MatMul"]
    assert len(products) == (1 if left == (5, 12) else int(np.prod(np.broadcast_shapes(left[:-2], right[:-2]))))


def test_a_single_matrix_stays_one_product():
    g = GraphBuilder("single")
    model = ir.from_proto(g.model(g.node("MatMul", [g.input("x", (2, 3, 4, 12)), g.constant(stack(g, (12, 5)))])))
    split_batches(model)
    assert [n.op_type for n in model.graph] == ["MatMul"]
