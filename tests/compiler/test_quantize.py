"""Calibration methods, cross-layer equalization, bias correction and sensitivity: each helps where it should."""

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import GraphBuilder
from onnx import numpy_helper

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import CalibrationError
from vlac.import_onnx import parse_model
from vlac.import_onnx.names import name_all
from vlac.quantize.equalize import equalize
from vlac.quantize.insert_qdq import observable
from vlac.quantize.ranges import least_error_range, observe_ranges
from vlac.quantize.sensitivity import layer_losses
from vlac.quantize.static import quantize_model
from vlac.rewrite import rewrite_float


def run(model, samples):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.concatenate([session.run(None, s)[0] for s in samples])


def snr(exact, found):
    return float(10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum()))


def chain(spread, *, seed=0, channels=16):
    """Conv, depthwise, 1x1 and Gemm with Relu; every channel between them is scaled by exp(spread * normal)."""
    g, rng = GraphBuilder("chain", seed), np.random.default_rng(seed)
    s1, s2, s3 = (np.exp(rng.standard_normal(channels) * spread).astype(np.float32) for _ in range(3))

    def conv(x, w, scale, group=1):
        b = (rng.standard_normal(len(w)) * 0.1).astype(np.float32) * scale
        return g.node("Relu", [g.node("Conv", [x, g.constant(w), g.constant(b)], len(w), pads=[1] * 4, group=group)])

    w1 = g.weight(channels, 3, 3, 3) * s1[:, None, None, None]
    w2 = g.weight(channels, 1, 3, 3) * (s2 / s1)[:, None, None, None]
    w3 = g.weight(channels, channels, 3, 3) * s3[:, None, None, None] / s2[None, :, None, None]
    y = conv(conv(conv(g.input("x", (1, 3, 12, 12)), w1, s1), w2, s2, channels), w3, s3)
    y = g.node("Flatten", [g.node("MaxPool", [y], kernel_shape=[4, 4], strides=[4, 4])], channels * 9)
    w4 = g.weight(7, channels * 9) / np.repeat(s3, 9)
    return g.model(g.node("Gemm", [y, g.constant(w4.astype(np.float32))], 7, transB=1))


def parsed(model):
    out = rewrite_float(parse_model(model, "test")[0])
    name_all(out)
    return out


def quantized(model, samples, tmp_path, **options):
    np.savez(tmp_path / "calib.npz", x=np.stack([s["x"] for s in samples]))
    return quantize_model(parsed(model), CompileOptions(calibration=str(tmp_path / "calib.npz"), **options))


def normal(count, seed, shape=(1, 3, 12, 12)):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def with_outliers(samples, size, share=0.0005):
    rng = np.random.default_rng(9)
    return [
        {"x": np.where(rng.random(s["x"].shape) < share, s["x"] * size, s["x"]).astype(np.float32)} for s in samples
    ]


# --- ranges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "gain"),
    [
        ({"calibration_method": "percentile", "percentile": 99.95}, 10),
        ({"calibration_method": "entropy"}, 3),
        ({"calibration_method": "mse"}, 0.5),
    ],
)
def test_rare_outliers_in_the_calibration_data(tmp_path, options, gain):
    """Some samples hold values 30 times too large: cutting them off keeps the steps small (gain in dB)."""
    g = GraphBuilder("large")
    y = g.conv(g.conv(g.input("x", (1, 3, 64, 64)), 16, 3, 2), 32, 3, 2)
    model, shape = g.model(g.conv(y, 16, relu=False)), (1, 3, 64, 64)
    samples, test = with_outliers(normal(8, 1, shape), 30), normal(4, 2, shape)
    exact = run(model, test)
    plain = snr(exact, run(quantized(model, samples, tmp_path).qdq, test))
    better = snr(exact, run(quantized(model, samples, tmp_path, **options).qdq, test))
    assert better > plain + gain


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_ranges_of_a_part_of_the_samples_and_of_all(method):
    """Looking at the ranges in between changes nothing of what follows."""
    g = GraphBuilder("two")
    model = parsed(g.model(g.conv(g.input("x", (1, 3, 12, 12)), 8)))
    options = CompileOptions(calibration_method=method)
    first, last = normal(4, 1), [{"x": 3 * s["x"]} for s in normal(1, 2)]
    found = observe_ranges(model, observable(model), [first, last], options)
    assert found == [observe_ranges(model, observable(model), [s], options)[0] for s in (first, [*first, *last])]
    if method == "minmax":
        for (ranges, _), samples in zip(found, (first, [*first, *last]), strict=True):
            values = np.stack([s["x"] for s in samples])
            assert ranges["x"] == (values.min(), values.max())


