"""The steps that the host does behind an output, against numpy written another way."""

import numpy as np
import pytest

from vla_isa.layout import TensorLayout
from vla_isa.program import Finish, IoTensor
from vlarun.finish import to_output

SHAPE = (2, 3, 4)
REAL = np.random.default_rng(0).integers(-40, 40, SHAPE).astype(np.float32) / 8


def output(*steps, dtype="float32"):
    layout = TensorLayout(SHAPE, (6, 4), (0, 1), 1, 6, 4, 8)
    tensor = IoTensor("y", layout, 0, 0.125, 5, dtype, steps)
    return to_output((REAL * 8 + 5).astype(np.int8), tensor)


def test_no_step():
    np.testing.assert_array_equal(output(), REAL)
    assert output(dtype="float16").dtype == np.float16 and output(dtype="no such type").dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(axis):
    wanted = np.exp(REAL.astype(np.float64))
    wanted /= wanted.sum(axis, keepdims=True)
    np.testing.assert_allclose(output(Finish("Softmax", SHAPE, axis)), wanted, rtol=1e-6)
    np.testing.assert_allclose(output(Finish("LogSoftmax", SHAPE, axis)), np.log(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
def test_indices(name, axis, last):
    shape = tuple(1 if i == axis else n for i, n in enumerate(SHAPE))
    found = output(Finish(name, shape, axis, last), dtype="int64")
    best = (REAL.max if name == "ArgMax" else REAL.min)(axis, keepdims=True)
    positions = np.where(
        best == REAL, np.arange(SHAPE[axis]).reshape([-1 if i == axis else 1 for i in range(3)]), np.nan
    )
    wanted = (np.nanmax if last else np.nanmin)(positions, axis=axis, keepdims=True)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, wanted)


def test_several_steps():
    found = output(Finish("Quantize", SHAPE, scale=0.5, zero_point=-128), Finish("Reshape", (4, 6)))
    np.testing.assert_array_equal(found, (np.clip(np.rint(REAL * 2), 0, 255) / 2).reshape(4, 6))
