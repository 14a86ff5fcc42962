"""Reshape, Flatten, Squeeze, Unsqueeze, Identity and Dropout cost no instruction."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused
from parity import compile_proto, random_inputs

import vlarun
from vla_toolchain.verify import check_nodes


def test_flatten_and_gemm():
    outcome = check_both(image_graph(lambda g, x: g.gemm(g.node("Flatten", [x]), 20 * 11 * 13, 12)))
    assert outcome.packets.count("Flatten") == 0


def test_flatten_is_an_output():
    check_both(image_graph(lambda g, x: g.node("Flatten", [x])))


def test_flatten_of_a_model_input():
    g = GraphBuilder("input")
    check_both(g.model(g.gemm(g.node("Flatten", [g.input("x", (1, 5, 6, 7))], 210), 210, 9)))


def test_read_as_image_and_as_vector():
    def body(g, x):
        flat = g.gemm(g.node("Flatten", [x]), 20 * 11 * 13, 20)
        return g.node("Add", [g.conv(x, 20, 3), g.node("Reshape", [flat, g.constant(np.array([1, 20, 1, 1]))], 20)])

    check_both(image_graph(body))


def test_vector_read_as_image():
    g = GraphBuilder("decoder")
    hidden = g.gemm(g.input("x", (1, 24)), 24, 20 * 4 * 5)
    image = g.node("Reshape", [hidden, g.constant(np.array([1, 20, 4, 5]))], 20)
    check_both(g.model(g.conv(image, 8, 3)))


def test_model_input_vector_read_as_image():
    g = GraphBuilder("decoder")
    image = g.node("Reshape", [g.input("x", (1, 120)), g.constant(np.array([1, 6, 4, 5]))], 6)
    check_both(g.model(g.conv(image, 8, 3)))


def test_squeeze_unsqueeze_identity_dropout():
    def body(g, x):
        y = g.node("GlobalAveragePool", [g.node("Dropout", [g.node("Identity", [x])])])
        y = g.node("Squeeze", [y, g.constant(np.array([2, 3]))])
        return g.gemm(
            g.node("Squeeze", [g.node("Unsqueeze", [y, g.constant(np.array([2]))]), g.constant(np.array([2]))]), 20, 6
        )

    check_both(image_graph(body))


def test_rows_of_a_matrix():
    g = GraphBuilder("matrix")
    y = g.node("Reshape", [g.input("x", (1, 6, 20)), g.constant(np.array([6, 20]))], 20)
    check_both(g.model(g.gemm(y, 20, 8)))


def test_small_images_become_rows_of_a_matrix():
    def body(g, x):
        return g.gemm(g.node("Reshape", [x, g.constant(np.array([12, 20]))]), 20, 6)

    check_both(image_graph(body, 20, (3, 4)))


@pytest.mark.parametrize("shape", [(20, 143), (143, 20), (220, 13)], ids=str)
def test_moving_much_data_is_refused(shape):
    def body(g, x):
        return g.gemm(g.node("Reshape", [x, g.constant(np.array(shape))]), shape[1], 6)

    refused(image_graph(body), "Reshape 'reshape1'", "moves data between pixels and channels", "at most 1024 values")


@pytest.mark.parametrize("op", ["Identity", "Reshape", "Flatten", "LogSoftmax"])
def test_an_input_that_is_an_output_too_is_kept_until_it_is_stored(op):
    """Its memory is needed by other tensors behind its last reader."""
    g = GraphBuilder("both")
    x = g.input("x", (1, 12, 12, 8))
    extra = [g.constant(np.array([8, 144]))] if op == "Reshape" else []
    first = g.node(op, [x, *extra])
    check_both(g.model(first, g.conv(g.conv(g.conv(x, 12, 3, 8), 20), 30)))


def test_an_output_that_is_a_spoiled_copy_of_an_input_is_found():
    g = GraphBuilder("copy")
    x = g.input("x", (1, 4, 5, 6))
    kept = compile_proto(g.model(g.node("Flatten", [x]), g.conv(x, 8)), debug_outputs=True)
    inputs = random_inputs(kept.program)
    raw = vlarun.Session(kept.program).run(inputs, raw=True)
    raw["flatten0"] = raw["flatten0"] ^ 1
    assert [(c.name, c.different) for c in check_nodes(kept, inputs, raw) if not c.ok] == [("flatten0", 120)]


def test_two_outputs_of_the_same_value_keep_their_names():
    g = GraphBuilder("twice")
    x = g.input("x", (1, 8))
    outputs = [g.node("Sigmoid", [x]), g.node("Sigmoid", [x]), g.node("ArgMin", [x]), g.node("ArgMin", [x])]
    program = compile_proto(g.model(*outputs)).program
    assert [v.name for v in program.model_outputs] == outputs
