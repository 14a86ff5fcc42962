"""Weights of other types than 8 bits: what is exact, what is calibrated as a float model, and what is refused."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from parity import compile_proto
from source_parity import check_integers, check_real

from vlac.errors import CalibrationError, UnsupportedError


def model(dtype, *, activations, zero=None, per_channel=True, block=0, op="MatMul"):
    """A product with quantized weights, and activations that are quantized or not."""
    rng = np.random.default_rng(1)
    narrow = np.dtype(dtype).itemsize == 1 and "4" in np.dtype(dtype).name
    low, high = (
        (-8 * (np.dtype(dtype).name[0] == "i"), 7 + 8 * (np.dtype(dtype).name[0] == "u")) if narrow else (-100, 101)
    )
    q = rng.integers(low, high + 1, (32, 10)).astype(dtype)
    size = (32 // block, 10) if block else (10,) if per_channel else ()
    constants = {"wq": q, "sw": (rng.random(size) * 0.1 + 0.01).astype(np.float32)}
    constants |= {} if zero is None else {"wz": np.full(size, zero).astype(dtype)}
    constants |= {"sx": np.float32(0.03), "sy": np.float32(0.1), "z": np.int8(0)}
    attributes = {"axis": 0, "block_size": block} if block else {"axis": 1} if per_channel else {}
    node = helper.make_node
    weight = node("DequantizeLinear", ["wq", "sw", *(["wz"] if zero is not None else [])], ["wd"], **attributes)
    nodes = [weight, node(op, ["x", "wd"], ["y"])]
    if activations:
        nodes = [
            node("QuantizeLinear", ["x", "sx", "z"], ["xq"]),
            node("DequantizeLinear", ["xq", "sx", "z"], ["xd"]),
            weight,
            node(op, ["xd", "wd"], ["c"]),
            node("QuantizeLinear", ["c", "sy", "z"], ["yq"]),
            node("DequantizeLinear", ["yq", "sy", "z"], ["y"]),
        ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 32]), ("y", [1, 10]))]
    initializers = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("dtype", "zero"), [(ml_dtypes.int4, None), (ml_dtypes.int4, -8), (ml_dtypes.uint4, 8), (ml_dtypes.uint4, None)]
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_four_bits_are_exact(dtype, zero, per_channel):
    state = check_integers(model(dtype, activations=True, zero=zero, per_channel=per_channel), 0.1)
    onnx.checker.check_model(state.qdq, full_check=True)  # weights and zero points of one type


@pytest.mark.parametrize(
    ("dtype", "zero", "block"),
    [
        (ml_dtypes.int4, None, 0),
        (ml_dtypes.uint4, 8, 0),
        (np.int8, None, 0),
        (ml_dtypes.int4, None, 16),
        (ml_dtypes.uint4, 7, 8),
        (np.int16, None, 0),
    ],
)
def test_a_model_with_float_activations_is_calibrated(dtype, zero, block):
    check_real(model(dtype, activations=False, zero=zero, block=block), 25)


def test_it_needs_calibration_data():
    with pytest.raises(CalibrationError, match="give --calib"):
        compile_proto(model(ml_dtypes.int4, activations=False), calib=None)


@pytest.mark.parametrize(
    ("dtype", "block", "message"),
    [
        (np.int16, 0, "its weight 'wd' is int16; quantize weights to int8 or uint8"),
        (np.int8, 16, "quantized in blocks; use one scale"),
    ],
)
def test_refusals(dtype, block, message):
    with pytest.raises(UnsupportedError, match=message):
        compile_proto(model(dtype, activations=True, block=block), calib=None)
