"""Equalization of rows: the model computes the same, t is what the formula says, and outliers cost 8 bits less."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from rewritten import run
from small_graphs import model

from vlac.quantize.equalize_rows import ChannelPeaks, equalize_rows, factors
from vlac.quantize.rounds import all_rounds

C, OUT, S = 16, 12, 6
RNG = np.random.default_rng(0)
OUTLIERS = np.where(np.arange(C) % 5 == 0, 20, 1).astype(np.float32)


def array(*shape):
    return (RNG.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


CONSTANTS = {
    "gamma": OUTLIERS * RNG.uniform(0.5, 1.5, C).astype(np.float32),
    "beta": array(C),
    "w": array(C, OUT) / OUTLIERS[:, None],
    "v": array(C, OUT) / OUTLIERS[:, None],
    "vt": (array(C, OUT) / OUTLIERS[:, None]).T.copy(),
    "d": array(OUT, C),
    "b": array(OUT),
    "c": array(C),
}
NORM = "n = LayerNormalization<axis = -1>(x, gamma, beta) "
X = f"float[1,{S},{C}] x"
BODIES = {
    "one layer": (NORM + "y = MatMul(n, w)", X, "y"),
    "three layers": (NORM + "p = MatMul(n, w) q = MatMul(n, v) r = Mul(p, q) y = MatMul(r, d)", X, "y"),
    "rms": ("n = RMSNormalization<axis = -1>(x, gamma) y = MatMul(n, w)", X, "y"),
    "post-norm": (NORM + "p = MatMul(n, w) q = MatMul(p, d) y = Add(n, q)", X, "y"),
    "an output": (NORM + "y = MatMul(n, w)", X, "n, y"),
    "gemm": ("n = LayerNormalization<axis = -1>(x, gamma, beta) y = Gemm(n, w, b)", f"float[{S},{C}] x", "y"),
    "gemm, turned": (
        "n = LayerNormalization<axis = -1>(x, gamma) y = Gemm<transB = 1>(n, vt, b)",
        f"float[{S},{C}] x",
        "y",
    ),
    "gated": ("p = MatMul(x, w) u = MatMul(x, v) s = Gelu(p) a = Add(u, b) r = Mul(s, a) y = MatMul(r, d)", X, "y"),
    "relu": ("p = MatMul(x, w) a = Add(p, b) h = Relu(a) y = MatMul(h, d)", X, "y"),
    "gated, no bias": ("p = MatMul(x, w) u = MatMul(x, v) s = Gelu(p) r = Mul(s, u) y = MatMul(r, d)", X, "y"),
    "gated, turned": (
        "p = Gemm(x, w) u = Gemm<transB = 1>(x, vt, b) s = Gelu(p) r = Mul(u, s) y = Gemm(r, d, c)",
        f"float[{S},{C}] x",
        "y",
    ),
}


def largest(found, samples, hidden=()):
    watched = ChannelPeaks(found, hidden)
    all_rounds(found, samples, [watched])
    return watched.largest


def equalized(name, hidden=(), peaks=None):
    """Before, after, what was equalized, and samples."""
    body, inputs, outputs = BODIES.get(name, name)
    used = {
        k: v for k, v in CONSTANTS.items() if k in body.replace("(", " ").replace(",", " ").replace(")", " ").split()
    }
    found = model(body, inputs, outputs, constants=used, opset=23)
    before = ir.to_proto(found)
    shape = [d.dim_value for d in before.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(1)  # the same for every graph
    samples = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(4)]
    names = equalize_rows(found, largest(found, samples, hidden), hidden, peaks)
    after = ir.to_proto(found)
    onnx.checker.check_model(after, full_check=True)
    for sample in samples:
        for wanted, given in zip(run(before, sample), run(after, sample), strict=True):
            assert np.allclose(wanted, given, rtol=2e-5, atol=2e-6 * np.abs(wanted).max())
    return before, after, names, samples


@pytest.mark.parametrize("name", BODIES)
def test_the_model_computes_the_same(name):
    _, after, names, _ = equalized(name)
    assert names
    products = [n for n in after.graph.node if n.op_type == "Mul" and any("constant" in i for i in n.input)]
    assert len(products) == (name in ("post-norm", "an output"))


def values(proto, name, samples):
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    copy.graph.output.append(onnx.ValueInfoProto(name=name))
    return np.concatenate([run(copy, s)[-1].reshape(-1, C) for s in samples])


def test_t_is_the_formula():
    before, after, _, samples = equalized("one layer")
    a = np.abs(values(before, "n", samples)).max(axis=0)
    a = np.maximum(a, np.median(a) / 4)
    w = np.abs(CONSTANTS["w"])
    rows = np.array([max(w[c, o] / w[:, o].max() for o in range(OUT)) for c in range(C)])
    t = np.sqrt(a / np.maximum(rows, 1e-3))
    t /= np.prod(t) ** (1 / C)
    ratio = values(before, "n", samples) / values(after, "n", samples)
    assert np.allclose(ratio, t, rtol=1e-4)


def test_a_channel_that_was_hardly_seen_is_not_blown_up():
    seen = np.array([1.0, 1.0, 1.0, 0.001, 0.0])
    t = factors(seen, [np.ones((5, 3))])
    assert np.allclose(t[3:] / t[0], 0.5)


def test_weights_that_are_zero():
    weights = np.ones((4, 3))
    weights[1] = 0
    weights[:, 2] = 0
    assert np.isfinite(factors(np.ones(4), [weights])).all()
    assert np.isfinite(factors(np.zeros(4), [weights])).all()


def test_a_hidden_activation_where_asked_for():
    body = ("p = MatMul(x, w) h = Gelu(p) y = MatMul(h, d)", X, "y")
    assert equalized(body)[2] == []
    assert equalized(body, hidden=["h"])[2] == ["h"]


def test_shared_constants_get_their_own_copies():
    body = (NORM + "m = LayerNormalization<axis = -1>(x, gamma, beta) y = MatMul(n, w) z = Add(m, x)", X, "y, z")
    equalized(body)  # the second norm computes what it did


SECOND = "m = LayerNormalization<axis = -1>(x, beta, gamma) "


def weights_of(body, **options):
    """Of its layers, in order."""
    _, after, names, _ = equalized(body, **options)
    assert names
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in after.graph.initializer}
    return [constants[node.input[1]] for node in after.graph.node if node.op_type == "MatMul"]


def test_equal_weights_of_a_graph_stay_equal():
    """Rows whose largest channels are others in front of the second layer change both alike."""
    one, other = weights_of((NORM + SECOND + "y = MatMul(n, w) z = MatMul(m, w)", X, "y, z"))
    assert np.array_equal(one, other)


def test_equal_weights_stay_equal_among_several_graphs():
    first, second = (NORM + "y = MatMul(n, w)", X, "y"), (SECOND + "y = MatMul(m, w)", X, "y")
    (alone,), (other,) = weights_of(first), weights_of(second)
    assert not np.array_equal(alone, other)
    seen = {}
    weights_of(first, peaks=seen)
    (last,) = weights_of(second, peaks=seen)
    (again,) = weights_of(first, peaks=seen)
    assert np.array_equal(again, last)


def quantized(x, axis=None):
    scale = np.abs(x).max(axis=axis, keepdims=axis is not None) / 127
    return np.rint(x / scale) * scale


def snr(proto, samples):
    """Of a layer of 8-bit activations and weights, in dB."""
    weight = next(
        onnx.numpy_helper.to_array(i) for i in proto.graph.initializer if i.name == proto.graph.node[-1].input[1]
    )
    n = values(proto, "n", samples)
    error = quantized(n) @ quantized(weight, 0) - n @ weight
    return 20 * np.log10(np.linalg.norm(n @ weight) / np.linalg.norm(error))


def test_outliers_cost_less():
    before, after, _, samples = equalized("one layer")
    assert snr(after, samples) > snr(before, samples) + 6