def test_least_error_with_one_outlier_in_a_million(tmp_path):
    """Clipping one value costs less than steps three times as large for all the others, and more gains nothing."""
    samples = normal(8, 4, (1, 3, 224, 224))
    samples[3]["x"][0, 0, 7, 7] = 14
    g = GraphBuilder("identity")
    w = g.constant(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1))
    model = g.model(g.node("Conv", [g.input("x", (1, 3, 224, 224)), w], 3))
    exact = run(model, samples)
    found = {
        m: snr(exact, run(quantized(model, samples, tmp_path, calibration_method=m).qdq, samples))
        for m in ("minmax", "mse", "percentile", "entropy")
    }
    assert found["mse"] > found["minmax"] + 2 and found["mse"] > max(found.values()) - 0.1, found


def test_least_error_range_is_the_least():
    """Against the error of really rounding the values, over a grid of ranges."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(-1, 2, 300_000), [8, 9, -6]])
    hist, edges = np.histogram(values, 2048, range=(-9, 9))

    def error(low, high):
        step = (high - low) / 255
        rounded = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step)) * step
        return ((rounded - values) ** 2).mean()

    found = least_error_range(hist, edges, -6.0, 9.0)
    grid = [(-6 * a, 9 * b) for a in np.linspace(0.1, 1, 10) for b in np.linspace(0.1, 1, 10)]
    assert error(*found) <= 1.05 * min(error(*g) for g in grid)
    assert error(*found) < 0.9 * error(-6, 9)


def test_least_error_range_of_constant_tensors():
    hist, edges = np.histogram(np.zeros(10), 2048, range=(0, 0))
    assert least_error_range(hist, edges, 0.0, 0.0) == (0.0, 0.0)
    hist, edges = np.histogram(np.full(10, 3.0), 2048, range=(-3, 3))
    low, high = least_error_range(hist, edges, 3.0, 3.0)
    assert low == 0 and high == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_every_method_on_samples_of_growing_size(tmp_path, method):
    """Histograms are merged over samples whose range grows; ranges hold zero and stay inside what was seen."""
    samples = [{"x": s["x"] * 4.0**i} for i, s in enumerate(normal(4, 3))]
    made = quantized(chain(0), samples, tmp_path, calibration_method=method)
    low, high = made.ranges.values["x"]
    everything = np.concatenate([s["x"] for s in samples])
    assert everything.min() - 1e-3 <= low < 0 < high <= everything.max() + 1e-3
    if method == "minmax":
        assert (low, high) == (everything.min(), everything.max())


def test_data_that_the_model_cannot_run_on_is_refused(tmp_path):
    g = GraphBuilder("shape")
    x = g.input("x", (1, 8))
    model = g.model(g.node("Reshape", [x, g.constant(np.array([2, 4], np.int64))]))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([3, 4], np.int64), "c0"))
    with pytest.raises(Exception, match=r"calibration|inconsistent|Reshape|reshape"):
        quantized(model, normal(1, 0, (1, 8)), tmp_path)


# --- cross-layer equalization --------------------------------------------------------------------------------


def test_equalization_repairs_bad_channel_ranges(tmp_path):
    samples, test = normal(8, 1), normal(8, 2)
    for spread, gain in ((1.0, 3), (2.0, 15)):
        model = chain(spread)
        exact = run(model, test)
        plain = snr(exact, run(quantized(model, samples, tmp_path).qdq, test))
        better = snr(exact, run(quantized(model, samples, tmp_path, equalize=True).qdq, test))
        assert better > plain + gain and better > 25, (spread, plain, better)


def test_equalization_keeps_the_float_model():
    import onnx_ir as ir

    model = chain(2.0)
    changed = parsed(model)
    assert equalize(changed) == 3
    test = normal(4, 5)
    assert snr(run(model, test), run(ir.to_proto(changed), test)) > 100


@pytest.mark.parametrize("transposed", [0, 1])
def test_equalization_of_groups_and_gemms(transposed):
    """Grouped second layers and Gemm to Gemm in both orientations: the function stays, ranges meet."""
    import onnx_ir as ir

    g, rng = GraphBuilder("groups"), np.random.default_rng(1)
    scale = np.exp(rng.standard_normal(12)).astype(np.float32)
    y = g.node("Conv", [g.input("x", (1, 4, 6, 6)), g.constant(g.weight(12, 4, 1, 1) * scale[:, None, None, None])], 12)
    y = g.node("LeakyRelu", [y], alpha=0.1)
    y = g.node("Conv", [y, g.constant(g.weight(9, 4, 3, 3)), g.constant(np.ones(9, np.float32))], 9, group=3)
    y = g.node("Flatten", [g.node("GlobalAveragePool", [y])], 9)
    for k, n in ((9, 10), (10, 3)):
        shape = (n, k) if transposed else (k, n)
        w, b = g.constant(g.weight(*shape)), g.constant(np.ones(n, np.float32))
        y = g.node("Gemm", [y, w, b], n, transB=transposed)
    model = g.model(y)
    changed = parsed(model)
    assert equalize(changed) == 3
    test = normal(4, 5, (1, 4, 6, 6))
    proto = ir.to_proto(changed)
    assert snr(run(model, test), run(proto, test)) > 100
    weights = [numpy_helper.to_array(t) for t in proto.graph.initializer if t.dims[:] == [12, 4, 1, 1]]
    first = np.abs(weights[0]).reshape(12, -1).max(axis=1)
    assert first.max() / first.min() < np.sqrt(scale.max() / scale.min()) * 2


def test_equalization_stops_at_clip_outputs_and_shared_tensors():
    def count(body):
        g = GraphBuilder("stop")
        x = g.conv(g.input("x", (1, 3, 6, 6)), 8, relu=False)
        return equalize(parsed(g.model(*body(g, x))))

    zero, six = np.float32(0), np.float32(6)
    assert count(lambda g, x: [g.conv(g.node("Clip", [x, g.constant(zero), g.constant(six)]), 4)]) == 0
    assert count(lambda g, x: [g.conv(x, 4, relu=False), x]) == 0
    assert count(lambda g, x: [g.node("Add", [g.conv(x, 8, relu=False), x])]) == 0
    assert count(lambda g, x: [g.conv(g.node("Relu", [x]), 4)]) == 1


# --- bias correction -----------------------------------------------------------------------------------------


def test_bias_correction_takes_the_mean_error_away(tmp_path):
    """Coarse weights (one of a channel 40 times the others) on positive inputs shift the mean of the output."""
    g, rng = GraphBuilder("bias"), np.random.default_rng(2)
    w = rng.uniform(0, 1, (12, 8, 3, 3)).astype(np.float32)
    w[:, 0, 0, 0] = 40
    g.input("x", (1, 8, 10, 10))
    y = g.node("Conv", ["x", g.constant(w)], 12, pads=[1, 1, 1, 1])
    model = g.model(g.node("Gemm", [g.node("Flatten", [y], 1200), g.constant(g.weight(4, 1200))], 4, transB=1))
    samples, test = ([{"x": np.abs(s["x"])} for s in normal(8, i, (1, 8, 10, 10))] for i in (1, 2))
    exact = run(model, test)
    plain, corrected = (run(quantized(model, samples, tmp_path, bias_correction=b).qdq, test) for b in (False, True))
    assert np.abs((corrected - exact).mean(axis=0)).sum() < 0.7 * np.abs((plain - exact).mean(axis=0)).sum()
    assert snr(exact, corrected) > snr(exact, plain) + 1


def test_bias_correction_of_rounding_alone(tmp_path):
    """Mean of a layer's output over samples and pixels, padding included: equal to the float model's afterwards."""
    g = GraphBuilder("mean")
    y = g.conv(g.input("x", (1, 3, 12, 12)), 10, 3, 2, relu=False)
    model, samples = g.model(y), [{"x": s["x"] + 2} for s in normal(8, 1)]
    exact = run(model, samples).mean(axis=(0, 2, 3))
    errors = [
        np.abs(run(quantized(model, samples, tmp_path, bias_correction=b).qdq, samples).mean(axis=(0, 2, 3)) - exact)
        for b in (False, True)
    ]
    assert errors[1].mean() < 0.5 * errors[0].mean()


# --- sensitivity ---------------------------------------------------------------------------------------------


def test_sensitivity_names_the_bad_layer(tmp_path):
    """The channels between the first two layers differ most: they lose most, alone and in front of the others."""
    model = chain(0)
    floats = {t.name: t for t in model.graph.initializer}
    first, second = (floats[model.graph.node[i].input[1]] for i in (0, 2))
    scale = np.exp(np.random.default_rng(0).standard_normal(16) * 2).astype(np.float32).reshape(-1, 1, 1, 1)
    for tensor, factor in ((first, scale), (second, 1 / scale)):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * factor, tensor.name))
    bias = floats[model.graph.node[0].input[2]]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * scale.reshape(-1), bias.name))
    losses = layer_losses(quantized(model, normal(4, 1), tmp_path))
    assert losses[0].node == "all" and losses[0].snr < min(r.snr for r in losses[1:]) + 1
    assert {r.node for r in losses[1:3]} == {"conv0", "conv2"} and len(losses) == 5
    assert losses[3].snr > losses[2].snr + 5


def test_sensitivity_needs_the_float_model(tmp_path):
    made = quantized(chain(0), normal(1, 1), tmp_path)
    onnx.save(made.qdq, tmp_path / "q.onnx")
    state = compile_file(tmp_path / "q.onnx", load("tiny"), CompileOptions())
    with pytest.raises(CalibrationError, match="needs the float model"):
        layer_losses(state.quantized)
