"""Floor and half up: every result beside an integer model in numpy that shifts right, as the user's hardware does."""

import numpy as np
import onnx
import pytest
from parity import compile_proto
from qdq_graphs import QdqBuilder
from test_dialects import QonnxBuilder

import vlarun
from vla_isa.hardware import load
from vla_toolchain.vlac_cli import main
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError, UnsupportedError

ROUNDINGS = ("nearest-even", "half-up", "floor")


def shifted(total, shift, rounding):
    """total / 2^shift as a whole number."""
    total = np.asarray(total, np.int64) << max(-shift, 0)
    shift = max(shift, 0)
    down, rest = total >> shift, total & ((1 << shift) - 1)
    if rounding == "floor" or shift == 0:
        return down
    half = 1 << (shift - 1)
    up = (rest > half) | ((rest == half) & ((rounding == "half-up") | (down % 2 == 1)))
    return down + up


def saturated(q, zero=0):
    return np.clip(q + zero, -128, 127)


class Integers:
    """Convolutions and the rest on int64, with each scale as the exponent of 2 in it."""

    def __init__(self, rounding):
        self.rounding = rounding

    def conv(self, x, w, bias, shift, *, pad=1, relu=False, zero=0):
        """x [C, H, W] less its zero point, w [O, C, 3, 3]."""
        size = w.shape[2]
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        total = np.einsum("chwij,ocij->ohw", views, w) + bias[:, None, None]
        q = shifted(total, shift, self.rounding)
        return saturated(np.maximum(q, 0) if relu else q, zero)


def compiled(model, rounding, tmp_path):
    onnx.save(model, tmp_path / "model.onnx")
    return compile_file(tmp_path / "model.onnx", load("tiny"), CompileOptions(rounding=rounding))


def outputs(state, x):
    return list(vlarun.Session(state.program, backend="sim").run({"x": x[None].astype(np.float32)}).values())


def network(rounding, seed=0):
    """A QDQ model with scales of powers of two, its input integers, and every output's integers and scale."""
    g, m = QdqBuilder("power of two", seed), Integers(rounding)
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (12, 8, 8))
    w1, w2 = rng.integers(-127, 128, (16, 12, 3, 3)), rng.integers(-127, 128, (16, 16, 3, 3))
    b1, b2 = rng.integers(-20000, 20000, 16), rng.integers(-20000, 20000, 16)

    def constant(integers, exponent, kind=np.int8):
        return g.node("DequantizeLinear", [g.constant(integers.astype(kind)), g.constant(np.float32(2.0**exponent))])

    def layer(value, w, b, exponent, channels):
        inputs = [value, constant(w, -8), constant(b, exponent - 8, np.int32)]
        return g.node("Conv", inputs, channels, pads=[1, 1, 1, 1])

    xd = g.qdq(g.input("x", (1, 12, 8, 8)), 2.0**-6)  # real x = q / 64
    h1 = g.qdq(g.node("Relu", [layer(xd, w1, b1, -6, 16)]), 2.0**-3, -128)
    q1 = m.conv(x, w1, b1, 11, relu=True, zero=-128)
    h2 = g.qdq(layer(h1, w2, b2, -3, 16), 2.0**-2, 3)
    q2 = m.conv(q1 + 128, w2, b2, 9, zero=3)
    total = g.qdq(g.node("Add", [h2, h1]), 2.0**-1, -5)  # a residual: its convolution is read once more below
    q3 = saturated(shifted((q2 - 3) * 2 + (q1 + 128), 2, rounding), -5)
    pooled = g.qdq(g.node("AveragePool", [total], kernel_shape=[2, 2], strides=[2, 2]), 2.0**-2, 7)
    q4 = saturated(shifted((q3 + 5).reshape(16, 4, 2, 4, 2).sum(axis=(2, 4)), 1, rounding), 7)
    mean = g.qdq(g.node("GlobalAveragePool", [h1]), 2.0**-4)
    q5 = saturated(shifted((q1 + 128).sum(axis=(1, 2)), 5, rounding))
    table = g.qdq(g.node("Sigmoid", [total]), 2.0**-8, -128)
    real = 1 / (1 + np.exp(-(q3 + 5) * 0.5)) * 256
    q6 = saturated(
        {"floor": np.floor, "half-up": lambda v: np.floor(v + 0.5), "nearest-even": np.rint}[rounding](real), -128
    )
    scaled = g.qdq(h1, 2.0**-1, 1)  # a change of scale alone
    q7 = saturated(shifted(q1 + 128, 2, rounding), 1)
    product = g.qdq(g.node("Mul", [h1, h2]), 2.0**2, 2)
    q8 = saturated(shifted((q1 + 128) * (q2 - 3), 7, rounding), 2)
    model = g.model(total, pooled, mean, table, scaled, product)
    wanted = [(q3 + 5, 1), (q4 - 7, 2), (q5, 4), (q6 + 128, 8), (q7 - 1, 1), (q8 - 2, -2)]
    return model, x / 64, wanted


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_instruction(rounding, tmp_path):
    model, x, wanted = network(rounding)
    found = outputs(compiled(model, rounding, tmp_path), x)
    for (integers, exponent), real in zip(wanted, found, strict=True):
        assert np.array_equal(np.rint(real[0].squeeze() * 2.0**exponent), integers.squeeze())
        assert len(np.unique(integers)) > 3


