"""Cross-layer equalization: which pairs of layers, equal ranges behind it, and the same numbers in ONNX Runtime."""

import numpy as np
import pytest
from rewritten import rewritten

from vlac.quantize.equalize import equalize

RNG = np.random.default_rng(0)
SCALES = np.float32([0.001, 0.02, 0.3, 1, 20, 0.05])


def array(*shape, size=0.1):
    return (size * RNG.uniform(-1, 1, shape)).astype(np.float32)


def equalized(body, inputs, constants, outputs="y"):
    """How many pairs there are, and the constants behind it by name."""
    counts = []
    found = rewritten(lambda m: counts.append(equalize(m)), body, inputs, outputs, rtol=1e-4, constants=constants)
    return counts[0], {name: v.const_value.numpy() for name, v in found.graph.initializers.items()}


def scaled(w, axis=0):
    """Rows of very different size."""
    return w * SCALES.reshape([-1 if i == axis else 1 for i in range(w.ndim)])


def largest(w, axis):
    return np.abs(np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)).max(axis=1)


X, IMAGE = "float[2,5] x", "float[1,3,6,8] x"
CONV = {"w": scaled(array(6, 3, 3, 2)), "b": array(6)}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize("bias", ["", ", b", ", one"])
def test_two_gemms(first, second, bias):
    w, v = scaled(array(6, 5)), array(6, 4)
    constants = {"w": w if first else w.T, "v": v.T if second else v, "b": array(6), "one": array(1)}
    body = f"h = Gemm <transB = {first}> (x, w{bias}) r = Relu (h) y = Gemm <transB = {second}> (r, v)"
    count, found = equalized(body, X, constants)
    assert count == 1
    assert largest(found["w"], 1 - first) == pytest.approx(largest(found["v"], second), rel=2e-3)
    expected = np.sqrt(largest(w, 0) * largest(v, 0))
    assert largest(found["v"], second) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("group", "shape"), [(1, (4, 6, 2, 3)), (2, (4, 3, 2, 3)), (3, (9, 2, 1, 2)), (6, (6, 1, 2, 3))]
)
def test_two_convolutions(group, shape):
    v = array(*shape)
    body = f"h = Conv (x, w, b) r = Relu (h) y = Conv <group = {group}> (r, v)"
    count, found = equalized(body, IMAGE, CONV | {"v": v})
    rows = np.moveaxis(found["v"].reshape(group, -1, *shape[1:]), 2, 1).reshape(6, -1)
    assert count == 1 and largest(found["w"], 0) == pytest.approx(largest(rows, 0), rel=2e-3)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("flat", ["Flatten (h)", "Reshape (h, size)"])
def test_flattened_pixels(transposed, flat):
    """Every channel becomes 4 x 7 features."""
    v = array(168, 4)
    body = f"h = Conv (x, w) f = {flat} r = Relu (f) y = Gemm <transB = {transposed}> (r, v)"
    count, found = equalized(body, IMAGE, CONV | {"v": v.T if transposed else v, "size": np.int64([1, 168])})
    rows = (found["v"].T if transposed else found["v"]).reshape(6, -1)
    assert count == 1 and largest(found["w"], 0) == pytest.approx(largest(rows, 0), rel=2e-3)


def test_a_chain_is_settled_as_a_whole():
    """What the second pair moves in the second layer, the first pair sees again."""
    constants = {"w": scaled(array(6, 3, 1, 1)), "v": scaled(array(6, 6, 1, 1), 1), "u": scaled(array(5, 6, 1, 1), 1)}
    constants["v"][:, 3] *= 50
    count, found = equalized("a = Conv (x, w) b = Conv (a, v) y = Conv (b, u)", IMAGE, constants)
    assert count == 2
    assert largest(found["w"], 0) == pytest.approx(largest(found["v"], 1), rel=0.01)
    assert largest(found["v"], 0) == pytest.approx(largest(found["u"], 1), rel=0.01)


def test_channels_of_zeros_stay():
    """One that makes nothing, and one that nothing reads; the others of less than 1 move all the same."""
    w, v = scaled(array(6, 5)), array(6, 4)
    w[1], v[4] = 0, 0
    _, found = equalized("h = Gemm <transB = 1> (x, w) y = Gemm (h, v)", X, {"w": w, "v": v})
    assert (found["w"][1] == 0).all() and np.array_equal(found["v"][1], v[1]) and np.array_equal(found["w"][4], w[4])
    assert largest(found["w"], 0)[[0, 2, 3, 5]] == pytest.approx(largest(found["v"], 0)[[0, 2, 3, 5]], rel=2e-3)


