"""MaxPool, AveragePool, GlobalAveragePool and ReduceMean: every attribute."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused

WINDOWS = [
    {"kernel_shape": [3, 3]},
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [3, 1], "pads": [1, 0, 0, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [4, 4], "strides": [3, 3], "pads": [1, 1, 2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID"},
]


@pytest.mark.parametrize("attributes", WINDOWS, ids=str)
def test_max_pool(attributes):
    check_both(image_graph(lambda g, x: g.node("MaxPool", [x], **attributes)))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("attributes", WINDOWS, ids=str)
def test_average_pool(attributes, include):
    check_both(image_graph(lambda g, x: g.node("AveragePool", [x], count_include_pad=include, **attributes)))


def test_global_average_pool():
    check_both(image_graph(lambda g, x: g.node("GlobalAveragePool", [x])))


@pytest.mark.parametrize("keep", [0, 1])
def test_reduce_mean_over_space(keep):
    check_both(image_graph(lambda g, x: g.node("ReduceMean", [x], axes=[2, 3], keepdims=keep)))


def test_reduce_mean_with_axes_as_input():
    check_both(image_graph(lambda g, x: g.node("ReduceMean", [x, g.constant(np.array([-1, -2]))]), opset=18))


def test_pool_follows_its_convolution_band_by_band():
    g = GraphBuilder("banded")
    y = g.conv(g.input("x", (1, 16, 64, 64)), 32, 3)
    outcome = check_both(g.model(g.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2])))
    packets = [p for p in outcome.packets if p in ("Conv", "MaxPool")]
    assert packets.index("MaxPool") < len(packets) - 1 - packets[::-1].index("Conv")


def test_dilated_window_is_refused():
    refused(image_graph(lambda g, x: g.node("MaxPool", [x], kernel_shape=[3, 3], dilations=[2, 2])),
            "The dilation must be 1. Found dilation 2x2")


def test_mean_over_channels_is_refused():
    refused(image_graph(lambda g, x: g.node("ReduceMean", [x], axes=[1])), "two axes of space", "axes [1]")