@pytest.mark.parametrize("rounding", ["half-up", "floor"])
def test_the_roundings_differ(rounding, tmp_path):
    """The integer model of one rounding is not that of another: the test above can tell them apart."""
    model, x, _ = network("nearest-even")
    plain = outputs(compiled(model, None, tmp_path), x)
    other = outputs(compiled(model, rounding, tmp_path), x)
    assert all((a != b).any() for a, b in zip(plain[:2], other[:2], strict=True))


@pytest.mark.parametrize("rounding", ["half-up", "floor"])
def test_residual_in_the_convolution(rounding, tmp_path):
    """The convolution's own result and the sum with the residual are rounded, each in its turn."""
    g, m = QdqBuilder("residual", 1), Integers(rounding)
    rng = np.random.default_rng(1)
    x, w = rng.integers(-128, 128, (16, 6, 6)), rng.integers(-127, 128, (16, 16, 3, 3))
    xd = g.qdq(g.input("x", (1, 16, 6, 6)), 2.0**-6)
    wd = g.node("DequantizeLinear", [g.constant(w.astype(np.int8)), g.constant(np.float32(2.0**-8))])
    h = g.qdq(g.node("Conv", [xd, wd], 16, pads=[1, 1, 1, 1]), 2.0**-4)
    state = compiled(g.model(g.qdq(g.node("Add", [h, xd]), 2.0**-3)), rounding, tmp_path)
    q = m.conv(x, w, np.zeros(16, np.int64), 10)
    wanted = saturated(shifted(q * 4 + x, 3, rounding))
    assert "Add" not in [s.op for s in state.program.sources]
    assert np.array_equal(np.rint(outputs(state, x / 64)[0][0] * 8), wanted)


def test_a_float_bias_between_two_steps_of_the_accumulator(tmp_path):
    """floor((acc + b) / 2^s) with any real b."""
    g = QdqBuilder("bias", 2)
    rng = np.random.default_rng(2)
    x, w, b = rng.integers(-128, 128, (4, 5, 5)), rng.integers(-127, 128, (6, 4, 1, 1)), rng.standard_normal(6)
    xd = g.qdq(g.input("x", (1, 4, 5, 5)), 2.0**-6)
    wd = g.node("DequantizeLinear", [g.constant(w.astype(np.int8)), g.constant(np.float32(2.0**-8))])
    model = g.model(g.qdq(g.node("Conv", [xd, wd, g.constant(b.astype(np.float32))], 6), 2.0**-13))
    real = (
        np.einsum("oc,chw->ohw", w[:, :, 0, 0], x).astype(np.float64)
        + b.astype(np.float32).astype(np.float64)[:, None, None] * 2**14
    )
    wanted = saturated(np.floor(real / 2).astype(np.int64))
    assert np.array_equal(np.rint(outputs(compiled(model, "floor", tmp_path), x / 64)[0][0] * 2**13), wanted)


# --- what cannot be done ---------------------------------------------------------------------------------------


def body(scale=2.0**-4, build=None):
    g = QdqBuilder("refused", 3)
    x = g.qdq(g.input("x", (1, 4, 6, 6)), 2.0**-6)
    h = g.qdq(g.node("Conv", [x, g.weights((6, 4, 1, 1), scales=np.float32(2.0**-8))], 6), scale)
    return g.model(build(g, h) if build else h)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: body(0.05), "Conv 'conv3': its scales are no powers of two of each other"),
        (
            lambda: body(build=lambda g, h: g.qdq(g.node("GlobalAveragePool", [h]), 2.0**-4)),
            "or of the number of values averaged",
        ),
        (
            lambda: body(
                build=lambda g, h: g.qdq(g.node("Sub", [g.qdq(g.constant(g.weight(1, 6, 6, 6)), 2.0**-4), h]), 2.0**-4)
            ),
            "subtracting from a constant .* rounds to nearest even only",
        ),
        (
            lambda: body(build=lambda g, h: g.qdq(g.node("Softmax", [h], axis=1), 2.0**-8, -128)),
            "the host computes it, to nearest even",
        ),
    ],
)
def test_refusals(model, message, tmp_path):
    with pytest.raises(UnsupportedError, match=message):
        compiled(model(), "floor", tmp_path)
    assert compiled(model(), None, tmp_path).program is not None


def test_float_models_are_refused(tmp_path):
    g = QdqBuilder("float")
    with pytest.raises(ModelError, match="--rounding floor is for quantized models"):
        compiled(g.model(g.node("Relu", [g.input("x", (1, 4))])), "floor", tmp_path)


