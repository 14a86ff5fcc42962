"""QDQ models are taken as they are: QuantizeLinear and DequantizeLinear by hand, int8 and uint8."""

import numpy as np
import onnx
import pytest
from graphs import demo_policy
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static
from parity import compile_proto, run_parity
from qdq_graphs import QdqBuilder, model_with

from vlac.errors import UnsupportedError


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


def test_one_input_quantized_twice():
    """The device takes it twice, each time in its own scale."""

    def body(g, x):
        a = g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((8, 12, 1, 1))], 8), 0.1)
        b = g.qdq(g.node("Conv", [g.qdq(x, 0.03, 7), g.weights((8, 12, 1, 1))], 8), 0.1)
        return g.qdq(g.node("Add", [a, b]), 0.15)

    outcome = run_parity(model_with(body), calib=None)
    assert [t.scale for t in outcome.state.program.inputs] == [np.float32(0.0213), np.float32(0.03)]
    assert [v.name for v in outcome.state.program.model_inputs] == ["x"]


def test_an_input_read_both_quantized_and_in_float():
    def body(g, x):
        a = g.qdq(g.node("Conv", [g.qdq(x, 0.0213), g.weights((12, 12, 1, 1))], 12), 0.1)
        return g.qdq(g.node("Add", [a, g.qdq(g.node("Relu", [x]), 0.03)]), 0.15)

    outcome = run_parity(model_with(body), calib=None)
    program = outcome.state.program
    assert sorted(map(program.model.steps, program.model.feeds)) == [[], ["Relu"]]


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


def test_sixteen_bits_without_a_sign_are_refused():
    with pytest.raises(UnsupportedError, match="uint16 is not supported; quantize to int8, uint8 or int16"):
        g = QdqBuilder("wide")
        compile_proto(g.model(g.qdq(g.input("x", (1, 8)), 0.1, 0, np.uint16), opset=21), calib=None)


@pytest.mark.parametrize("group", [1, 4, 12])
@pytest.mark.parametrize("zeros", [3, np.linspace(90, 160, 24)], ids=["per tensor", "per channel"])
def test_convolutions_with_weights_beyond_int8(group, zeros):
    """uint8 weights less their zero point reach -255..255: [A, R] * [x, x]."""

    def body(g, x):
        q = g.constant(g.rng.integers(0, 256, (24, 12 // group, 3, 3)).astype(np.uint8))
        scale = g.constant(np.full(np.shape(zeros), 0.003, np.float32))
        w = g.node("DequantizeLinear", [q, scale, g.constant(np.asarray(zeros).astype(np.uint8))], axis=0)
        return g.qdq(g.node("Conv", [g.qdq(x, 0.0213, 7), w], 24, group=group, pads=[1, 1, 1, 1]), 0.3, 5)

    run_parity(model_with(body), "tiny", calib=None)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_weights_beyond_int8(transposed):
    def body(g, x):
        flat = g.node("Flatten", [g.qdq(x, 0.0213, 5)], 12 * 81)
        shape = (10, 12 * 81) if transposed else (12 * 81, 10)
        w = g.weights(shape, axis=1 - transposed, dtype=np.uint8, zero=127)
        return g.qdq(g.node("Gemm", [flat, w], 10, transB=transposed), 0.4)

    model = model_with(body)
    for t in model.graph.initializer:  # zero points away from the middle
        if list(t.dims) == [10] and t.data_type == onnx.TensorProto.UINT8:
            t.CopyFrom(onnx.numpy_helper.from_array(np.arange(100, 110, dtype=np.uint8), t.name))
    run_parity(model, calib=None)


class _Reader(CalibrationDataReader):
    def __init__(self, model):
        rng = np.random.default_rng(0)
        shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
        self.left = iter([{n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}] * 2)

    def get_next(self):
        return next(self.left, None)


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        (QuantType.QUInt8, QuantType.QUInt8),
        (QuantType.QUInt8, QuantType.QInt8),
        (QuantType.QInt8, QuantType.QInt8),
    ],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_models_quantized_by_onnx_runtime(tmp_path, kind, weights, per_channel):
    model = demo_policy()
    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "qdq.onnx",
        _Reader(model),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=kind,
        weight_type=weights,
        extra_options={"ActivationSymmetric": kind == QuantType.QInt8},
    )
    run_parity(onnx.load(tmp_path / "qdq.onnx"), calib=None)


@pytest.mark.parametrize("rows", [(20, 108), (20, 12, 9)])
def test_weights_that_get_their_shape_behind_their_scales(rows):
    def body(g, x):
        w = g.node("Reshape", [g.weights(rows), g.constant(np.array([20, 12, 3, 3]))])
        return g.qdq(g.node("Conv", [g.qdq(x, 0.0213), w], 20), 0.3)

    assert run_parity(model_with(body), calib=None).packets.count("Conv") == 1
