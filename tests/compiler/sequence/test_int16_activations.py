"""`--activations int16`: what linear layers read and hand on has 16 bits."""

import numpy as np
import pytest
from blocks import Block, Sequence
from on_device import drawn, run
from onnx import numpy_helper
from parity import check_rtl
from test_models_on_device import gpt, mixer, vit

import vlarun
from vla_isa.hardware import load
from vla_toolchain.vlac_cli import main as vlac
from vlac import CompileOptions, compile_file
from vlac.errors import CalibrationError, UnsupportedError


def gated(function="Gelu", length=11, d=48, blocks=2):
    """RMSNorm, rotary positions, and gate(x) * up(x), as Gemma's (Gelu) and Llama's (Swish)."""
    g = Sequence("gated")
    x = g.input("x", (1, length, d))
    for _ in range(blocks):
        y = g.norm(x, d, rms=True)
        block = Block(length, d, 3, 1, causal=True, rms=True, rotary=16)
        parts = [block.rotated(g, g.linear(y, d, 16 * n, bias=False), n) for n in (3, 1)]
        parts.append(g.linear(y, d, 16, bias=False))
        a = g.node("Attention", parts, d, is_causal=1, q_num_heads=3, kv_num_heads=1)
        x = g.node("Add", [x, g.linear(a, d, d, bias=False)], d)
        y = g.norm(x, d, rms=True)
        gate = up = g.linear(y, d, 2 * d, bias=False)
        if function == "Swish":
            gate = g.node("Mul", [up, g.node("Sigmoid", [up], 2 * d)], 2 * d)
        else:
            gate = g.node(function, [up], 2 * d)
        hidden = g.node("Mul", [gate, g.linear(y, d, 2 * d, bias=False)], 2 * d)
        x = g.node("Add", [x, g.linear(hidden, 2 * d, d, bias=False)], d)
    return g.finished(g.linear(g.norm(x, d, rms=True), d, 10))


def llama():
    return gated("Swish")


def relus(length=7, d=24):
    """Layers alone, with clamps between them."""
    g = Sequence("relus")
    x = g.input("x", (1, length, d))
    for wide in (40, 56):
        y = g.node("Relu", [g.linear(x, d, wide)], wide)
        x = g.node("Add", [x, g.linear(y, wide, d)], d)
    return g.finished(g.linear(x, d, 5))


GAINS = {gpt: 2.0, vit: 0.0, mixer: 7.0, gated: 5.0, llama: 5.0, relus: 7.0}  # dB over int8


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("make", GAINS)
def test_it_is_nearer_to_float(make, config):
    """Every operation means what its definition says (`run`); norms and lines are near float64."""
    narrow, wide = (run(make(), config, activations=name, over=4) for name in ("int8", "int16"))
    assert wide.snr >= narrow.snr + GAINS[make], (narrow.snr, wide.snr)
    for stage in wide.stages:
        assert stage.largest <= {"wide norm": 3, "lines": 2}.get(stage.kind, 1), stage  # knots of lines are rounded


def test_a_sum_is_a_residual_of_the_first_half():
    """No vector operation adds what a product in two halves can: both sums of a block are residuals."""
    found = run(gated(), "u50", activations="int16")
    sums = [op for op in found.state.graph.ops if type(op).__name__ == "RowOp" and op.op_type == "Add"]
    assert not sums


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize("make", [gated, relus])
def test_the_same_bytes_on_verilog(make):
    model, rng = make(), np.random.default_rng(3)
    options = CompileOptions(calibration=[drawn(model, rng) for _ in range(4)], check=True, activations="int16")
    check_rtl(compile_file(model, load("tiny"), options), drawn(model, rng))


# --- a quantized model says the same with its types -----------------------------------------------------


