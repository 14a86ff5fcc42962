"""What moves data runs with the same bits on the Verilog machine: every kind of COPY piece in one graph."""

import numpy as np
import pytest
from graphs import GraphBuilder
from parity import compile_proto, random_inputs

import vlarun


def all_moves():
    g = GraphBuilder("all_moves")
    x = g.conv(g.input("x", (1, 12, 9, 10)), 12, 3)

    def ints(*values):
        return g.constant(np.array(values, np.int64))

    strided = g.node("Slice", [x, ints(1, 0), ints(9, 10), ints(2, 3), ints(2, 3)])
    up = g.node("Resize", [strided, "", g.constant(np.array([1, 1, 2, 2], np.float32))], mode="nearest")
    back = g.node("Slice", [x, ints(-1, 8), ints(-9, 0), ints(2, 3), ints(-1, -1)])
    padded = g.node("Pad", [up, ints(0, 0, 0, 0, 0, 0, 1, 2)], mode="reflect")
    stacked = g.node("Concat", [x, padded], axis=2)
    bilinear = g.node("Resize", [x, "", g.constant(np.array([1, 1, 2, 2], np.float32))], mode="linear")
    w = g.constant(g.weight(12, 10, 4, 4))
    transposed = g.node("ConvTranspose", [x, w], 10, strides=[2, 2], pads=[1, 1, 1, 1])
    deep = g.node("SpaceToDepth", [transposed], 40, blocksize=2)
    shuffled = g.node("Gather", [deep, ints(*range(39, -1, -1))], 40, axis=1)
    shallow = g.node("DepthToSpace", [shuffled], 10, blocksize=2, mode="CRD")
    dilated = g.node("MaxPool", [shallow], kernel_shape=[2, 2], dilations=[3, 2], strides=[2, 1])
    wide = g.node("Conv", [bilinear, g.constant(g.weight(9, 12, 17, 5))], 9, strides=[1, 5])
    return g.model(g.conv(stacked, 8, 3), g.conv(back, 8, 1), g.conv(dilated, 7, 3), wide)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_moves_have_the_same_bits_on_rtl(config):
    program = compile_proto(all_moves(), config, calib="random:1").program
    inputs = random_inputs(program)
    expected = vlarun.Session(program, backend="sim").run(inputs, raw=True)
    got = vlarun.Session(program, backend="rtl").run(inputs, raw=True)
    for name, values in expected.items():
        assert np.array_equal(values, got[name]), name
