"""What trained networks showed of ranges: maxima, and layers that calibration uses as every trained network does."""

import numpy as np
import onnxruntime
import pytest
from graphs import GraphBuilder

import vlarun
from vla_toolchain.verify.reference import exact_reference
from vlac import CompileOptions, compile_file
from vlac.import_onnx import parse_model
from vlac.import_onnx.names import name_all
from vlac.quantize.static import quantize_model
from vlac.quantize.suspects import suspects
from vlac.rewrite import rewrite_float

SHAPE = (1, 3, 16, 16)


def quantized(model, tmp_path, count=8):
    np.savez(tmp_path / "calib.npz", x=normals(count, 1))
    parsed = rewrite_float(parse_model(model, "test")[0])
    name_all(parsed)
    return quantize_model(parsed, CompileOptions(calibration=str(tmp_path / "calib.npz")))


def normals(count, seed):
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float32)


def run(model, samples, names=None):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return [np.stack(arrays) for arrays in zip(*(session.run(names, {"x": s}) for s in samples), strict=True)]


# --- in front of a maximum -----------------------------------------------------------------------------------


def low_side(g, x):
    """Values of which the low ones are large, as those of a PRelu may be: a maximum never hands them on."""
    y = g.node("Conv", [x, g.constant(g.weight(8, 3, 3, 3))], 8, pads=[1] * 4)
    return g.node("PRelu", [y, g.constant(np.full((8, 1, 1), 3.0, np.float32))], 8)


MAXIMA = {
    "MaxPool": lambda g, y: g.node("MaxPool", [y], 8, kernel_shape=[4, 4], strides=[4, 4]),
    "GlobalMaxPool": lambda g, y: g.node("GlobalMaxPool", [y], 8),
    "through a Transpose": lambda g, y: g.node(
        "MaxPool", [g.node("Transpose", [y], 8, perm=[0, 1, 3, 2])], 8, kernel_shape=[4, 4], strides=[4, 4]
    ),
}


@pytest.mark.skipif(not exact_reference(), reason="ONNX Runtime's int8 convolution is exact only on CPUs with VNNI")
@pytest.mark.parametrize("maximum", MAXIMA)
def test_what_loses_a_maximum_takes_no_step(maximum, tmp_path):
    """The scale in front of a maximum is that of the maxima, computed here in float; and nothing is lost by that."""
    g = GraphBuilder("maximum")
    model = g.model(MAXIMA[maximum](g, low_side(g, g.input("x", SHAPE))))
    found = quantized(model, tmp_path)
    (seen,) = run(model, normals(8, 1))
    span = max(float(seen.max()), 0.0) - min(float(seen.min()), 0.0)
    before = next(n.outputs[0].name for n in found.floating.graph if n.op_type == "PRelu")
    assert np.diff(found.ranges.values[before])[0] <= 1.01 * span
    exact, given = (run(m, normals(8, 2))[0].astype(np.float64) for m in (model, found.qdq))
    assert 10 * np.log10((exact**2).sum() / ((exact - given) ** 2).sum()) > 34


def test_what_is_read_otherwise_keeps_its_range(tmp_path):
    """A second reader, or the model's output, needs the low values."""
    g = GraphBuilder("both")
    y = low_side(g, g.input("x", SHAPE))
    pooled = g.node("MaxPool", [y], 8, kernel_shape=[16, 16], strides=[16, 16])
    model = g.model(g.node("Mul", [g.node("AveragePool", [y], 8, kernel_shape=[16, 16]), pooled], 8))
    found = quantized(model, tmp_path)
    prelu = next(n.outputs[0].name for n in found.floating.graph if n.op_type == "PRelu")
    whole = run(low_side_model(), normals(8, 1))[0]
    assert found.ranges.values[prelu] == pytest.approx((whole.min(), whole.max()), rel=1e-5)


def low_side_model():
    g = GraphBuilder("both")
    return g.model(low_side(g, g.input("x", SHAPE)))


# --- layers that are like those of trained networks ----------------------------------------------------------


