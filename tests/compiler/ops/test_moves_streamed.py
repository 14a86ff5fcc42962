"""Moves of images that do not fit the scratchpad of `tiny`: the integers of `u50`, where everything fits."""

import numpy as np
import pytest
from graphs import GraphBuilder
from parity import compile_proto, random_inputs

import vlarun
from vlac.errors import AllocationError


def ints(g, *values):
    return g.constant(np.array(values, np.int64))


def sliced(starts, ends, axes, steps):
    return lambda g, x: g.node("Slice", [x, *(ints(g, *v) for v in (starts, ends, axes, steps))])


def resized(mode):
    return lambda g, x: g.node("Resize", [x, "", g.constant(np.array([1, 1, 2, 1], np.float32))], mode=mode)


def transposed(g, x):
    attributes = {"strides": [2, 1], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}
    return g.node("ConvTranspose", [x, g.constant(g.weight(16, 8, 3, 3))], 8, **attributes)


BODIES = {
    "pad": lambda g, x: g.node("Pad", [x, ints(g, 0, 0, 3, 1, 0, 0, 5, 2)], mode="edge"),
    "padding of the convolution": lambda g, x: g.node("Pad", [x, ints(g, 0, 0, 3, 1, 0, 0, 5, 2)]),
    "slice": sliced((5, 3), (90, 100), (2, 3), (1, 2)),
    "steps": sliced((1, 0), (100, 100), (2, 3), (3, 2)),
    "nearest": resized("nearest"),
    "linear": resized("linear"),
    "space to depth": lambda g, x: g.node("SpaceToDepth", [x], 64, blocksize=2),
    "channels turned round": lambda g, x: g.node("Gather", [x, ints(g, *range(15, -1, -1))], 16, axis=1),
    "transposed convolution": transposed,
    "wide kernel": lambda g, x: g.node("Conv", [x, g.constant(g.weight(8, 16, 17, 3))], 8, pads=[8, 1, 8, 1]),
    "dilated pool": lambda g, x: g.node("MaxPool", [x], kernel_shape=[3, 3], dilations=[2, 2]),
}


def model(body):
    g = GraphBuilder("streamed")
    y = body(g, g.conv(g.input("x", (1, 5, 104, 110)), 16, 3))
    return g.model(g.conv(y, 6, 3), opset=18)


@pytest.mark.parametrize("name", BODIES)
def test_streamed_moves(name):
    outputs = []
    for config in ("tiny", "u50"):
        state = compile_proto(model(BODIES[name]), config, calib="random:1")
        found = vlarun.Session(state.program, backend="sim").run(random_inputs(state.program), raw=True)
        outputs.append(next(iter(found.values())))
        assert bool(state.planned.plan.streamed) == (config == "tiny")
    assert np.array_equal(*outputs)


def test_rows_turned_round_must_fit():
    with pytest.raises(AllocationError, match=r"must be on chip: 104 of 'relu1'"):
        compile_proto(model(sliced((-1,), (-1000,), (2,), (-1,))), "tiny", calib="random:1")
