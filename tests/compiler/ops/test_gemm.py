"""Gemm: transposes, alpha and beta, odd sizes, several rows."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both


def gemm_model(shape, n=30, bias=True, **attributes):
    g = GraphBuilder("gemm")
    k = shape[0] if attributes.get("transA") else shape[-1]
    w = g.weight(n, k)
    inputs = [g.input("x", shape), g.constant(w if attributes.get("transB") else w.T)]
    if bias:
        inputs.append(g.constant(g.rng.standard_normal(n).astype(np.float32)))
    return g.model(g.node("Gemm", inputs, n, **attributes))


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((1, 64), {"transB": 1}),
        ((1, 37), {}),
        ((5, 40), {"transB": 1}),
        ((1, 100), {"alpha": 0.5, "beta": 2.0}),
        ((33, 1), {"transA": 1}),
        ((1, 1), {}),
    ],
    ids=str,
)
def test_attributes(shape, attributes):
    check_both(gemm_model(shape, **attributes))


def test_without_bias():
    check_both(gemm_model((1, 48), bias=False))


@pytest.mark.parametrize("shape", [(3, 4), (20, 33)], ids=str)
def test_transposed_rows(shape):
    check_both(gemm_model(shape, transA=1))


def test_large_transposed_rows():
    """As an input they are packed that way by the host; behind a layer the byte transposer turns them."""
    check_both(gemm_model((100, 70), transA=1))
    g = GraphBuilder("large")
    y = g.gemm(g.input("x", (100, 20)), 20, 70)
    w = g.constant(g.weight(100, 8))
    check_both(g.model(g.node("Gemm", [y, w], 8, transA=1)))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 12), (5, 1), (5, 12)], ids=str)
def test_any_shape_of_c_with_alpha_and_beta(shape):
    g = GraphBuilder("bias")
    c = g.constant(g.rng.standard_normal(shape).astype(np.float32))
    x, w = g.input("x", (5, 20)), g.constant(g.weight(20, 12))
    check_both(g.model(g.node("Gemm", [x, w, c], 12, alpha=0.5, beta=-2.0)))


@pytest.mark.parametrize("shape", [(1, 12), (2, 1), (2, 12)], ids=str)
def test_c_of_as_many_rows_as_the_result(shape):
    """One row is the bias of the instruction, two are an Add behind it."""
    g = GraphBuilder("rows")
    c = g.constant(g.rng.standard_normal(shape).astype(np.float32))
    x, w = g.input("x", (2, 20)), g.constant(g.weight(20, 12))
    packets = check_both(g.model(g.node("Gemm", [x, w, c], 12, beta=0.5))).packets
    assert packets.count("Gemm") == 1 and packets.count("Add") == (shape[0] == 2)


@pytest.mark.parametrize("shape", [(7,), (1, 7), (5, 1), (1, 1), (5, 7)], ids=str)
def test_a_factor_behind_any_shape_of_c(shape):
    """A C with a value for each row is none for each column."""
    g = GraphBuilder("factor")
    x = g.node("Relu", [g.input("x", (5, 20))])
    y = g.node("Gemm", [x, g.constant(g.weight(20, 7)), g.constant(g.weight(*shape))], 7)
    factors = g.constant(g.rng.uniform(0.5, 2, 7).astype(np.float32))
    check_both(g.model(g.node("Mul", [y, factors], 7)))
