"""MaxPool, AveragePool, GlobalAveragePool and ReduceMean: every attribute."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused
from onnx.reference import ReferenceEvaluator
from parity import compile_proto, random_inputs
from qdq_graphs import QdqBuilder

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
    kept = compile_proto(model, config, debug_outputs=True)
    raw = vlarun.Session(kept.program, backend="sim").run(random_inputs(kept.program), raw=True)
    pool = kept.graph.ops[-1]
    g = GraphBuilder("float")
    alone = g.model(g.node("AveragePool", [g.input("x", pool.inputs[0].shape)], count_include_pad=1, **attributes))
    x = raw[pool.inputs[0].name].astype(np.float32) - pool.inputs[0].zero_point
    mean = ReferenceEvaluator(alone).run(None, {"x": x})[0] * (pool.inputs[0].scale / pool.output.scale)
    assert np.abs(raw[kept.graph.outputs[0].name] - pool.output.zero_point - mean).max() <= 0.501


@pytest.mark.parametrize("config", ["u50", "tiny"])
def test_average_pool_rounds_ties_to_even(config):
    """Against exact rational arithmetic, every element; both sides have one scale, as quantizers also make it."""
    g = QdqBuilder("ties")
    y = g.qdq(g.node("Conv", [g.qdq(g.input("x", (1, 12, 9, 9)), 0.03), g.weights((20, 12, 3, 3))], 20), 0.06, -3)
    pooled = g.qdq(g.node("AveragePool", [y], kernel_shape=[2, 2]), 0.06, -3)
    kept = compile_proto(g.model(pooled), config, calib=None, debug_outputs=True)
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


DILATED = [
    {"kernel_shape": [3, 3], "dilations": [2, 2]},
    {"kernel_shape": [2, 3], "dilations": [3, 2], "strides": [2, 1], "pads": [1, 2, 1, 1]},
    {"kernel_shape": [3, 3], "dilations": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "dilations": [2, 4], "strides": [3, 2], "ceil_mode": 1},
]


@pytest.mark.parametrize("attributes", DILATED, ids=str)
def test_dilated_max_pool(attributes):
    check_both(image_graph(lambda g, x: g.node("MaxPool", [x], **attributes)))


@pytest.mark.parametrize("config", ["u50", "tiny"])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("attributes", DILATED[:3], ids=str)
def test_dilated_average_pool(attributes, include, config):
    """Against sums over every tap, in float64."""
    model = image_graph(
        lambda g, x: g.node("AveragePool", [x], count_include_pad=include, **attributes), 20, (11, 13), opset=19
    )
    kept = compile_proto(model, config, debug_outputs=True)
    raw = vlarun.Session(kept.program, backend="sim").run(random_inputs(kept.program), raw=True)
    first, out = kept.graph.ops[0].output, kept.graph.outputs[0].tensor
    ratio = first.scale / out.scale
    x = raw[first.name][0].astype(np.float64) - first.zero_point
    result = raw[kept.graph.outputs[0].name][0] - out.zero_point
    (kh, kw), (dy, dx) = attributes["kernel_shape"], attributes["dilations"]
    (sy, sx), (top, left, *_) = attributes.get("strides", [1, 1]), attributes.get("pads", [0] * 4)
    for oy, ox in np.ndindex(out.h, out.w):
        taps = [(oy * sy - top + i * dy, ox * sx - left + j * dx) for i in range(kh) for j in range(kw)]
        inside = [x[:, a, b] for a, b in taps if 0 <= a < 11 and 0 <= b < 13]
        mean = ratio * np.sum(inside, axis=0) / (kh * kw if include else len(inside))
        assert np.abs(result[:, oy, ox] - mean).max() <= 0.501


@pytest.mark.parametrize("op", ["GlobalMaxPool", "ReduceMax"])
def test_global_max(op):
    attributes = {"axes": [2, 3], "keepdims": 0} if op == "ReduceMax" else {}
    check_both(image_graph(lambda g, x: g.node(op, [x], **attributes)))


@pytest.mark.parametrize("axes", [[2], [3], [-1, -2]], ids=str)
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMean", "ReduceSum"])
def test_reductions_over_space(op, axes):
    opset = 18

    def body(g, x):
        return g.conv(g.node(op, [x, g.constant(np.array(axes))]), 9, 1)

    check_both(image_graph(body, opset=opset))


@pytest.mark.parametrize("axes", [[1], [1, 2, 3], [0, 1, 2, 3]], ids=str)
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum"])
def test_sums_over_channels_and_everything(op, axes):
    check_both(image_graph(lambda g, x: g.node(op, [x, g.constant(np.array(axes))]), 10, (5, 6), opset=18))


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum"])
def test_sums_over_a_matrix_of_more_values_than_words(op):
    g = GraphBuilder("matrix")
    check_both(g.model(g.node(op, [g.input("x", (70, 80))], keepdims=0), opset=18))


@pytest.mark.parametrize(("axes", "keep"), [([-1], 1), ([-1], 0), ([0], 0), ([0, 1], 0)])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax"])
def test_reductions_of_a_matrix(op, axes, keep):
    g = GraphBuilder("matrix")
    y = g.gemm(g.input("x", (6, 20)), 20, 12)
    check_both(g.model(g.node(op, [y, g.constant(np.array(axes))], keepdims=keep), opset=18))


@pytest.mark.parametrize("axes", [[1, 2], [1], [1, 3]], ids=str)
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax"])
def test_mixed_axes(op, axes):
    check_both(image_graph(lambda g, x: g.node(op, [x, g.constant(np.array(axes))]), 10, (5, 6), opset=18))


@pytest.mark.parametrize(("axes", "keep"), [([1], 1), ([0, 2], 0), ([0], 0)])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_reductions_of_three_axes(op, axes, keep):
    g = GraphBuilder("three")
    x = g.input("x", (3, 4, 5))
    check_both(g.model(g.node(op, [x, g.constant(np.array(axes))], keepdims=keep), opset=18), different=0.1)


def test_too_many_results_are_refused():
    g = GraphBuilder("large")
    x = g.input("x", (50, 60, 4))
    model = g.model(g.node("ReduceMax", [x, g.constant(np.array([0, 2]))]), opset=18)
    check_both(model)
    g = GraphBuilder("larger")
    x = g.input("x", (50, 60, 4, 2))
    model = g.model(g.node("ReduceMax", [x, g.constant(np.array([2]))]), opset=18)
    refused(model, "at most 2047 results", "4 values, 3000 results")


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_an_axis_of_one_element_alone(op, keep):
    g = GraphBuilder("one")
    x = g.input("x", (1, 5, 4))
    check_both(g.model(g.node(op, [x, g.constant(np.array([0]))], keepdims=keep), opset=18))


def test_average_pool_with_dilations_that_onnx_runtime_knows_in_float_only():
    model = image_graph(
        lambda g, x: g.node("AveragePool", [x], kernel_shape=[3, 3], dilations=[2, 1]), size=(9, 8), opset=19
    )
    check_both(model, different=0.01)
