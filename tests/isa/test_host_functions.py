"""The host's functions against numpy written another way, and against ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from vla_isa.host_functions import FUNCTIONS, MOVERS

SHAPE = (2, 3, 4)
REAL = np.random.default_rng(0).integers(-40, 40, SHAPE).astype(np.float32) / 8


def computed(name, operands, shape, numbers=()):
    function = FUNCTIONS[name]
    assert function.fits([x.shape for x in operands], shape, numbers)
    return np.asarray(function.compute(operands, shape, numbers))


def by_onnx(name, operands, **attributes):
    """What ONNX Runtime makes of the operator of this name."""
    names = [f"x{i}" for i in range(len(operands))]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n, x in zip(names, operands, strict=True)]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(name, names, ["y"], **attributes)], "g", infos, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, dict(zip(names, operands, strict=True)))[0]


_OTHERS = (*MOVERS, "Cast", "Items", "Quantize", "Softmax", "LogSoftmax", "ArgMax", "ArgMin")
ELEMENTWISE = [n for n in FUNCTIONS if n not in _OTHERS]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_is_the_onnx_operator(name):
    other = np.array([[0.5, 2.0, -1.0, 3.0]], np.float32)
    operands = [REAL] if FUNCTIONS[name].operands == 1 else [REAL, other]
    np.testing.assert_allclose(computed(name, operands, SHAPE), by_onnx(name, operands), rtol=2e-6, atol=1e-6)
    if len(operands) == 2:
        np.testing.assert_allclose(
            computed(name, operands[::-1], SHAPE), by_onnx(name, operands[::-1]), rtol=2e-6, atol=1e-6
        )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(axis):
    wanted = np.exp(REAL.astype(np.float64))
    wanted /= wanted.sum(axis, keepdims=True)
    np.testing.assert_allclose(computed("Softmax", [REAL], SHAPE, (axis,)), wanted, rtol=1e-6)
    np.testing.assert_allclose(computed("LogSoftmax", [REAL], SHAPE, (axis,)), np.log(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
def test_indices(name, axis, last):
    shape = tuple(1 if i == axis else n for i, n in enumerate(SHAPE))
    found = computed(name, [REAL], shape, (axis, last))
    best = (REAL.max if name == "ArgMax" else REAL.min)(axis, keepdims=True)
    positions = np.where(
        best == REAL, np.arange(SHAPE[axis]).reshape([-1 if i == axis else 1 for i in range(3)]), np.nan
    )
    np.testing.assert_array_equal(found, (np.nanmax if last else np.nanmin)(positions, axis=axis, keepdims=True))


def test_quantize():
    found = computed("Quantize", [REAL, np.array(0.5, np.float32)], SHAPE, (-128,))
    np.testing.assert_array_equal(found, np.clip(np.rint(REAL * 2), 0, 255) / 2)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_items(dtype):
    """64 bits of each number, little endian, then eight bytes of 0."""
    numbers = np.array([[1, 127], [7, 126]], dtype)
    wanted = np.zeros((4, 16), np.int8)
    wanted[:, 0] = [1, 127, 7, 126]
    np.testing.assert_array_equal(computed("Items", [numbers], (4, 16), ()), wanted)
    if dtype != np.uint8:
        found = computed("Items", [np.array([258, -1], dtype)], (2, 16), ())
        assert found.tolist() == [[2, 1, *[0] * 14], [*[-1] * 8, *[0] * 8]]


def test_moves():
    np.testing.assert_array_equal(computed("Transpose", [REAL], (4, 2, 3), (2, 0, 1)), np.moveaxis(REAL, 2, 0))
    np.testing.assert_array_equal(computed("Slice", [REAL], (1, 3, 2), (1, 2, 0, 1, -1, 2)), REAL[1:, ::-1, ::2])
    np.testing.assert_array_equal(
        computed("Concat", [REAL, REAL[:, :1]], (2, 4, 4), (1,)), np.hstack([REAL, REAL[:, :1]])
    )
    np.testing.assert_array_equal(computed("Reshape", [REAL], (6, 4)), REAL.reshape(6, 4))
