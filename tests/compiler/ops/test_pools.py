"""MaxPool, AveragePool, GlobalAveragePool and ReduceMean: every attribute."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused
from onnx.reference import ReferenceEvaluator
from parity import compile_proto, random_inputs

import vlarun

WINDOWS = [
    {"kernel_shape": [3, 3]},
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [3, 1], "pads": [1, 0, 0, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [4, 4], "strides": [3, 3], "pads": [0, 0, 1, 0], "ceil_mode": 1},
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
    """One scale on both sides: a mean over 2, 4 or 6 taps is often an exact tie, which float noise decides."""
    if include and attributes.get("ceil_mode"):
        pytest.skip(
            "ONNX Runtime's QLinearAveragePool divides by the whole kernel there; see the test against ONNX below"
        )
    check_both(image_graph(lambda g, x: g.node("AveragePool", [x], count_include_pad=include, **attributes)))


@pytest.mark.parametrize("config", ["u50", "tiny"])
@pytest.mark.parametrize("attributes", [a for a in WINDOWS if a.get("ceil_mode")], ids=str)
def test_windows_cut_short_count_as_onnx_says(attributes, config):
    """ONNX's reference evaluator in float, on the integers of the pool's own input."""
    model = image_graph(lambda g, x: g.node("AveragePool", [x], count_include_pad=1, **attributes))
    kept = compile_proto(model, config, keep_all=True)
    raw = vlarun.Session(kept.program, backend="sim").run(random_inputs(kept.program), raw=True)
    pool = kept.graph.ops[-1]
    g = GraphBuilder("float")
    alone = g.model(g.node("AveragePool", [g.input("x", pool.inputs[0].shape)], count_include_pad=1, **attributes))
    x = raw[pool.inputs[0].name].astype(np.float32) - pool.inputs[0].zero_point
    mean = ReferenceEvaluator(alone).run(None, {"x": x})[0]
    assert np.abs(raw[kept.graph.outputs[0].name] - pool.output.zero_point - mean).max() <= 0.501


@pytest.mark.parametrize("config", ["u50", "tiny"])
def test_average_pool_rounds_ties_to_even(config):
    """Against exact rational arithmetic, every element."""
    kept = compile_proto(
        image_graph(lambda g, x: g.node("AveragePool", [x], kernel_shape=[2, 2])), config, keep_all=True
    )
    raw = vlarun.Session(kept.program, backend="sim").run(random_inputs(kept.program), raw=True)
    pool = kept.graph.ops[-1]
    assert pool.inputs[0].scale == pool.output.scale
    x = raw[pool.inputs[0].name].astype(np.float64) - pool.inputs[0].zero_point
    mean = (x[..., :-1, :-1] + x[..., 1:, :-1] + x[..., :-1, 1:] + x[..., 1:, 1:]) / 4
    assert np.array_equal(raw[kept.graph.outputs[0].name], np.rint(mean) + pool.output.zero_point)


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


def test_window_in_the_padding_is_refused():
    refused(
        image_graph(
            lambda g, x: g.node("MaxPool", [x], kernel_shape=[4, 4], strides=[3, 3], pads=[1, 1, 2, 2], ceil_mode=1)
        ),
        "No window may lie in the padding only",
    )


def test_dilated_window_is_refused():
    refused(
        image_graph(lambda g, x: g.node("MaxPool", [x], kernel_shape=[3, 3], dilations=[2, 2])),
        "The dilation must be 1. Found dilation 2x2",
    )


def test_mean_over_channels_is_refused():
    refused(image_graph(lambda g, x: g.node("ReduceMean", [x], axes=[1])), "two axes of space", "axes [1]")
