"""Layers over [1, C, L] run as layers over images of one row, with nothing moved between them."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both

from vlac.import_onnx import parse_model
from vlac.model.reading import shape_of
from vlac.rewrite.one_dimensional import widen


def conv(g, x, out, kernel=3, **attributes):
    w = g.constant(g.weight(out, g.channels[x] // attributes.get("group", 1), kernel))
    return g.node("Conv", [x, w, g.constant(g.rng.standard_normal(out).astype(np.float32))], out, **attributes)


def network(body, channels=12, length=30, *, opset=18):
    g = GraphBuilder("one_dimensional")
    return g.model(body(g, g.input("x", (1, channels, length))), opset=opset)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1]},
        {"strides": [2], "pads": [0, 1]},
        {"dilations": [3], "pads": [3, 3]},
        {"group": 4},
        {"kernel": 21, "pads": [10, 10]},
        {"auto_pad": "SAME_UPPER", "strides": [2]},
    ],
    ids=str,
)
def test_conv(attributes):
    check_both(network(lambda g, x: conv(g, x, 20, **attributes)))


def test_conv_transpose_and_pools():
    def body(g, x):
        y = g.node("MaxPool", [x], kernel_shape=[3], strides=[2], pads=[1, 1])
        w = g.constant(g.weight(12, 10, 4))
        y = g.node("ConvTranspose", [y, w], 10, strides=[2], pads=[1, 1])
        return g.node("AveragePool", [conv(g, y, 9)], kernel_shape=[2], strides=[2])

    check_both(network(body), different=0.7)  # every other mean of two is an exact tie


def test_a_residual_network_moves_nothing():
    """Convolutions, batch norm, activations, a residual add, Concat and a mean over the length."""

    def body(g, x):
        y = g.node("Relu", [conv(g, x, 24, pads=[1, 1])])
        arrays = [g.constant(a.astype(np.float32)) for a in g.rng.uniform(0.5, 1.5, (4, 24))]
        z = g.node("Relu", [g.node("BatchNormalization", [conv(g, y, 24, pads=[1, 1]), *arrays])])
        y = g.node("Add", [y, z])
        y = g.node("Mul", [y, g.constant(g.rng.uniform(0.5, 1, (1, 24, 1)).astype(np.float32))])
        y = g.node("Concat", [y, g.node("Sigmoid", [conv(g, y, 5, 1)])], 29, axis=1)
        y = g.node("ReduceMean", [y, g.constant(np.array([-1]))], keepdims=0)
        return g.gemm(y, 29, 6)

    outcome = check_both(network(body))
    assert not {"Squeeze", "Unsqueeze", "Reorder", "Transpose"} & set(outcome.packets)


def test_time_major_input_and_flatten():
    def body(g, x):
        y = g.node("Transpose", [x], 30, perm=[0, 2, 1])
        y = g.node("GlobalMaxPool", [conv(g, y, 16)])
        return g.gemm(g.node("Flatten", [y]), 16, 5)

    check_both(network(body))


@pytest.mark.parametrize("axis", [1, -2])
def test_concat_of_channels_by_any_number_of_its_axis(axis):
    check_both(network(lambda g, x: g.node("Concat", [conv(g, x, 20), conv(g, x, 9)], 29, axis=axis)))


@pytest.mark.parametrize("shape", [(10, 1), (1, 10, 1), (10, 14), (14,), ()], ids=str)
def test_constants_of_any_rank_broadcast_as_before(shape):
    """Behind a pool, where no layer takes them in."""

    def body(g, x):
        y = g.node("MaxPool", [conv(g, x, 10)], kernel_shape=[2], strides=[2])
        y = g.node("Add", [y, g.constant(g.rng.standard_normal(shape).astype(np.float32))])
        return conv(g, y, 6)

    check_both(network(body))


def test_pixels_of_an_image_stay_an_image_of_one_row():
    g = GraphBuilder("pixels")
    x = g.node("Relu", [g.input("x", (1, 6, 5, 7))])
    model = parse_model(g.model(g.node("Reshape", [x, g.constant(np.array([1, 6, 35]))])), "test")[0]
    widen(model)
    (reshape,) = (n for n in model.graph if n.op_type == "Reshape")
    assert shape_of(reshape.outputs[0]) == (1, 6, 1, 35)


def test_what_is_no_function_of_each_element_ends_it():
    def body(g, x):
        y = g.node("Transpose", [conv(g, x, 10)], perm=[0, 2, 1])
        return g.node("MatMul", [y, g.constant(g.weight(7, 10).T)])

    check_both(network(body))


def test_concat_of_batches():
    """Values that were widened, side by side on the axis that stays."""
    check_both(network(lambda g, x: g.node("Concat", [conv(g, x, 20), conv(g, x, 20)], 20, axis=0)))