def test_flag(tmp_path, capsys):
    onnx.save(network("floor")[0], tmp_path / "model.onnx")
    command = ["compile", str(tmp_path / "model.onnx"), "-o", str(tmp_path / "p.bin"), "--rounding"]
    assert main([*command, "floor"]) == 0
    assert main([*command, "ceil"]) == 2
    assert main([*command, "floor", "--verify"]) == 2
    assert "--verify cannot judge --rounding floor" in capsys.readouterr().err


# --- QONNX -----------------------------------------------------------------------------------------------------


def qonnx(modes, *, signed=1, weights="ROUND"):
    """Two layers whose Quant nodes round by these modes, and their weights in float."""
    g = QonnxBuilder("qonnx", 4)
    rng = np.random.default_rng(4)
    w1, w2 = (rng.standard_normal((6, 6, 3, 3)).astype(np.float32) for _ in range(2))
    h = g.quant(g.input("x", (1, 6, 6, 6)), 2.0**-6)
    for w, mode, scale in ((w1, modes[0], 2.0**-2), (w2, modes[1], 1.0)):
        wq = g.quant(g.constant(w), 2.0**-5, rounding_mode=weights)
        h = g.quant(g.node("Conv", [h, wq], 6, pads=[1, 1, 1, 1]), scale, rounding_mode=mode, signed=signed)
    return g.qonnx(h, 1, 6, 6, 6), w1, w2


@pytest.mark.parametrize(
    ("mode", "signed", "rounding"),
    [
        ("FLOOR", 1, "floor"),
        ("ROUND", 1, "nearest-even"),
        ("HALF_UP", 0, "half-up"),
        ("DOWN", 0, "floor"),
        ("floor", 0, "floor"),
    ],
)
@pytest.mark.parametrize("weights", ["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_rounding_modes_of_quant(mode, signed, rounding, weights):
    model, w1, w2 = qonnx((mode, mode), signed=signed, weights=weights)
    state = compile_proto(model, "tiny", calib=None)
    x = np.random.default_rng(5).integers(-128, 128, (6, 6, 6))
    sign = lambda f: lambda v: np.sign(v) * f(np.abs(v))  # noqa: E731
    way = {
        "ROUND": np.rint,
        "FLOOR": np.floor,
        "CEIL": np.ceil,
        "UP": sign(np.ceil),
        "DOWN": sign(np.floor),
        "HALF_UP": sign(lambda v: np.floor(v + 0.5)),
        "HALF_DOWN": sign(lambda v: np.ceil(v - 0.5)),
    }[weights]
    q = x
    for w, shift in ((w1, 9), (w2, 7)):
        integers = np.clip(way(w.astype(np.float64) * 32), -128, 127).astype(np.int64)
        views = np.lib.stride_tricks.sliding_window_view(np.pad(q, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
        total = shifted(np.einsum("chwij,ocij->ohw", views, integers), shift, rounding)
        q = np.clip(total, 0, 255) if not signed else np.clip(total, -128, 127)
    assert np.array_equal(outputs(state, x / 64)[0][0], q)
    assert len(np.unique(q)) > 10


@pytest.mark.parametrize(
    ("modes", "signed", "message"),
    [
        (("FLOOR", "ROUND"), 1, "rounds by floor and Quant .* by nearest-even; a program rounds in one way"),
        (("CEIL", "CEIL"), 1, "the machine cannot round an activation by CEIL; use ROUND or FLOOR"),
        (("HALF_UP", "HALF_UP"), 1, "by HALF_UP"),
        (("NEAREST", "NEAREST"), 1, "rounding mode NEAREST does not exist in QONNX"),
    ],
)
def test_quant_modes_that_are_refused(modes, signed, message):
    with pytest.raises(UnsupportedError, match=message):
        compile_proto(qonnx(modes, signed=signed)[0], calib=None)


def test_inputs_are_rounded_to_nearest_even():
    g = QonnxBuilder("input", 6)
    x = g.node("Transpose", [g.input("x", (1, 6, 6, 3))], perm=[0, 3, 1, 2])
    y = g.node(
        "Conv", [g.quant(x, 2.0**-6, rounding_mode="FLOOR"), g.weights((4, 3, 1, 1), scales=np.float32(2.0**-8))], 4
    )
    with pytest.raises(
        UnsupportedError, match="a model input is rounded to nearest even, not by FLOOR; use ROUND there"
    ):
        compile_proto(g.qonnx(g.quant(y, 2.0**-3), 1, 4, 6, 6), calib=None)


def test_a_flag_that_contradicts_the_model(tmp_path):
    with pytest.raises(ModelError, match="--rounding half-up contradicts the model, whose Quant nodes round by floor"):
        compiled(qonnx(("FLOOR", "FLOOR"))[0], "half-up", tmp_path)
