"""Quantized models as torchao / PT2E, Brevitas (QCDQ) and QONNX write them: built by hand, parity with ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import OPSET, GraphBuilder
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from parity import compile_proto, run_parity
from qdq_graphs import QdqBuilder, model_with

from vlac.errors import UnsupportedError
from vlac.quantize.dialects import from_qonnx
from vlac.quantize.dialects.qonnx import DOMAINS


def run_onnx(model, inputs):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, inputs)


# --- torchao, torch.export PT2E: float weights -> Q -> DQ, float biases, Linear as Transpose + MatMul + Add ------


class Pt2eBuilder(QdqBuilder):
    def linear(self, x, k, n, *, bias):
        w = self.pt2e_weight(self.weight(n, k))
        y = self.node("MatMul", [x, self.node("Transpose", [w], perm=[1, 0])], n)
        return self.node("Add", [y, self.constant(self.rng.standard_normal(n).astype(np.float32) * 0.1)]) if bias else y

    def pt2e_weight(self, array, *, per_channel=False):
        flat = np.abs(array).reshape(len(array), -1)
        scale = (flat.max(axis=1) if per_channel else flat.max()).astype(np.float32) / np.float32(127)
        s, z = self.constant(np.asarray(scale)), self.constant(np.zeros(np.shape(scale), np.int8))
        axis = {"axis": 0} if per_channel else {}
        low, high = self.constant(np.array(-127, np.int8)), self.constant(np.array(127, np.int8))
        q = self.node("QuantizeLinear", [self.constant(array), s, z], **axis)
        return self.node("DequantizeLinear", [self.node("Clip", [q, low, high]), s, z], **axis)


def pt2e_model(*, per_channel, bias):
    g = Pt2eBuilder("pt2e")
    x = g.qdq(g.input("x", (1, 12, 9, 9)), 0.021, 3)
    inputs = [x, g.pt2e_weight(g.weight(20, 12, 3, 3), per_channel=per_channel)]
    if bias:
        inputs.append(g.constant(g.rng.standard_normal(20).astype(np.float32) * 0.1))
    y = g.qdq(g.node("Relu", [g.node("Conv", inputs, 20)]), 0.013, -128)
    y = g.qdq(g.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2]), 0.013, -128)
    y = g.linear(g.node("Flatten", [y], 180), 180, 30, bias=bias)
    y = g.qdq(g.node("Relu", [y]), 0.02, -128)
    return g.model(g.qdq(g.linear(y, 30, 7, bias=bias), 0.03, 11))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("config", ["u50", "tiny"])
def test_pt2e(per_channel, config):
    run_parity(pt2e_model(per_channel=per_channel, bias=False), config, calib=None)


@pytest.mark.parametrize("order", [[1, 0], None])
def test_pt2e_linear_per_channel(order):
    """The axis of the scales turns with the weights, also where the order is the default one."""
    g = Pt2eBuilder("linear")
    weights = g.weight(30, 60) * np.exp(g.rng.standard_normal((30, 1))).astype(np.float32)
    turned = g.node("Transpose", [g.pt2e_weight(weights, per_channel=True)], **({"perm": order} if order else {}))
    x = g.qdq(g.input("x", (1, 60)), 0.021, 3)
    run_parity(g.model(g.qdq(g.node("MatMul", [x, turned], 30), 0.0377, 11)), calib=None)


def test_pt2e_float_bias_is_rounded_to_the_accumulator():
    """ONNX Runtime adds a float bias in float: at most 1 apart, and rarely."""
    outcome = run_parity(pt2e_model(per_channel=True, bias=True), calib=None, different=1e-2)
    assert outcome.packets.count("Gemm") == 2


# --- Brevitas QCDQ: Clip of integers between Q and DQ ----------------------------------------------------------


def clipped(g, x, scale, zero, bounds, dtype=np.int8):
    s, z = g.constant(np.float32(scale)), g.constant(np.array(zero, dtype))
    q = g.node("QuantizeLinear", [x, s, z])
    low, high = (g.constant(np.array(b, dtype)) for b in bounds)
    return g.node("DequantizeLinear", [g.node("Clip", [q, low, high]), s, z])


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("zero", "bounds", "dtype"), [(0, (-8, 7), np.int8), (0, (-127, 127), np.int8), (4, (0, 15), np.uint8)]
)
def test_clip_between_quantize_and_dequantize(relu, zero, bounds, dtype):
    def body(g, x):
        y = g.node("Conv", [clipped(g, x, 0.02, 0, (-127, 127)), g.weights((20, 12, 3, 3))], 20)
        y = clipped(g, g.node("Relu", [y]) if relu else y, 0.31, zero, bounds, dtype)
        return g.qdq(g.node("Conv", [y, g.weights((8, 20, 1, 1))], 8), 0.9)

    model = model_with(body)
    outcome = run_parity(model, calib=None)
    reference = run_onnx(model, outcome.inputs)[0]
    found = next(iter(outcome.raw.values())).astype(np.int64)
    wanted = np.rint(reference / np.float32(0.9)).astype(np.int64)
    assert np.abs(found - wanted).max() <= 1 and (found == wanted).mean() > 0.999


# --- QONNX: Quant nodes -------------------------------------------------------------------------------------


class QonnxBuilder(QdqBuilder):
    domain = DOMAINS[0]

    def quant(self, x, scale, *, zero=0.0, bits=8.0, **attributes):
        parameters = [self.constant(np.asarray(v, np.float32)) for v in (scale, zero, bits)]
        attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attributes}
        return self.node("Quant", [x, *parameters], domain=self.domain, **attributes)

    def qonnx(self, out, *shape):
        infos = [helper.make_tensor_value_info(out, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, infos, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(self.domain, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def qonnx_model(*, bits=8, out_bits=8):
    g = QonnxBuilder("qonnx")
    x = g.quant(g.input("x", (1, 12, 9, 9)), 1 / 64)
    scales = np.linspace(0.002, 0.004, 20).reshape(-1, 1, 1, 1)
    w = g.quant(g.constant(g.weight(20, 12, 3, 3)), scales * (1 if bits == 8 else 16), bits=bits, narrow=1)
    unit = (scales * (1 if bits == 8 else 16)).reshape(-1) / 64
    b = g.quant(g.constant(g.rng.standard_normal(20).astype(np.float32) * 0.1), unit, bits=32)
    y = g.quant(g.node("Relu", [g.node("Conv", [x, w, b], 20)]), 1 / 8, bits=bits, signed=0)
    w = g.quant(g.constant(g.weight(20 * 49, 5)), 0.001)
    return g.qonnx(g.quant(g.node("MatMul", [g.node("Flatten", [y], 20 * 49), w], 5), 1 / 32, bits=out_bits), 1, 5)


@pytest.mark.parametrize(("bits", "out_bits"), [(8, 8), (4, 8), (4, 6)])
def test_qonnx(bits, out_bits):
    model = qonnx_model(bits=bits, out_bits=out_bits)
    converted = from_qonnx(model)
    assert not any(n.domain in DOMAINS for n in converted.graph.node)
    outcome = run_parity(model, calib=None)
    reference = run_onnx(converted, outcome.inputs)[0]
    found = next(iter(outcome.raw.values())).astype(np.float32) / 32
    assert np.abs(found - reference).max() <= 1 / 32 + 1e-6
    assert np.abs(reference).max() <= 2 ** (out_bits - 1) / 32


@pytest.mark.parametrize(("zero", "signed"), [(0.0, 1), (3.0, 1), (7.0, 0)])
def test_qonnx_weights_with_a_zero_point(zero, signed):
    """Beside the definition in float: the integers less the zero point are what is multiplied."""
    g = QonnxBuilder("zero")
    x = g.quant(g.input("x", (1, 40)), 1 / 64)
    w = g.quant(g.constant(g.weight(40, 6) * 8), 0.31, zero=zero, bits=4, signed=signed)
    run_parity(g.qonnx(g.quant(g.node("MatMul", [x, w], 6), 1 / 17), 1, 6), calib=None)


def test_qonnx_weights_with_scales_of_two_channels():
    g = QonnxBuilder("two")
    x = g.quant(g.input("x", (1, 40)), 1 / 64)
    w = g.quant(g.constant(g.weight(40, 2)), [[0.004, 0.013]])
    model = g.qonnx(g.quant(g.node("MatMul", [x, w], 2), 1 / 17), 1, 2)
    run_parity(model, calib=None)
    scales = [numpy_helper.to_array(t) for t in from_qonnx(model).graph.initializer if t.dims[:] == [2]]
    assert any(np.array_equal(s, np.array([0.004, 0.013], np.float32)) for s in scales)


def test_qonnx_parameters_that_are_constant_nodes():
    """Exporters write them so; the result is that of the same model with initializers."""
    model = qonnx_model()
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.graph.initializer[:]
    for tensor in model.graph.initializer:
        other.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    inputs = {"x": np.random.default_rng(3).standard_normal((1, 12, 9, 9)).astype(np.float32)}
    found, wanted = (run_onnx(from_qonnx(m), inputs)[0] for m in (other, model))
    assert np.array_equal(found, wanted)


def test_qonnx_rounds_as_its_definition_says():
    """Quant of a constant: clip(round_half_even(x / s) + z) as integers, with the limits of sign, narrow and bits."""
    values = np.array([-9.0, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 9.0], np.float32)
    for attributes, bits, low, high in (
        ({"narrow": 1}, 4, -7, 7),
        ({}, 4, -8, 7),
        ({"signed": 0}, 3, 0, 7),
        ({"signed": 0, "narrow": 1}, 3, 0, 6),
    ):
        g = QonnxBuilder("constant")
        out = g.node("Add", [g.input("x", (8,)), g.quant(g.constant(values), 1.0, bits=bits, **attributes)])
        found = run_onnx(from_qonnx(g.qonnx(out, 8)), {"x": np.zeros(8, np.float32)})[0]
        assert np.array_equal(found, np.clip(np.rint(values), low, high)), attributes


def test_older_domains_of_quant():
    for domain in DOMAINS:
        g = QonnxBuilder("domain")
        g.domain = domain
        y = g.node("Conv", [g.quant(g.input("x", (1, 3, 5, 5)), 0.1), g.weights((4, 3, 1, 1))], 4)
        assert compile_proto(g.qonnx(g.quant(y, 0.2), 1, 4, 5, 5), "tiny", calib=None).program is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 16.0}, "16 bits signed with 1 scales; the machine takes up to 8 bits with one scale"),
        ({"scale": np.full((1, 3, 1, 1), 0.1)}, "8 bits signed with 3 scales"),
        ({"bits": 2.5}, "must be whole numbers"),
        ({"rounding_mode": "FLOOR"}, "rounded to nearest even, not by FLOOR"),
    ],
)
def test_quant_nodes_that_are_refused(options, message):
    g = QonnxBuilder("refused")
    x = g.quant(g.input("x", (1, 3, 5, 5)), **{"scale": 0.1, **options})
    with pytest.raises(UnsupportedError, match=message):
        compile_proto(g.qonnx(g.quant(g.node("Conv", [x, g.weights((4, 3, 1, 1))], 4), 0.2), 1, 4, 5, 5), calib=None)


def test_all_refused_quant_nodes_are_listed():
    g = QonnxBuilder("refused")
    x = g.quant(g.input("x", (1, 3, 5, 5)), 0.1, bits=16)
    y = g.node("Conv", [x, g.weights((4, 3, 1, 1))], 4)
    with pytest.raises(UnsupportedError, match="2 nodes"):
        compile_proto(g.qonnx(g.quant(y, 0.2, rounding_mode="CEIL"), 1, 4, 5, 5), calib=None)


def test_a_bias_of_more_bits_than_the_accumulator_is_refused():
    g = QonnxBuilder("bits")
    y = g.node("Add", [g.input("x", (8,)), g.quant(g.constant(np.ones(8, np.float32)), 0.1, bits=33)])
    with pytest.raises(UnsupportedError, match="33 bits signed"):
        from_qonnx(g.qonnx(y, 8))


def test_graphs_without_quant_nodes_are_left_alone():
    model = model_with(lambda g, x: g.qdq(x))
    assert from_qonnx(model) is model


def test_formats_that_are_refused_say_what_to_use(tmp_path):
    g = GraphBuilder("formats")
    onnx.save(g.model(g.conv(g.input("x", (1, 3, 8, 8)), 4)), tmp_path / "float.onnx")
    samples = iter([{"x": np.ones((1, 3, 8, 8), np.float32)}, None])

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return next(samples)

    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "q.onnx", Reader(), quant_format=quantization.QuantFormat.QOperator
    )
    quantization.quantize_dynamic(tmp_path / "float.onnx", tmp_path / "dynamic.onnx")
    for name, message in (("q", "QOperator format; quantize with QuantFormat.QDQ"), ("dynamic", "quantize statically")):
        with pytest.raises(UnsupportedError, match=message):
            compile_proto(onnx.load(str(tmp_path / f"{name}.onnx")))


def test_unnamed_quant_nodes_are_named_by_their_output():
    g = QonnxBuilder("unnamed")
    model = g.qonnx(g.quant(g.input("x", (1, 3, 5, 5)), 0.1, bits=16), 1, 3, 5, 5)
    for node in model.graph.node:
        node.ClearField("name")
    with pytest.raises(UnsupportedError, match=f"Quant '{model.graph.output[0].name}': 16 bits"):
        from_qonnx(model)
