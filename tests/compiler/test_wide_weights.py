"""Quantized weights that leave int8 around their zero point (-255..255), beside ONNX Runtime on the source model."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qdq_graphs import QdqBuilder
from source_parity import check_integers

from vla_isa.errors import EncodingError
from vla_isa.integer import INT8
from vlac.quantize.dialects.wide_weights import int8_parts

STEP = 0.05
# the largest and smallest weights around zero points at both ends: -255..0, 0..255, and 0..254 in two parts
ZEROS = [(np.uint8, 0), (np.uint8, 255), (np.uint8, 1), (np.uint8, 77), (np.int8, -128), (np.int8, 127), (np.int8, 4)]


def extreme(rng, shape, dtype):
    """Random 8-bit weights, a third of them the extremes of the type."""
    limits = np.iinfo(dtype)
    q = rng.integers(limits.min, limits.max + 1, shape)
    which = rng.random(shape)
    return np.where(which < 0.2, limits.max, np.where(which < 0.4, limits.min, q)).astype(dtype)


def dequantized(g, shape, dtype, zero, axis=None):
    """Weights with a scale and zero point for all, or per index of `axis` around `zero`."""
    scale, zeros, attributes = np.float32(0.002), np.array(zero, dtype), {}
    if axis is not None:
        n, limits = shape[axis], np.iinfo(dtype)
        scale = np.linspace(0.001, 0.003, n).astype(np.float32)
        zeros = np.linspace(limits.min, limits.max, n).astype(dtype)
        attributes = {} if axis == 1 else {"axis": axis}  # 1 where nothing is said
    return g.node(
        "DequantizeLinear",
        [g.constant(extreme(g.rng, shape, dtype)), g.constant(scale), g.constant(zeros)],
        **attributes,
    )


def layer(op, dtype, zero, *, per_channel=False, group=1, transposed=(0, 0)):
    g = QdqBuilder("wide")
    x = g.qdq(g.input("x", (1, 12, 7, 7) if "Conv" in op else (6, 20)), 0.0213, 7)
    if op == "Conv":
        w = dequantized(g, (24, 12 // group, 3, 3), dtype, zero, 0 if per_channel else None)
        return g.model(g.qdq(g.node(op, [x, w], 24, group=group, pads=[1, 1, 1, 1]), STEP, 5))
    if op == "ConvTranspose":
        w = dequantized(g, (12, 8 // group, 3, 3), dtype, zero, 1 if per_channel else None)
        return g.model(g.qdq(g.node(op, [x, w], 8, group=group, strides=[2, 2]), STEP, 5))
    k = 6 if transposed[0] else 20
    shape = (10, k) if transposed[1] else (k, 10)
    w = dequantized(g, shape, dtype, zero, (0 if transposed[1] else 1) if per_channel else None)
    attributes = dict(zip(("transA", "transB"), transposed, strict=True)) if op == "Gemm" else {}
    return g.model(g.qdq(g.node(op, [x, w], 10, **attributes), STEP, 5))


@pytest.mark.parametrize(("dtype", "zero"), ZEROS)
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_every_zero_point(op, dtype, zero):
    check_integers(layer(op, dtype, zero), STEP, "tiny")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_zero_points_per_channel(op, dtype):
    check_integers(layer(op, dtype, 0, per_channel=True), STEP)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("group", [2, 4, 12])
@pytest.mark.parametrize("per_channel", [False, True])
def test_groups(op, group, per_channel):
    if op == "ConvTranspose" and group == 12:
        group = 1  # 8 output channels
    check_integers(layer(op, np.uint8, 0, per_channel=per_channel, group=group), STEP)


@pytest.mark.parametrize("transposed", [(0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_transposed_gemm(transposed, per_channel):
    check_integers(layer("Gemm", np.uint8, 0, transposed=transposed, per_channel=per_channel), STEP)


@pytest.mark.parametrize(
    ("shape", "vector"),
    [((1, 2, 3, 20), False), ((2, 3, 20), False), ((20,), False), ((1, 2, 3, 20), True), ((6, 20), True)],
)
def test_matmul_of_any_rank(shape, vector):
    g = QdqBuilder("ranks")
    x = g.qdq(g.input("x", shape), 0.0213, 7)
    w = dequantized(g, (20,) if vector else (20, 10), np.uint8, 0)
    check_integers(g.model(g.qdq(g.node("MatMul", [x, w]), STEP, 5)), STEP)


def test_weights_and_input_that_two_layers_share():
    """One 9-bit constant in a Conv and in another with other padding, over one input."""
    g = QdqBuilder("shared")
    x = g.qdq(g.input("x", (1, 12, 7, 7)), 0.0213, 7)
    w = dequantized(g, (12, 12, 3, 3), np.uint8, 0)
    a = g.qdq(g.node("Conv", [x, w], 12, pads=[1, 1, 1, 1]), STEP, 5)
    b = g.qdq(g.node("Conv", [a, w], 12, pads=[1, 1, 1, 1]), 8 * STEP, -5)
    c = g.qdq(g.node("Conv", [x, w], 12), STEP, 5)
    assert check_integers(g.model(b), 8 * STEP).program is not None
    state = check_integers(g.model(c, a), STEP)
    assert len([n for n in state.model.graph if n.op_type == "Concat"]) == 1  # the input is repeated once


def test_weights_behind_a_reshape():
    g = QdqBuilder("reshaped")
    x = g.qdq(g.input("x", (1, 4, 7, 7)), 0.0213, 7)
    w = dequantized(g, (8, 36), np.uint8, 3, axis=0)
    w = g.node("Reshape", [w, g.constant(np.array([8, 4, 3, 3], np.int64))])
    check_integers(g.model(g.qdq(g.node("Conv", [x, w], 8), STEP, 5)), STEP)


def test_single_weight_of_each_value():
    """One output channel per weight value from -255 to 255, each times one input: every value is exact."""
    g = QdqBuilder("each")
    x = g.qdq(g.input("x", (1, 1, 1, 2)), 1.0)
    q = g.constant(np.concatenate([np.arange(256), np.arange(256)]).astype(np.uint8).reshape(512, 1, 1, 1))
    zeros = g.constant(np.repeat(np.array([0, 255], np.uint8), 256))
    w = g.node("DequantizeLinear", [q, g.constant(np.full(512, 0.5, np.float32)), zeros], axis=0)
    model = g.model(g.qdq(g.node("Conv", [x, w], 512), 1.02, 0))
    check_integers(model, 1.02, inputs={"x": np.array([[[[1.0, -1.0]]]], np.float32)})


@pytest.mark.parametrize("limit", [255, 256, 400])
def test_parts_add_up(limit):
    values = np.arange(-limit, limit + 1)
    parts = int8_parts(values)
    assert np.array_equal(np.sum([p.astype(np.int64) for p in parts], axis=0), values)
    assert len(int8_parts(np.arange(-255, 255))) == 2  # 254 = 127 + 127


@pytest.mark.parametrize("value", [128, -129, 255.0])
def test_a_cast_that_would_wrap_is_refused(value):
    with pytest.raises(EncodingError, match="outside int8"):
        INT8.cast(np.array([0, value]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_zero_points_that_are_left_out(dtype):
    """The type of the integers is then said by DequantizeLinear's input, or by QuantizeLinear's output_dtype."""
    g = QdqBuilder("no zero point")
    kind = TensorProto.INT8 if dtype == np.int8 else TensorProto.UINT8
    s, t = g.constant(np.float32(0.03)), g.constant(np.float32(STEP))
    q = g.node("QuantizeLinear", [g.input("x", (1, 12, 7, 7)), s], output_dtype=kind)
    y = g.node("Conv", [g.node("DequantizeLinear", [q, s]), g.weights((24, 12, 3, 3))], 24)
    y = g.node("DequantizeLinear", [g.node("QuantizeLinear", [y, t], output_dtype=kind), t])
    info = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)]
    graph = helper.make_graph(g.nodes, "g", g.inputs, info, g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    check_integers(onnx.shape_inference.infer_shapes(model), STEP)
