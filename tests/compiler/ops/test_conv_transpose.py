"""ConvTranspose: every attribute, against ONNX Runtime node by node."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both


def model(channels=20, out=24, size=(5, 7), kernel=(3, 3), group=1, **attributes):
    g = GraphBuilder("conv_transpose")
    x = g.input("x", (1, channels, *size))
    w = g.constant(g.weight(channels, out // group, *kernel))
    b = g.constant(g.rng.standard_normal(out).astype(np.float32))
    return g.model(g.node("ConvTranspose", [x, w, b], out, group=group, **attributes))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 2], "kernel": (4, 4), "pads": [1, 1, 1, 1]},
        {"strides": [2, 3], "kernel": (2, 3)},
        {"strides": [3, 2], "kernel": (2, 2)},
        {"strides": [2, 2], "dilations": [2, 3], "pads": [1, 2, 0, 1]},
        {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
        {"strides": [8, 8], "kernel": (16, 16), "pads": [4, 4, 4, 4], "out": 4},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER", "kernel": (3, 4)},
        {"strides": [2, 2], "output_shape": [10, 13]},
        {"strides": [2, 2], "pads": [2, 2, 2, 2], "kernel": (5, 5)},
    ],
    ids=str,
)
def test_attributes(attributes):
    check_both(model(**attributes))


@pytest.mark.parametrize(("channels", "out", "group"), [(32, 64, 2), (24, 24, 24), (20, 10, 10), (12, 36, 3)])
def test_groups(channels, out, group):
    check_both(model(channels, out, group=group, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]))


def test_between_convolutions():
    g = GraphBuilder("decoder")
    x = g.conv(g.input("x", (1, 12, 8, 8)), 40, 3)
    y = g.node("ConvTranspose", [x, g.constant(g.weight(40, 20, 4, 4))], 20, strides=[2, 2], pads=[1, 1, 1, 1])
    check_both(g.model(g.conv(g.node("Relu", [y]), 3)))
