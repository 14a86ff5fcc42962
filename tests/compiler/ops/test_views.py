"""Reshape, Flatten, Squeeze, Unsqueeze, Identity and Dropout cost no instruction."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused


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


def test_dropout_of_training_is_refused():
    def body(g, x):
        return g.node("Dropout", [x, g.constant(np.float32(0.5)), g.constant(np.array(True))])

    refused(image_graph(body), "Dropout 'dropout1'", "It must be in inference mode", "training mode")
