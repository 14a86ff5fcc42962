"""The host's functions against numpy written another way, and against ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from vla_isa.errors import InputError
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
    kinds = [helper.np_dtype_to_tensor_dtype(x.dtype) for x in operands]
    infos = [helper.make_tensor_value_info(n, k, x.shape) for n, k, x in zip(names, kinds, operands, strict=True)]
    result = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([helper.make_node(name, names, ["y"], **attributes)], "g", infos, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, dict(zip(names, operands, strict=True)))[0]


_TRUTH = ("And", "Or", "Not")
_COMPARED = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_OTHERS = (
    *(*MOVERS, *_TRUTH, "Where", "Mod", "MatMul", "Gather", "Expand", "CumSum"),
    *("Cast", "Items", "Quantize", "Softmax", "LogSoftmax", "ArgMax", "ArgMin"),
)
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


@pytest.mark.parametrize("name", _TRUTH)
def test_truth_values(name):
    operands = [REAL > 0, np.array([True, False, False, True])][: FUNCTIONS[name].operands]
    found = computed(name, operands, SHAPE)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, by_onnx(name, operands))


def test_comparisons_make_truth_values():
    assert all(computed(name, [REAL, REAL], SHAPE).dtype == bool for name in _COMPARED)


def test_chosen_by_truth_values():
    operands = [REAL > 0, REAL, np.float32([[1, 2, 3, 4]])]
    np.testing.assert_array_equal(computed("Where", operands, SHAPE), by_onnx("Where", operands))


def test_rest_of_a_division():
    operands = [np.arange(-7, 8), np.array(3)]
    np.testing.assert_array_equal(computed("Mod", operands, (15,)), by_onnx("Mod", operands))
    with pytest.raises(InputError, match="0"):
        computed("Mod", [np.arange(3), np.array(0)], (3,))


def test_products():
    operands = [REAL, REAL[0].T]
    np.testing.assert_allclose(computed("MatMul", operands, (2, 3, 3)), by_onnx("MatMul", operands), rtol=1e-6)


def test_rows_of_a_table():
    """Also from its end; a number that is no row is refused."""
    operands = [np.array([[5, -1], [0, -6]]), REAL.reshape(6, 4)]
    wanted = by_onnx("Gather", operands[::-1])
    np.testing.assert_array_equal(computed("Gather", operands, (2, 2, 4)), wanted)
    for bad in (6, -7):
        with pytest.raises(InputError, match=str(bad)):
            computed("Gather", [np.array([bad]), operands[1]], (1, 4))


def test_spread():
    operands = [REAL[:1, :, :1], np.array(SHAPE)]
    np.testing.assert_array_equal(computed("Expand", operands[:1], SHAPE), by_onnx("Expand", operands))


@pytest.mark.parametrize("axis", [0, 2])
def test_running_sums(axis):
    operands = [REAL, np.array(axis)]
    np.testing.assert_allclose(computed("CumSum", operands[:1], SHAPE, (axis,)), by_onnx("CumSum", operands))


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
        found = computed("Items", [np.array([-1, -300, 4], dtype)], (3, 16), (300,))  # of 300 rows
        assert found[:, :2].tolist() == [[43, 1], [0, 0], [4, 0]]


@pytest.mark.parametrize("number", [2**31, 2**32, 2**40 + 3, -(2**32), -(2**32) + 3, 2**63 - 1, -(2**63)])
def test_items_of_more_than_32_bits_are_no_row(number):
    """The machine reads 32 bits of an item: a number that they would make another one of must stay one of no row."""
    for rows in ((), (300,)):
        (item,) = computed("Items", [np.array([number])], (1, 16), rows)
        low = int.from_bytes(item[:4].tobytes(), "little", signed=True)
        assert not 0 <= low < 300 and (low > 0) == (number > 0)
    (item,) = computed("Items", [np.array([2**63 + 5], np.uint64)], (1, 16), ())
    assert int.from_bytes(item[:4].tobytes(), "little", signed=True) == 2**31 - 1


def test_moves():
    np.testing.assert_array_equal(computed("Transpose", [REAL], (4, 2, 3), (2, 0, 1)), np.moveaxis(REAL, 2, 0))
    np.testing.assert_array_equal(computed("Slice", [REAL], (1, 3, 2), (1, 2, 0, 1, -1, 2)), REAL[1:, ::-1, ::2])
    np.testing.assert_array_equal(
        computed("Concat", [REAL, REAL[:, :1]], (2, 4, 4), (1,)), np.hstack([REAL, REAL[:, :1]])
    )
    np.testing.assert_array_equal(computed("Reshape", [REAL], (6, 4)), REAL.reshape(6, 4))