def layer(x_scale, y_scale, weight, bias, kind, zero=0, *, relu=False, op="Gemm", **attributes):
    """x int16 [rows, K] -> layer -> int8, uint8 or int16."""
    g = Sequence("layer")
    rows, k, n = 24, weight.shape[0], weight.shape[1]

    def pair(x, size, scale, kind, zero, shape):
        parts = [g.constant(np.float32(scale)), g.constant(np.array(zero, kind))]
        q = g.node("QuantizeLinear", [x, *parts], size)
        return g.node("DequantizeLinear", [q, *parts], size)

    x = pair(g.input("x", (rows, k)), k, x_scale, np.int16, 0, (rows, k))
    scales = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
    q = np.rint(weight / scales).astype(np.int8)
    stored = q.T.copy() if attributes.get("transB") else q
    axis = 0 if attributes.get("transB") else 1
    zeros = g.constant(np.zeros(n, np.int8))
    w = g.node("DequantizeLinear", [g.constant(stored), g.constant(scales), zeros], n, axis=axis)
    y = g.node(op, [x, w] if bias is None else [x, w, g.constant(bias)], n, **attributes)
    y = g.node("Relu", [y], n) if relu else y
    return g.finished(pair(y, n, y_scale, kind, zero, (rows, n))), q * scales.astype(np.float64)


LOSES = 3


def ends(rng, k):
    """Rows of all kinds: drawn, all values near the ends of int16, halves of the parts' step, zeros."""
    rows = rng.integers(-32768, 32768, (24, k))
    rows[0], rows[1], rows[2] = 32767, -32768, 0
    rows[LOSES] = 257 * rng.integers(-127, 128, k) + 128
    rows[4] = 257 * rng.integers(-127, 128, k) - 128
    rows[5:8] = rng.integers(-300, 300, (3, k))
    rows[8] = 32767 - rng.integers(0, 300, k)
    rows[9] = -32768 + rng.integers(0, 300, k)
    return rows


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize(
    ("kind", "zero", "more"),
    [
        (np.int16, 0, {}),
        (np.int16, 0, {"transB": 1, "alpha": 0.37, "beta": 2.0}),
        (np.int16, 0, {"op": "MatMul"}),
        (np.int16, 0, {"relu": True}),
        (np.int8, 0, {}),
        (np.int8, -37, {"relu": True}),
        (np.uint8, 201, {"transB": 1}),
    ],
)
def test_a_layer_of_int16(kind, zero, more, config):
    """Against float64, over the whole range of int16; with a bias as large as the sums."""
    rng = np.random.default_rng(5)
    k, n, s = 37, 19, 0.001
    bias = None if more.get("op") == "MatMul" else (40 * rng.standard_normal(n)).astype(np.float32)
    weight = rng.standard_normal((k, n)).astype(np.float32) * np.exp(rng.standard_normal(n)).astype(np.float32)
    info = np.iinfo(kind)
    size = 3.0 * 32768 * s * np.sqrt(k)
    y_scale = np.float32(size / (info.max - info.min))
    model, w = layer(s, y_scale, weight, bias, kind, zero, **more)
    made = compile_file(model, load(config), CompileOptions(check=True))
    q = ends(rng, k)
    x = (q * np.float64(np.float32(s))).astype(np.float32)
    (found,) = vlarun.Session(made.program).run({"x": x}).values()
    alpha, beta = more.get("alpha", 1.0), more.get("beta", 1.0)
    real = alpha * (q * np.float64(np.float32(s))) @ w + beta * (0.0 if bias is None else bias.astype(np.float64))
    real = np.maximum(real, 0) if more.get("relu") else real
    wanted = np.clip(np.rint(real / np.float64(y_scale)) + zero, info.min, info.max)
    given = np.rint(found / np.float64(y_scale)) + zero
    difference = np.abs(given - wanted)
    lost = alpha * s * np.abs(w).sum(axis=0) / y_scale  # the last step of all of a row's values
    assert (difference[LOSES] <= 2 + lost).all()
    difference = np.delete(difference, LOSES, axis=0)
    assert difference.max() <= (2 if kind == np.int16 else 1)  # of int16 two results are rounded, and added
    assert (difference > 1).mean() < 0.01
    assert (difference > 0).mean() < (0.5 if kind == np.int16 else 0.02)
    assert ((wanted == info.max) | (wanted == info.min)).any()


