"""Bias correction on layers of a few weights, whose rounded form is given by hand."""

import numpy as np
import pytest
from small_graphs import model

from vlac.quantize.bias_correction import correct_biases

W = np.float32([[1, 2, 0], [3, 4, 0]])  # of two inputs and three results
ERROR = np.float32([[0.5, 0, 0], [0, -0.25, 0]])
SAMPLES = [{"x": np.float32([[2, 4]])}, {"x": np.float32([[6, 0]])}]
SHIFT = np.float32([2, -0.5, 0])  # of the mean input [4, 2]


def pair(body, constants, error, inputs="float[1,2] x"):
    """A float model with named nodes, and the same one with its weights a little off, dequantized."""

    def made(body, constants):
        found = model(body, inputs, constants=constants)
        for node in found.graph:
            node.name = node.outputs[0].name
        return found

    rounded = made(body.replace("w", "v").replace("v", "v", 1), constants | {"v": constants["w"] + error})
    return made(body, constants), rounded


def bias(found, node="y"):
    (layer,) = [n for n in found.graph if n.name == node]
    assert len(layer.inputs) == 3
    return layer.inputs[2].const_value.numpy()


@pytest.mark.parametrize("given", [None, np.float32([10, 20, 30]), np.float32([7]), np.float32([[1, 2, 3]])])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm(given, transposed):
    w, error = (W.T, ERROR.T) if transposed else (W, ERROR)
    constants = {"w": w} if given is None else {"w": w, "c": given}
    body = f"y = Gemm <transB = {transposed}> (x, w{', c' if given is not None else ''})"
    floating, rounded = pair(body, constants, error)
    found = bias(correct_biases(floating, rounded, SAMPLES))
    assert found.dtype == np.float32
    assert found == pytest.approx((0 if given is None else given.reshape(-1)) - SHIFT)
    assert len(floating.graph.node(0).inputs) == (2 if given is None else 3)  # a copy was changed


def test_a_convolution_has_the_mean_of_all_pixels():
    """A 1x2 window over rows of 3: each error meets the pixels that its weight sees, zeros of the padding too."""
    x = np.float32([[[[1, 2, 3], [4, 5, 6]]]])
    w, error = np.zeros((2, 1, 1, 2), np.float32), np.zeros((2, 1, 1, 2), np.float32)
    error[0, 0, 0], error[1, 0, 0] = [0.5, 0], [0, 1]
    floating, rounded = pair("y = Conv <pads = [0, 0, 0, 1]> (x, w)", {"w": w}, error, "float[1,1,2,3] x")
    found = bias(correct_biases(floating, rounded, [{"x": x}, {"x": 3 * x}]))
    assert found == pytest.approx([-0.5 * 2 * 21 / 6, -2 * (2 + 3 + 0 + 5 + 6 + 0) / 6])


def test_all_layers_are_measured_on_the_float_model():
    body, v = "a = Gemm(x, w) y = Gemm(a, w)", np.float32([[1, 1], [0, 1]])
    error = np.float32([[0.5, 0], [0, 0]])
    floating, rounded = pair(body, {"w": v}, error)
    found = correct_biases(floating, rounded, SAMPLES)
    assert bias(found, "a") == pytest.approx([-2, 0]) and bias(found) == pytest.approx([-2, 0])


@pytest.mark.parametrize(
    ("body", "inputs", "constants"),
    [
        ("y = MatMul(x, w)", "float[1,2] x", {}),
        ("y = Gemm <beta = 2.0> (x, w, c)", "float[1,2] x", {"c": np.float32([1, 2, 3])}),
        ("y = Gemm(x, w, z)", "float[1,2] x, float[3] z", {}),
    ],
    ids=["MatMul", "beta", "a computed bias"],
)
def test_other_layers_stay(body, inputs, constants):
    floating, rounded = pair(body, constants | {"w": W}, ERROR, inputs)
    found = correct_biases(floating, rounded, [s | {"z": np.zeros(3, np.float32)} for s in SAMPLES])
    assert [[v.name for v in n.inputs] for n in found.graph] == [[v.name for v in n.inputs] for n in floating.graph]


def test_layers_that_were_not_rounded_stay():
    floating, _ = pair("y = Gemm(x, w)", {"w": W}, ERROR)
    other = model("z = Gemm(x, w)", "float[1,2] x", "z", constants={"w": W + ERROR})
    assert len(correct_biases(floating, other, SAMPLES).graph.node(0).inputs) == 2
    computed = model("y = Gemm(x, z)", "float[1,2] x, float[2,3] z")
    for source in (floating, computed):
        source.graph.node(0).name = "y"
    assert len(correct_biases(floating, computed, SAMPLES).graph.node(0).inputs) == 2
    assert len(correct_biases(computed, floating, SAMPLES).graph.node(0).inputs) == 2