def test_equal_channels_stay_as_they_are():
    w = np.float32([[1, -0.5], [0.5, 1], [0.25, 1]])
    count, found = equalized("h = Gemm <transB = 1> (x, w, b) y = Gemm (h, v)", "float[1,2] x",
                             {"w": w, "v": w[:, ::-1].copy(), "b": np.float32([1, 2, 3])})  # fmt: skip
    assert count == 1 and np.array_equal(found["w"], w) and found["b"].tolist() == [1, 2, 3]


PAIRS = {
    "Relu (h)": 1,
    "LeakyRelu <alpha = 0.1> (h)": 1,
    "MaxPool <kernel_shape = [2, 2]> (h)": 1,
    "AveragePool <kernel_shape = [2, 2]> (h)": 1,
    "GlobalAveragePool (h)": 1,
    "Identity (h)": 1,
    "Dropout (h)": 1,
    "Clip (h, low)": 0,
    "Sigmoid (h)": 0,
    "Transpose <perm = [0, 1, 3, 2]> (h)": 0,
    "Reshape (h, turned)": 0,  # other channels
    "Add (h, h)": 0,  # two readers
}


@pytest.mark.parametrize("between", PAIRS)
def test_what_lies_between(between):
    constants = CONV | {"v": array(4, 6, 1, 1), "low": np.float32(-1), "turned": np.int64([1, 6, 7, 4])}
    count, _ = equalized(f"h = Conv (x, w, b) r = {between} y = Conv (r, v)", IMAGE, constants)
    assert count == PAIRS[between]


@pytest.mark.parametrize(
    ("body", "inputs", "constants", "outputs"),
    [
        ("h = Conv (x, w, b) y = Conv (h, v)", IMAGE, {}, "y, h"),
        ("h = Conv (x, w, b) y = Conv (h, v) r = Relu (h)", IMAGE, {}, "y, r"),
        ("h = Conv (x, w, b) y = Relu (h)", IMAGE, {}, "y"),
        ("h = Conv (x, z) y = Conv (h, v)", IMAGE + ", float[6,3,3,2] z", {}, "y"),
        ("h = Conv (x, w, z) y = Conv (h, v)", IMAGE + ", float[6] z", {}, "y"),
        ("h = Conv (x, w, b) y = Conv (h, z)", IMAGE + ", float[4,6,1,1] z", {}, "y"),
        ("h = Conv (x, w, b) y = Conv (z, h)", IMAGE + ", float[1,6,9,9] z", {}, "y"),
        ("h = Conv (x, w, b) y = Conv (h, v) y2 = Conv (x, w)", IMAGE, {}, "y, y2"),
        ("h = Conv (x, w, b) y = Conv (h, v, b)", IMAGE, {"v": array(6, 6, 1, 1)}, "y"),
        ("h = ConvTranspose (x, w) y = Conv (h, v)", IMAGE, {"w": array(3, 6, 2, 2)}, "y"),
        ("h = Conv (x, w) y = Conv (h, v)", "float[1,3,9] x", {"w": array(6, 3, 3), "v": array(4, 6, 1)}, "y"),
        ("h = Gemm (x, w) y = MatMul (h, v)", X, {"w": array(5, 6), "v": array(6, 4)}, "y"),
        ("h = Gemm (x, w) f = Reshape (h, size) y = Gemm (f, v)", X,
         {"w": array(5, 6), "v": array(3, 4), "size": np.int64([4, 3])}, "y"),
    ],
    ids=["an output", "two readers", "no layer", "computed weights", "a computed bias", "computed weights behind",
         "a weight", "shared weights", "a shared bias", "another layer", "one axis", "no Gemm", "other rows"],
)  # fmt: skip
def test_pairs_that_stay(body, inputs, constants, outputs):
    before = CONV | {"v": array(4, 6, 1, 1)} | constants
    count, found = equalized(body, inputs, before, outputs)
    assert count == 0 and all(np.array_equal(found[name], before[name]) for name in found)
