"""What looks like attention, a norm, a rotation or an activation and is not stays as it is, and computes the same."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from recovered import check, run
from small_graphs import model

from vlac.rewrite.sequence import recover_sequences

RNG = np.random.default_rng(0)
H, S, D = 2, 4, 8
HEADS = f"float[1,{H},{S},{D}]"
QKV = f"{HEADS} q, {HEADS} k, {HEADS} v"
LOGITS = "t = Transpose<perm = [0, 1, 3, 2]>(k) l = MatMul(q, t)"


def f(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


NOT_ATTENTION = {
    "softmax over queries": (LOGITS + " p = Softmax<axis = 2>(l) y = MatMul(p, v)", QKV, {}),
    "a computed scale": (LOGITS + " s = Mul(l, c) p = Softmax(s) y = MatMul(p, v)", f"{QKV}, float[1] c", {}),
    "a scale per query": (LOGITS + " s = Mul(l, c) p = Softmax(s) y = MatMul(p, v)", QKV, {"c": f(1, 1, S, 1)}),
    "a negative scale of a choice": (
        LOGITS + " s = Where(m, l, c) n = Mul(s, d) p = Softmax(n) y = MatMul(p, v)",
        f"{QKV}, bool[1,1,{S},{S}] m",
        {"c": np.float32(-1e9), "d": np.float32(-1)},
    ),
    "a choice of a number that is not never": (
        LOGITS + " s = Where(m, l, c) p = Softmax(s) y = MatMul(p, v)",
        f"{QKV}, bool[1,1,{S},{S}] m",
        {"c": np.float32(-5)},
    ),
    "a row without keys": (
        LOGITS + " s = Add(l, c) p = Softmax(s) y = MatMul(p, v)",
        QKV,
        {"c": np.where(np.arange(S)[:, None] == 1, -1e9, 0).astype(np.float32) * np.ones((1, S), np.float32)},
    ),
    "keys that are constants": (
        "l = MatMul(q, c) p = Softmax(l) y = MatMul(p, v)",
        f"{HEADS} q, {HEADS} v",
        {"c": f(D, S)},
    ),
    "another function of the logits": (LOGITS + " s = Relu(l) p = Softmax(s) y = MatMul(p, v)", QKV, {}),
    "weights that are changed": (LOGITS + " p = Softmax(l) r = Mul(p, p) y = MatMul(r, v)", QKV, {}),
    "keys in another order": (
        LOGITS + " p = Softmax(l) r = Gather<axis = 3>(p, i) y = MatMul(r, v)",
        QKV,
        {"i": np.arange(S)[::-1].copy()},
    ),
}


@pytest.mark.parametrize("name", NOT_ATTENTION)
def test_not_attention(name):
    body, inputs, constants = NOT_ATTENTION[name]
    found = rewritten(body, inputs, constants)
    assert "Attention" not in found
    assert found["Softmax"] == 1


def rewritten(body, inputs, constants, opset=18):
    """The operators behind the rewrites; the numbers are the same."""
    proto = ir.to_proto(model(body, inputs, opset=opset, constants=constants))
    feeds = {}
    for value in proto.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        truth = value.type.tensor_type.elem_type == onnx.TensorProto.BOOL
        feeds[value.name] = np.tri(*shape[-2:], dtype=bool).reshape(shape) if truth else f(*shape)
    return Counter(n.op_type for n in check(proto, feeds, {}, ()).graph)


X = "float[1,4,8] x"
MEAN = "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) s = Mul(d, d) v = ReduceMean<axes = [-1]>(s) "
OTHERS = {
    "eps outside of the root": MEAN + "r = Sqrt(v) e = Add(r, eps) y = Div(d, e)",
    "another numerator": MEAN + "e = Add(v, eps) r = Sqrt(e) y = Div(x, r)",
    "a mean of cubes": "s = Mul(x, x) c = Mul(s, x) a = Abs(c) v = ReduceMean<axes = [-1]>(a) e = Add(v, eps) "
    "r = Sqrt(e) y = Div(x, r)",
    "a sum of squares and much more": "s = Mul(x, x) v = ReduceSum(s, a) e = Add(v, one) r = Sqrt(e) y = Div(x, r)",
    "a length over another axis": "r = ReduceL2<axes = [1]>(x) y = Div(x, r)",
    "a length with a bound that rows come near to": "r = ReduceL2<axes = [-1]>(x) b = Max(r, one) y = Div(x, b)",
    "a length of something else": "z = Add(x, one) r = ReduceL2<axes = [-1]>(z) y = Div(x, r)",
    "the length in other rows": "r = ReduceL2<axes = [-1]>(x) t = Transpose<perm = [0, 2, 1]>(r) "
    "q = Concat<axis = 2>(t, t) y = Div(x, q)",
}


@pytest.mark.parametrize("name", OTHERS)
def test_not_a_norm(name):
    constants = {"eps": np.float32(1e-5), "one": np.float32(1), "a": np.array([2])}
    used = {n: a for n, a in constants.items() if f", {n})" in OTHERS[name]}
    found = rewritten(OTHERS[name], X, used, opset=17)
    assert not {"LayerNormalization", "RMSNormalization"} & set(found)


NORM = "n = LayerNormalization(x, g) "
ACTIVATIONS = {
    "sqrt 2 of four digits": "u = Mul(n, a) e = Erf(u) p = Add(e, one) h = Mul(n, half) y = Mul(h, p)",
    "another function": "u = Sigmoid(x) y = Mul(n, u)",
    "no half": "u = Mul(n, root) e = Erf(u) p = Add(e, one) y = Mul(n, p)",
    "sigmoid that is read twice": "u = Sigmoid(n) z = Mul(n, u) w = Add(z, u) y = Mul(w, w)",
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_not_an_activation(name):
    numbers = {"a": 0.7071, "root": np.sqrt(0.5), "one": 1, "half": 0.5}
    body = NORM + ACTIVATIONS[name]
    used = {n: np.float32(v) for n, v in numbers.items() if f" {n})" in body}
    found = rewritten(body, X, used | {"g": f(8)}, opset=17)
    assert not {"Gelu", "Swish"} & set(found)


ROTATIONS = {
    "the other half negative": (
        "n = Neg(a) r = Concat<axis = -1>(b, n)",
        {"c": np.tile(f(4, 4), 2), "s": np.tile(f(4, 4), 2)},
    ),
    "halves in their places": (
        "n = Neg(a) r = Concat<axis = -1>(n, b)",
        {"c": np.tile(f(4, 4), 2), "s": np.tile(f(4, 4), 2)},
    ),
    "angles that differ": ("n = Neg(b) r = Concat<axis = -1>(n, a)", {"c": f(4, 8), "s": np.tile(f(4, 4), 2)}),
}


@pytest.mark.parametrize("name", ROTATIONS)
def test_not_a_rotation(name):
    turned, angles = ROTATIONS[name]
    body = f"a, b = Split<axis = -1>(x) {turned} p = Mul(x, c) q = Mul(r, s) y = Add(p, q)"
    assert not rewritten(body, X, angles, opset=17)["RotaryEmbedding"]


def test_a_network_without_sequences_stays():
    body = "u = Sigmoid(x) p = Mul(x, u) r = Softmax(p) y = Relu(r)"
    found = model(body, X, opset=17)
    before = ir.to_proto(found)
    recover_sequences(found)
    assert ir.to_proto(found) == before


@pytest.mark.parametrize("softcap", [0.0, 5.0])
def test_a_softcap_is_kept(softcap):
    cap = " d = Div(l, c) h = Tanh(d) s = Mul(h, c)" if softcap else " s = Mul(l, c)"
    body = LOGITS + cap + " p = Softmax(s) y = MatMul(p, v)"
    proto = ir.to_proto(model(body, QKV, opset=18, constants={"c": np.float32(softcap or 0.5)}))
    feeds = {n: f(1, H, S, D) for n in "qkv"}
    (node,) = [n for n in check(proto, feeds, {"Attention": 1}, ("Softmax", "Tanh")).graph if n.op_type == "Attention"]
    assert ("softcap" in node.attributes) == bool(softcap)


def test_a_row_without_keys_is_zero():
    """Where it depends on the input: PyTorch gives 0, ONNX Runtime's Softmax the mean."""
    body = LOGITS + " s = Where(m, l, c) p = Softmax(s) y = MatMul(p, v)"
    proto = ir.to_proto(model(body, f"{QKV}, bool[1,1,1,{S}] m", opset=18, constants={"c": np.float32(-1e9)}))
    feeds = {n: f(1, H, S, D) for n in "qkv"}
    some = check(proto, feeds | {"m": np.array([1, 0, 1, 0], bool).reshape(1, 1, 1, S)}, {"Attention": 1}, ("Softmax",))
    none = feeds | {"m": np.zeros((1, 1, 1, S), bool)}
    assert not run(ir.to_proto(some), none)[0].any()
