"""What each layer loses, on layers whose rounding is worked out by hand."""

import warnings

import numpy as np
import pytest
from small_graphs import model

from vlac.quantize.insert_qdq import Ranges, insert_qdq
from vlac.quantize.sensitivity import layer_losses
from vlac.quantize.static import Quantized

STEP = 2.0**-10
X = (-128 * STEP, 127 * STEP)  # of this step, 0 in the middle
PRODUCT = (-128 * 127 * STEP, 127 * 127 * STEP)  # of the step 127 * STEP, for weights of 127


def losses(source, ranges, rows, host=(), whole=None):
    """By node; `whole` are the ranges of the model that everything is rounded in."""
    made = insert_qdq(source, Ranges(whole or ranges), exclude=host)
    samples = [{"x": np.float32([row]) * np.float32(STEP)} for row in rows]
    with warnings.catch_warnings(action="error"):
        found = layer_losses(Quantized(made, source, samples, Ranges(ranges), host=frozenset(host)))
    assert (
        found[0].node == "all" and found[0].op == "" and [r.snr for r in found[1:]] == sorted(r.snr for r in found[1:])
    )
    return {r.node: r.snr for r in found}


def decibels(exact, noise):
    return 10 * np.log10(np.sum(np.square(exact)) / np.sum(np.square(noise)))


W = {"w": np.float32([[127, 0], [0, 127]])}


def test_one_layer_on_the_first_four_samples():
    """An input of 10.25 steps is 10, of 20.75 it is 21; the fifth sample, far outside, is not looked at."""
    source = model("y = MatMul(x, w)", "float[1,2] x", constants=W)
    rows = [(10.25, 20.75), (3, 4), (-10.25, 0), (5, 5), (999, 0)]
    expected = decibels([10.25, 20.75, 3, 4, 10.25, 5, 5], [0.25, 0.25, 0.25])
    assert losses(source, {"x": X, "y": PRODUCT}, rows) == pytest.approx({"all": expected, "y": expected}, rel=1e-4)
    assert losses(source, {"x": X, "y": PRODUCT}, rows[1:2]) == {"all": np.inf, "y": np.inf}


def test_an_output_of_zeros_loses_nothing():
    """0.5 * 2 - 1 = 0 is rounded to 0 * 2 - 1; a ratio to nothing says nothing."""
    source = model("y = MatMul(x, w)", "float[1,2] x", constants={"w": np.float32([[127], [-63.5]])})
    found = losses(source, {"x": X, "y": PRODUCT}, [(0.5, 1)])
    assert found == {"all": np.inf, "y": np.inf}


def test_an_activation_is_rounded_with_its_layer():
    """The value between them has no range."""
    source = model("a = MatMul(x, w) b = Relu(a) y = MatMul(b, w)", "float[1,2] x", constants=W)
    top = (0, 255 * 127 * STEP)
    ranges = {"x": X, "b": top, "y": (0, 255 * 127 * 127 * STEP)}
    found = losses(source, ranges, [(10.25, 3)])
    assert found["a"] == pytest.approx(decibels([10.25, 3], [0.25]), rel=1e-4)
    assert found["y"] == pytest.approx(found["a"], rel=1e-4)  # it rounds b, 10.25 of its steps


@pytest.mark.parametrize(
    ("body", "outputs", "between"),
    [
        ("a = MatMul(x, w) b = Relu(a) y = Concat <axis = 1> (a, b)", "y", ["b"]),  # two readers
        ("a = MatMul(x, w) y = ReduceMean <axes = [0]> (a)", "y", []),  # no activation
    ],
)
def test_a_layer_alone(body, outputs, between):
    source = model(body, "float[1,2] x", outputs, constants=W)
    whole = {"x": X, "a": PRODUCT, "y": PRODUCT} | dict.fromkeys(between, PRODUCT)
    found = losses(source, {"x": X, "a": PRODUCT}, [(10.25, 3)], whole=whole)
    assert found.keys() == {"all", "a"}
    assert found["a"] == pytest.approx(decibels([10.25, 3], [0.25]), rel=1e-4)


def test_layers_on_the_host_are_not_measured():
    source = model("a = MatMul(x, w) y = MatMul(a, w)", "float[1,2] x", constants=W)
    found = losses(source, {"x": X, "a": PRODUCT}, [(10.25, 3)], host=["y"])
    assert found.keys() == {"all", "a"} and found["all"] == pytest.approx(found["a"])
