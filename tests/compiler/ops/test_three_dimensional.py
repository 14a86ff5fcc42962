"""Pools over [1, C, D, H, W] run as pools over images."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, refused
from onnx.reference import ReferenceEvaluator
from parity import compile_proto, random_inputs
from test_qdq import QdqBuilder

import vlarun
from vla_isa.numerics import quantize

WINDOWS = [
    {"kernel_shape": [2, 3, 2]},
    {"kernel_shape": [3, 2, 3], "strides": [1, 2, 3], "pads": [1, 0, 1, 2, 1, 1]},
    {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2, 2], "dilations": [2, 1, 2]},
]


def volume(op, **attributes):
    g = GraphBuilder("volume")
    return g.model(g.node(op, [g.input("x", (1, 5, 6, 7, 8))], **attributes), opset=19)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_windows(op, window):
    check_volume(volume(op, **window))


@pytest.mark.parametrize("include", [0, 1])
def test_padding_counts_as_onnx_counts_it(include):
    check_volume(volume("AveragePool", kernel_shape=[3, 3, 3], pads=[1] * 6, count_include_pad=include))


def check_volume(model):
    """Within 2 steps of ONNX's reference on what the device reads: one for each of the two pools."""
    program = compile_proto(model, "u50").program
    given, (made,) = program.inputs[0], program.outputs
    inputs = random_inputs(program, 1)
    (found,) = vlarun.Session(program, backend="sim").run(inputs, raw=True).values()
    x = quantize(inputs["x"], given.scale, given.zero_point)
    real = (x - np.float32(given.zero_point)) * np.float32(given.scale)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": real.astype(np.float32)})
    step = max(given.scale / made.scale, 1)  # what lies between the passes has the input's resolution
    assert np.abs(found - quantize(expected, made.scale, made.zero_point).astype(np.int64)).max() <= 2 * step


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_node_by_node(op):
    window = {"kernel_shape": [3, 2, 3], "strides": [1, 2, 3], "pads": [1, 0, 1, 2, 1, 1], "count_include_pad": 1}
    more = window if op == "AveragePool" else {k: v for k, v in window.items() if k != "count_include_pad"}
    outcome = check_both(volume(op, **more), different=1e-2)  # averages of few integers are often ties
    assert outcome.packets.count(op) >= 2


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pools(op):
    outcome = check_both(volume(op))
    assert outcome.state.program.outputs[0].layout.shape == (1, 5, 1, 1, 1)


def test_quantized_volumes_are_refused():
    g = QdqBuilder("volume")
    y = g.node("MaxPool", [g.qdq(g.input("x", (1, 5, 4, 5, 6)), 0.04, 3)], 5, kernel_shape=[2, 2, 2])
    refused(g.model(g.qdq(y, 0.04, 3)), "also 1-D and 3-D", "[1, 5, 4, 5, 6]", calib=None)