@pytest.mark.parametrize(("kind", "relu"), [(np.int16, False), (np.int16, True), (np.int8, False)])
@pytest.mark.parametrize("base", [0, 3 * 257 + 128, -40 * 257 - 128, 32000])
def test_terms_that_cancel(base, kind, relu):
    """Differences of neighbours that are nearly equal: the low halves' product alone exceeds the result's range."""
    rng, k, s = np.random.default_rng(6), 24, 0.001
    q = base + rng.integers(-80, 81, (24, k))
    y_scale = np.float32(0.2 / np.iinfo(kind).max)
    model, w = layer(
        s,
        y_scale,
        np.eye(k, dtype=np.float32) - np.roll(np.eye(k, dtype=np.float32), 1, 0),
        None,
        kind,
        relu=relu,
        op="MatMul",
    )
    made = compile_file(model, load("tiny"), CompileOptions(check=True))
    (found,) = vlarun.Session(made.program).run({"x": (q * np.float64(np.float32(s))).astype(np.float32)}).values()
    real = q * np.float64(np.float32(s)) @ w
    wanted = np.rint((np.maximum(real, 0) if relu else real) / np.float64(y_scale))
    lost = 2 * s / y_scale  # the last step of both, one in 257
    difference = np.abs(np.rint(found / np.float64(y_scale)) - wanted)
    assert difference.max() <= lost + 3
    assert (difference > 3).mean() < 0.02


def test_more_columns_than_records_are_refused():
    g = Sequence("columns")
    model = g.finished(g.linear(g.norm(g.input("x", (1, 5, 16)), 16), 16, 2056, bias=False))
    with pytest.raises(
        UnsupportedError, match=r"has 2056 columns and adds .* records for 2048\. Use a config with more"
    ):
        compile_file(model, load("tiny"), CompileOptions(calibration="random:2", activations="int16"))


def test_an_int16_result_with_a_clip_is_refused():
    model, _ = layer(0.01, 0.01, np.ones((4, 4), np.float32), None, np.int16, relu=True, op="MatMul")
    (relu,) = [n for n in model.graph.node if n.op_type == "Relu"]
    relu.op_type = "Clip"
    relu.input.extend(["", "six"])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(6), "six"))
    with pytest.raises(UnsupportedError, match="a Clip of an int16 result is not there yet"):
        compile_file(model, load("tiny"), CompileOptions())


def test_functions_of_any_spelling():
    """A chain that no operator has, of which some parts are int8 and some int16; a Relu beside another reader."""
    g, d = Sequence("spelled"), 24
    x = g.linear(g.input("x", (9, d)), d, 40)
    h = g.node("Mul", [x, g.node("Erf", [g.node("Div", [x, g.constant(np.float32(1.7))], 40)], 40)], 40)
    h = g.node("Add", [g.node("Exp", [g.node("Neg", [g.node("Abs", [h], 40)], 40)], 40), g.node("Relu", [x], 40)], 40)
    h = g.node("Add", [h, g.node("Clip", [h, g.constant(np.float32(-1)), g.constant(np.float32(2))], 40)], 40)
    model = g.finished(g.linear(h, 40, 5))
    narrow, wide = (run(model, "tiny", activations=name, over=4) for name in ("int8", "int16"))
    assert wide.snr >= narrow.snr + 3.0, (narrow.snr, wide.snr)


def test_where_nothing_would_read_int16():
    g = Sequence("images")
    x = g.input("x", (1, 3, 8, 8))
    with pytest.raises(CalibrationError, match="int16 activations would change nothing"):
        options = CompileOptions(calibration="random:2", activations="int16")
        compile_file(g.finished(g.conv(x, 8, 3, 2, relu=True)), load("tiny"), options)


def test_unknown_activations():
    with pytest.raises(CalibrationError, match="unknown activations 'int4'; there are int8, int16"):
        compile_file(relus(), load("tiny"), CompileOptions(calibration="random:2", activations="int4"))


def test_a_quantized_model_has_them_already(tmp_path, capsys):
    weight = np.ones((4, 4), np.float32)
    model, _ = layer(0.01, 0.01, weight, None, np.int8, op="MatMul")
    file = tmp_path / "m.onnx"
    file.write_bytes(model.SerializeToString())
    assert vlac(["compile", str(file), "-o", str(tmp_path / "p.bin"), "--activations", "int16"]) == 2
    assert "--activations would change nothing" in " ".join(capsys.readouterr().err.split())
