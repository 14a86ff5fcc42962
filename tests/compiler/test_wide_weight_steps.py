"""Weights of nine bits become two of eight: what that changes, and the same numbers in ONNX Runtime."""

import numpy as np
import pytest
from rewritten import ops, rewritten

from vlac.quantize.dialects.wide_weights import split_wide_weights

RNG = np.random.default_rng(0)
X = "float[2,3] x"


def array(found, node, index, number=0):
    """Constant input of the `number`-th node of a type."""
    return [n for n in found.graph if n.op_type == node][number].inputs[index].const_value.numpy()


# --- weights of nine bits ---------------------------------------------------------------------------------------

INPUT = "i = QuantizeLinear(x, a, o) r = DequantizeLinear(i, a, o) "


def wide(layer, q, zero, inputs, *, scale=0.5, attribute="", front=""):
    arrays = {"a": np.float32(0.5), "o": np.int8(3), "q": q, "s": np.float32(scale)}
    arrays |= {} if zero is None else {"z": zero}
    body = f"{INPUT}{front} w = DequantizeLinear {attribute} (q, s{'' if zero is None else ', z'}) y = {layer}"
    return rewritten(split_wide_weights, body, inputs, constants=arrays)


def parts(found):
    """How often a layer reads its input."""
    return max((len(n.inputs) for n in found.graph if n.op_type == "Concat"), default=1)


@pytest.mark.parametrize(("zero", "values", "count"), [
    (np.uint8(0), (0, 127), 1), (np.uint8(0), (0, 128), 2), (np.uint8(128), (0, 255), 1), (np.uint8(129), (0, 255), 2),
    (np.uint8(0), (0, 254), 2), (np.uint8(0), (0, 255), 3), (np.int8(-128), (-128, 127), 3), (np.int8(1), (-128, 1), 2),
    (None, (-128, 127), 1), (np.int8([1]), (-128, 1), 2), (np.int8([0]), (-128, 127), 1),
])  # fmt: skip
@pytest.mark.parametrize(
    "layer", ["MatMul(r, w)", "Gemm(r, w)", "Gemm <transB = 1> (r, w)", "Gemm <transA = 1> (r, w)"]
)
def test_matrices(zero, values, count, layer):
    kind = np.int8 if zero is None else zero.dtype
    q = np.array([[values[0], values[1], 0], [values[1], 1, values[0]]], kind)
    q = q.T if "transB" in layer else q
    found = wide(layer, q, zero, "float[2,4] x" if "transA" in layer else "float[4,2] x")
    assert parts(found) == count


@pytest.mark.parametrize("rank", [1, 3, 4])
def test_products_of_any_rank(rank):
    inputs = f"float{[*range(2, rank + 1), 2]} x".replace("[2]", "[2]")
    assert parts(wide("MatMul(r, w)", np.uint8([[255, 3], [0, 7]]), np.uint8(0), inputs)) == 3
    assert parts(wide("MatMul(r, w)", np.uint8([255, 3]), np.uint8(0), inputs)) == 3


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("group", [1, 2, 3])
@pytest.mark.parametrize("scales", [None, 0, 1])
def test_convolutions(op, group, scales):
    """Of six channels; a scale for each output channel, or along the other axis, where nothing is done."""
    shape = (6, 4 if op == "ConvTranspose" else 6 // group, 2, 3)
    q = RNG.integers(0, 256, shape).astype(np.uint8)
    q.flat[:2] = 0, 255
    n = 1 if scales is None else shape[scales]
    scale, zero = np.float32(2.0 ** -np.arange(n)), np.linspace(0, 100, n).astype(np.uint8)
    if scales is None:
        scale, zero = scale.reshape(()), zero.reshape(())
    attribute = "" if scales is None else f"<axis = {scales}>"
    found = wide(f"{op} <group = {group}> (r, w)", q, zero, "float[1,6,4,5] x", scale=scale, attribute=attribute)
    right = scales is None or scales == (op == "ConvTranspose") or n == 1
    assert parts(found) == (3 if right else 1)


def test_inputs_through_moves_and_shared_ones():
    found = wide("MatMul(t, w)", np.uint8([[255, 3], [0, 7]]), np.uint8(0), "float[2,4] x", front="t = Transpose(r)")
    assert parts(found) == 3
    found = wide("MatMul(t, w)", np.uint8([[255, 3], [0, 7]]), np.uint8(0), "float[4,2] x", front="t = Neg(r)")
    assert parts(found) == 1
    layers = "m = MatMul(r, w) n = MatMul(r, w) y = Add(m, n)"
    arrays = {"a": np.float32(0.5), "o": np.int8(3), "q": np.uint8([[255, 3], [0, 7]]), "s": np.float32(0.5)}
    body = f"{INPUT} w = DequantizeLinear(q, s, z) {layers}"
    found = rewritten(split_wide_weights, body, "float[4,2] x", constants=arrays | {"z": np.uint8(0)})
    assert ops(found).count("Concat") == 1