def depthwise(g, x):
    """Channels of very different size, as a network without normalization of its inputs has; then depthwise."""
    w = g.weight(16, 3, 3, 3) * np.geomspace(0.01, 10, 16, dtype=np.float32)[:, None, None, None]
    y = g.node("Relu", [g.node("Conv", [x, g.constant(w)], 16, pads=[1] * 4)], 16)
    small = g.weight(16, 1, 3, 3) / np.geomspace(0.01, 10, 16, dtype=np.float32)[:, None, None, None]
    return g.node("Conv", [y, g.constant(small)], 16, pads=[1] * 4, group=16)


def test_channels_of_different_size_are_no_reason_to_warn(tmp_path):
    g = GraphBuilder("depthwise")
    assert quantized(g.model(depthwise(g, g.input("x", SHAPE))), tmp_path).warnings == ()


def test_a_layer_that_calibration_hardly_uses_is_named(tmp_path):
    """Its inputs cancel out in the calibration data: x beside -x; for others it gives 100 times as much."""
    g = GraphBuilder("cancels")
    x = g.input("x", SHAPE)
    w = g.weight(8, 3, 3, 3)
    y = g.node("Concat", [x, g.node("Neg", [x], 3)], 6, axis=1)
    doubled = np.concatenate([w.astype(np.float32), w.astype(np.float32)], axis=1) + 1e-3
    found = quantized(g.model(g.node("Conv", [y, g.constant(doubled.astype(np.float32))], 8, pads=[1] * 4)), tmp_path)
    (warning,) = found.warnings
    assert warning.startswith("Conv ") and "would saturate" in warning


@pytest.mark.parametrize("fill", [20.0, -20.0])
def test_padding_with_a_number_outside_the_range_of_the_values(fill, tmp_path):
    """The result holds it; what is padded keeps its own range."""
    g = GraphBuilder("padded")
    y = g.node("Conv", [g.input("x", SHAPE), g.constant(g.weight(8, 3, 3, 3))], 8, pads=[1] * 4)
    pads = g.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    model = g.model(g.node("Pad", [y, pads, g.constant(np.float32(fill))], 8))
    state = compile_file(model, "tiny", CompileOptions(calibration={"x": normals(8, 1)}))
    (seen,) = (r for name, r in quantized(model, tmp_path).ranges.values.items() if name == y)
    assert np.abs(seen).max() < 15
    (found,) = vlarun.Session(state.program).run({"x": normals(1, 2)[0]}).values()
    assert np.abs(found[:, :, 0] - fill).max() < 0.2 and np.abs(found[:, :, 1:-1, 1:-1]).max() < 15


@pytest.mark.parametrize("transposed", [0, 1])
def test_what_a_layer_can_give_is_its_mean_and_three_sigma(transposed):
    """Inputs spread evenly over 10..12, weights of 1 and a bias of 5: 4 * 11 + 5, and 3 * sqrt(4 * 2^2 / 12)."""
    g = GraphBuilder("sum")
    w = g.constant(np.ones((2, 4) if transposed else (4, 2), np.float32))
    y = g.node("Gemm", [g.input("x", (1, 4)), w, g.constant(np.full(2, 5, np.float32))], 2, transB=transposed)
    parsed, _ = parse_model(g.model(y), "test")
    name_all(parsed)
    (found,) = suspects(parsed, {"x": (10.0, 12.0), y: (49.0, 49.1)})
    assert "gave 49 to 49.1" in found and "can give about 45.5 to 52.5" in found
    assert suspects(parsed, {"x": (10.0, 12.0), y: (47.0, 51.0)}) == ()


def test_pairs_are_named_after_what_they_round(tmp_path):
    g = GraphBuilder("names")
    y = g.node("Conv", [g.input("x", SHAPE), g.constant(g.weight(8, 3, 3, 3))], 8)
    made = quantized(g.model(g.node("Conv", [y, g.constant(g.weight(2, 8, 1, 1))], 2)), tmp_path).model
    assert {n.name for n in made.graph if n.op_type == "QuantizeLinear"} >= {"x.quantized", f"{y}.quantized"}
