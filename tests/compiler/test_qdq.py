"""QDQ models are taken as they are: QuantizeLinear and DequantizeLinear by hand, int8 and uint8."""

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder, demo_policy
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static
from parity import compile_proto, run_parity

from vlac.errors import UnsupportedError


class QdqBuilder(GraphBuilder):
    """GraphBuilder with QuantizeLinear / DequantizeLinear pairs."""

    def qdq(self, x, scale=0.05, zero=0, dtype=np.int8):
        s, z = self.constant(np.float32(scale)), self.constant(np.array(zero, dtype))
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, s, z]), s, z])

    def weights(self, shape, axis=0, dtype=np.int8, zero=0, scales=None):
        q = self.constant(self.rng.integers(-127, 128, shape).astype(np.int16).__add__(zero).astype(dtype))
        scales = np.full(shape[axis], 0.0097, np.float32) if scales is None else scales
        per_tensor = np.ndim(scales) == 0
        zeros = np.full(() if per_tensor else shape[axis], zero, dtype)
        return self.node(
            "DequantizeLinear",
            [q, self.constant(np.asarray(scales, np.float32)), self.constant(zeros)],
            **({} if per_tensor else {"axis": axis}),
        )


def model_with(body, channels=12):
    g = QdqBuilder("qdq")
    x = g.input("x", (1, channels, 9, 9))
    return g.model(body(g, x))


@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, -5), (np.uint8, 120)])
@pytest.mark.parametrize("config", ["u50", "tiny"])
def test_activation_types(dtype, zero, config):
    def body(g, x):
        y = g.node("Conv", [g.qdq(x, 0.0213, zero, dtype), g.weights((20, 12, 3, 3))], 20)
        return g.qdq(g.node("Relu", [g.qdq(y, 0.0617, zero, dtype)]), 0.0471, zero, dtype)

    run_parity(model_with(body), config, calib=None)


@pytest.mark.parametrize(
    "weights",
    [
        {"scales": np.float32(0.02)},
        {"scales": np.linspace(0.001, 0.03, 20)},
        {"dtype": np.uint8, "zero": 128},
    ],
    ids=["per tensor", "per channel", "uint8"],
)
def test_weight_types(weights):
    run_parity(
        model_with(
            lambda g, x: g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((20, 12, 3, 3), **weights)], 20), 0.3)
        ),
        calib=None,
    )


def test_relu_and_clip_without_quantization_between():
    """Conv -> Relu -> Clip -> Q: exact as a clamp."""

    def body(g, x):
        y = g.node("Relu", [g.node("Conv", [g.qdq(x, 0.0213), g.weights((20, 12, 3, 3))], 20)])
        y = g.node("Clip", [y, g.constant(np.float32(0.1)), g.constant(np.float32(4.0))])
        return g.qdq(y, 0.05, -10)

    outcome = run_parity(model_with(body), calib=None)
    assert next(iter(outcome.raw.values())).min() >= -8


def test_relu_of_another_scale_is_a_table():
    def body(g, x):
        y = g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((20, 12, 3, 3))], 20), 0.11)
        return g.qdq(g.node("Relu", [y]), 0.05, -128)

    assert "Relu" not in run_parity(model_with(body), calib=None).packets


def test_change_of_scale_between_layers():
    def body(g, x):
        y = g.qdq(g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((20, 12, 3, 3))], 20), 0.11), 0.2, 3)
        return g.qdq(g.node("Conv", [y, g.weights((8, 20, 1, 1))], 8), 0.3)

    run_parity(model_with(body), calib=None)


def test_unquantized_flatten_between_dequantize_and_gemm():
    def body(g, x):
        flat = g.node("Flatten", [g.qdq(x, 0.0213, 5)], 12 * 81)
        return g.qdq(g.node("Gemm", [flat, g.weights((10, 12 * 81))], 10, transB=1), 0.4)

    run_parity(model_with(body), calib=None)


def test_one_input_quantized_twice_is_refused():
    def body(g, x):
        a = g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((8, 12, 1, 1))], 8), 0.1)
        b = g.qdq(g.node("Conv", [g.qdq(x, 0.03, 7), g.weights((8, 12, 1, 1))], 8), 0.1)
        return g.qdq(g.node("Add", [a, b]), 0.15)

    with pytest.raises(UnsupportedError, match=r"input 'x' is quantized a second time with scale 0\.03 .* 0\.0213"):
        compile_proto(model_with(body), calib=None)


def test_an_input_read_both_quantized_and_in_float_is_refused():
    def body(g, x):
        a = g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((12, 12, 1, 1))], 12), 0.1)
        return g.qdq(g.node("Add", [a, g.qdq(g.node("Relu", [x]), 0.03)]), 0.15)

    with pytest.raises(UnsupportedError, match=r"Relu 'relu.*': its input 0 'x' is not quantized"):
        compile_proto(model_with(body), calib=None)


def test_float_value_between_nodes_is_refused():
    def body(g, x):
        return g.qdq(g.node("Sigmoid", [g.node("Conv", [g.qdq(x), g.weights((8, 12, 1, 1))], 8)]), 1 / 256, -128)

    with pytest.raises(UnsupportedError, match="Conv 'conv3': its result 'conv3' is not quantized"):
        compile_proto(model_with(body), calib=None)


def test_float_weights_are_refused():
    def body(g, x):
        return g.qdq(g.node("Conv", [g.qdq(x), g.constant(g.weight(8, 12, 1, 1))], 8))

    with pytest.raises(UnsupportedError, match=r"weight .* is not quantized"):
        compile_proto(model_with(body), calib=None)


def test_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedError, match="int16 is not supported; quantize to int8 or uint8"):
        g = QdqBuilder("wide")
        compile_proto(g.model(g.qdq(g.input("x", (1, 8)), 0.1, 0, np.int16), opset=21), calib=None)


def test_wide_weights_around_their_zero_point_are_refused():
    def body(g, x):
        return g.qdq(g.node("Conv", [g.qdq(x), g.weights((8, 12, 1, 1), dtype=np.uint8, zero=128)], 8))

    model = model_with(body)
    for t in model.graph.initializer:
        if list(t.dims) == [8] and t.data_type == onnx.TensorProto.UINT8:
            t.CopyFrom(onnx.numpy_helper.from_array(np.full(8, 3, np.uint8), t.name))
    with pytest.raises(UnsupportedError, match="outside int8; quantize weights symmetrically"):
        compile_proto(model, calib=None)


class _Reader(CalibrationDataReader):
    def __init__(self, model):
        rng = np.random.default_rng(0)
        shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
        self.left = iter([{n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}] * 2)

    def get_next(self):
        return next(self.left, None)


@pytest.mark.parametrize("kind", [QuantType.QUInt8, QuantType.QInt8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_models_quantized_by_onnx_runtime(tmp_path, kind, per_channel):
    model = demo_policy()
    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "qdq.onnx",
        _Reader(model),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=kind,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": kind == QuantType.QInt8},
    )
    run_parity(onnx.load(tmp_path / "qdq.onnx"), calib=None)
