"""Layers that the calibration data hardly uses: what they could give, worked out by hand."""

import numpy as np
import pytest
from small_graphs import model

from vlac.quantize.suspects import suspects


def layer(op, constants, inputs="float[1,2] x"):
    """y = op(x, w) or op(x, w, c)."""
    names = ", ".join(constants)
    return model(f"y = {op} (x, {names})", inputs, constants=constants)


# weights 3 and 4 of one result, 0 of the other; inputs evenly over 10..12: 7 * 11 and 3 * sqrt(25 * 2^2 / 12)
WIDE = np.float32([[3, 0], [4, 0]])
MEAN, SPREAD = 77.0, 3 * (25 * 4 / 12) ** 0.5
LAYERS = {
    "MatMul": layer("MatMul", {"w": WIDE}),
    "MatMul of a stack": layer("MatMul", {"w": WIDE[None]}),
    "Gemm": layer("Gemm", {"w": WIDE, "c": np.float32([0, 0])}),
    "Gemm of one bias": layer("Gemm", {"w": WIDE, "c": np.float32([0])}),
    "transposed Gemm": layer("Gemm <transB = 1>", {"w": WIDE.T}),
    "Conv": layer("Conv", {"w": WIDE.T.reshape(2, 2, 1, 1)}, "float[1,2,4,4] x"),
    "Conv of windows": layer("Conv", {"w": np.stack([WIDE[:, :1], WIDE[:, 1:]])[:, None]}, "float[1,1,4,4] x"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_can_give_its_mean_and_three_sigma(name):
    """The other result is 0, the bottom of the range."""
    reach = MEAN + SPREAD
    (found,) = suspects(LAYERS[name], {"x": (10.0, 12.0), "y": (1.0, 1.0 + reach / 33)})
    assert found.startswith(f"{name.split()[-1] if 'transposed' in name else name.split()[0]} 'y' gave 1 to ")
    assert f"can give about 0 to {reach:.3g}," in found
    assert suspects(LAYERS[name], {"x": (10.0, 12.0), "y": (1.0, 1.0 + reach / 31)}) == ()


def test_a_bias_moves_what_a_layer_can_give():
    both = layer("Gemm", {"w": np.float32([[3, 3], [4, 4]]), "c": np.float32([5, 5])})
    (found,) = suspects(both, {"x": (10.0, 12.0), "y": (80.0, 80.4)})
    assert f"gave 80 to 80.4 on the calibration data; for inputs of that range its weights can give about "\
           f"{MEAN + 5 - SPREAD:.3g} to {MEAN + 5 + SPREAD:.3g}," in found  # fmt: skip
    exact = 2 * SPREAD / 32
    assert suspects(both, {"x": (10.0, 12.0), "y": (80.0, 80 + 1.01 * exact)}) == ()
    assert len(suspects(both, {"x": (10.0, 12.0), "y": (80.0, 80 + 0.99 * exact)})) == 1


def test_a_small_layer_counts_as_a_large_one():
    small = layer("MatMul", {"w": 1e-3 * WIDE})
    assert len(suspects(small, {"x": (10.0, 12.0), "y": (0.0, 0.001)})) == 1


def test_exactly_32_times_less_is_enough():
    """Weights of 4 and inputs in -6..6: 3 * sqrt(16 / 12) * 12, chosen so that it is no fraction."""
    w = np.full((3, 1), 4, np.float32)  # 3 * sqrt(48 / 12) * 8 = 48 on each side of 0
    source = layer("MatMul", {"w": w}, "float[1,3] x")
    assert suspects(source, {"x": (-4.0, 4.0), "y": (0.0, 3.0)}) == ()
    assert len(suspects(source, {"x": (-4.0, 4.0), "y": (0.0, 2.999)})) == 1
    assert suspects(source, {"x": (-4.0, 4.0), "y": (2.0, 2.0)}) == ()  # a constant is no measure


@pytest.mark.parametrize(
    ("source", "observed"),
    [
        (LAYERS["MatMul"], {"x": (10.0, 12.0)}),
        (LAYERS["MatMul"], {"y": (0.0, 0.1)}),
        (layer("Conv <group = 2>", {"w": np.full((2, 1, 1, 1), 9, np.float32)}, "float[1,2,4,4] x"),
         {"x": (10.0, 12.0), "y": (0.0, 0.1)}),
        (model("y = MatMul(x, z)", "float[1,2] x, float[2,2] z"), dict.fromkeys("xz", (9.0, 12.0)) | {"y": (0.0, 0.1)}),
        (layer("MatMul", {"w": np.float32([99, 99])}), {"x": (10.0, 12.0), "y": (0.0, 0.1)}),
        (layer("Mul", {"w": np.full((9, 2), 99, np.float32)}), {"x": (10.0, 12.0), "y": (0.0, 0.1)}),
    ],
    ids=["result not observed", "input not observed", "grouped", "computed weights", "a vector", "no layer"],
)  # fmt: skip
def test_what_is_not_judged(source, observed):
    assert suspects(source, observed) == ()


@pytest.mark.parametrize(("op", "bounds"), [("Relu", ""), ("Clip", ", low")])
def test_a_clamp_that_gave_one_value(op, bounds):
    source = model(f"y = {op}(x{bounds})", constants={"low": np.float32(2)})
    (found,) = suspects(source, {"x": (-1.0, 1.0), "y": (2.0, 2.0)})
    assert found.startswith(f"{op} 'y' gave 2 for all of the calibration data")
    assert suspects(source, {"x": (-1.0, 1.0), "y": (2.0, 2.1)}) == ()
    assert suspects(model("y = Neg(x)"), {"x": (-2.0, -2.0), "y": (2.0, 2.0)}) == ()
