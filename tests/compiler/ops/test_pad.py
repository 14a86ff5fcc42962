"""Pad: folded into a convolution, on its own, with a value."""

import numpy as np
import pytest
from moved import moved
from one_op import check_both, image_graph


def pads(g, *amounts):
    return g.constant(np.array(amounts, np.int64))


def test_zero_pad_goes_into_the_convolution():
    def body(g, x):
        y = g.node("Pad", [x, pads(g, 0, 0, 1, 2, 0, 0, 2, 1)])
        return g.conv(y, 8, 3, pads=[0, 0, 0, 0])

    assert "Pad" not in check_both(image_graph(body)).packets


@pytest.mark.parametrize("value", [None, 0.25, -0.5])
def test_on_its_own(value):
    def body(g, x):
        extra = [] if value is None else [g.constant(np.float32(value))]
        y = g.node("Pad", [x, pads(g, 0, 0, 1, 2, 0, 0, 3, 0), *extra])
        return g.node("MaxPool", [y], kernel_shape=[2, 2])

    assert "Pad" in check_both(image_graph(body)).packets


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_own_values(mode):
    moved(lambda g, x: g.node("Pad", [x, pads(g, 0, 0, 1, 2, 0, 0, 3, 1)], mode=mode), opset=19)


def test_zeros_are_exact():
    moved(lambda g, x: g.node("Pad", [x, pads(g, 0, 0, 1, 2, 0, 0, 3, 0)]))


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_channels(value):
    def body(g, x):
        y = g.node("Pad", [x, pads(g, 0, 3, 0, 0, 0, 7, 0, 0), g.constant(np.float32(value))], 30)
        return g.conv(y, 8, 1)

    check_both(image_graph(body))


def test_rows_of_channels():
    """Both at once: channels of the padding have no pixels to copy."""

    def body(g, x):
        y = g.node("Pad", [x, pads(g, 0, 2, 1, 0, 0, 0, 0, 1)], 22)
        return g.conv(y, 8, 3)

    check_both(image_graph(body))


@pytest.mark.parametrize("stride", [1, 5])
def test_steps_that_fill_with_different_values(stride):
    """Two Pads, and the folding of a large stride behind them, which fills with zero."""

    def body(g, x):
        for value, amounts in ((0.5, [0, 0, 1, 2, 0, 0, 0, 1]), (-0.4, [0, 1, 0, 1, 0, 2, 1, 0])):
            x = g.node("Pad", [x, g.constant(np.array(amounts)), g.constant(np.float32(value))])
        g.channels[x] = 23
        return g.conv(x, 9, 3, stride)

    check_both(image_graph(body))
