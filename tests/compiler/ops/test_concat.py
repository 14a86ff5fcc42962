"""Concat: channel slices, nested, repeated, of inputs, of vectors, as an output."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused
from test_qdq import QdqBuilder


def test_branches_are_written_in_place():
    def body(g, x):
        return g.conv(g.node("Concat", [g.conv(x, 12, 1), g.conv(x, 20, 3), x], 52, axis=1), 8, 3)

    check_both(image_graph(body))


def test_nested_and_repeated():
    def body(g, x):
        inner = g.node("Concat", [g.conv(x, 10, 1), x], 30, axis=1)
        return g.conv(g.node("Concat", [inner, inner, x], 80, axis=1), 4, 1)

    check_both(image_graph(body))


def test_inputs_joined():
    g = GraphBuilder("inputs")
    joined = g.node("Concat", [g.input("a", (1, 5, 9, 9)), g.input("b", (1, 7, 9, 9))], 12, axis=1)
    check_both(g.model(g.conv(joined, 8)))


@pytest.mark.parametrize("sizes", [(7, 64, 20), (16, 32), (3, 5)], ids=str)
def test_vectors(sizes):
    g = GraphBuilder("vectors")
    parts = [g.input(f"v{i}", (1, n)) for i, n in enumerate(sizes)]
    check_both(g.model(g.gemm(g.node("Concat", parts, sum(sizes), axis=-1), sum(sizes), 12)))


def test_image_and_vector_flattened():
    g = GraphBuilder("mixed")
    flat = g.node("Flatten", [g.conv(g.input("x", (1, 6, 10, 10)), 20, 3, 2)], 500)
    other = g.gemm(g.input("v", (1, 9)), 9, 11)
    check_both(g.model(g.gemm(g.node("Concat", [other, flat], 511, axis=1), 511, 10)))


def test_flattened_concat_of_images():
    g = GraphBuilder("flat")
    x = g.input("x", (1, 6, 6, 6))
    joined = g.node("Concat", [g.conv(x, 10, 1), g.conv(x, 7, 3)], 17, axis=1)
    check_both(g.model(g.gemm(g.node("Flatten", [joined], 612), 612, 5)))


def test_concat_is_an_output_and_is_read():
    g = GraphBuilder("output")
    x = g.input("x", (1, 6, 8, 8))
    joined = g.node("Concat", [g.conv(x, 10, 1), g.conv(x, 7, 3)], 17, axis=1)
    check_both(g.model(joined, g.conv(joined, 4)))


@pytest.mark.parametrize("axis", [2, 3])
def test_rows_and_pixels_are_copied(axis):
    def body(g, x):
        return g.conv(g.node("Concat", [g.conv(x, 20, 3), x, x], axis=axis), 8, 3)

    assert check_both(image_graph(body)).packets.count("Concat") >= 3


def test_rows_of_a_matrix():
    g = GraphBuilder("matrix")
    parts = [g.gemm(g.input(f"m{i}", (n, 20)), 20, 12) for i, n in enumerate((3, 5))]
    check_both(g.model(g.gemm(g.node("Concat", parts, 12, axis=0), 12, 7)))


@pytest.mark.parametrize(
    ("op", "more"),
    [("MaxPool", {"kernel_shape": [2, 2]}), ("AveragePool", {"kernel_shape": [2, 2]}), ("Flatten", {}), ("Pad", {})],
)
def test_relu_behind_an_operator_that_moves_is_kept(op, more):
    g = QdqBuilder("relu")
    x = [g.qdq(g.input("x", (1, 5, 4, 5)), 0.04, 3)]
    if op == "Pad":
        x.append(g.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])))
    check_both(g.model(g.qdq(g.node("Relu", [g.node(op, x, **more)]), 0.04, 3)), calib=None)


def test_relu_behind_it_is_kept():
    """A QDQ model with Relu between Concat and its QuantizeLinear."""
    g = QdqBuilder("relu")
    parts = [g.qdq(g.input(f"x{i}", (1, n, 4, 5)), 0.04, 3) for i, n in enumerate((5, 20))]
    joined = g.node("Relu", [g.node("Concat", parts, 25, axis=1)])
    check_both(g.model(g.qdq(joined, 0.04, 3)), calib=None)


def test_inputs_of_several_images_are_refused():
    g = GraphBuilder("batch")
    x = g.input("x", (1, 4, 5, 6))
    refused(g.model(g.conv(g.node("Concat", [x, x], axis=0), 4)), "batch 1")


@pytest.mark.parametrize("axis", [1, 2])
def test_a_constant_is_joined(axis):
    def body(g, x):
        grid = g.constant(g.rng.standard_normal((1, 5, 9, 10)).astype(np.float32))
        return g.conv(g.node("Concat", [x, grid], 10 if axis == 1 else 5, axis=axis), 4)

    g = GraphBuilder("grid")
    check_both(g.model(body(g, g.input("x", (1, 5, 9, 10)))))


def test_a_joined_constant_has_other_readers():
    g = GraphBuilder("readers")
    x = g.input("x", (1, 8, 6, 7))
    spread = g.node("Concat", [g.conv(x, 3), g.conv(x, 5)], 8, axis=1)  # its channels lie apart
    grid = g.constant(g.rng.standard_normal((1, 8, 6, 7)).astype(np.float32))
    parts = [g.node("Mul", [spread, grid], 8), grid, g.node("Add", [x, grid], 8)]
    check_both(g.model(g.conv(g.node("Concat", parts, 24, axis=1), 4)))
