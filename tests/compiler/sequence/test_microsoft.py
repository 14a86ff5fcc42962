"""Operators of com.microsoft become ONNX's own, and compute in ONNX Runtime what they computed."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from recovered import check, run

RNG = np.random.default_rng(0)
B, S, H, D = 1, 6, 4, 8
C = H * D
MS = "com.microsoft"


def f(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model(op, inputs, constants, outputs=("y",), **attributes):
    """One node: its inputs in order are names of `inputs` or `constants`, or ""."""
    names = attributes.pop("order")
    node = helper.make_node(op, names, list(outputs), domain=MS, **attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()
    ]
    results = [onnx.ValueInfoProto(name=o) for o in outputs if o]
    given = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph([node], "g", infos, results, given)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)]
    found = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    for result, array in zip(found.graph.output, run(found, inputs), strict=True):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        result.CopyFrom(helper.make_tensor_value_info(result.name, kind, array.shape))
    return found


X, SKIP = f(B, S, C), f(B, S, C)
IDS = np.array([[3, 1, 4, 1, 5, 9]], np.int32)
KEYS, LENGTH = np.array([[1, 1, 1, 1, 0, 0]], np.int32), np.array([4], np.int32)
NORM = {"g": f(C), "b": f(C)}
QKV = {"q": f(B, S, C), "k": f(B, S, C), "v": f(B, S, C)}
W = {"w": f(C, 3 * C) / 6, "b": f(3 * C)}
TABLES = {"words": f(20, C), "places": f(8, C), "kinds": f(2, C)}
ANGLES = {"cos": f(9, D // 2), "sin": f(9, D // 2)}

# operator, inputs, constants, canonical nodes, and how the node reads them
CASES = {
    "skip norm": ("SkipLayerNormalization", {"x": X, "s": SKIP}, NORM, "LayerNormalization", {"order": "xsgb"}),
    "skip norm, sum read": (
        "SkipLayerNormalization",
        {"x": X, "s": SKIP},
        NORM | {"c": f(C)},
        "LayerNormalization",
        {"order": "xsgbc", "outputs": ("y", "", "", "z"), "epsilon": 1e-5},
    ),
    "skip rms norm": (
        "SkipSimplifiedLayerNormalization",
        {"x": X, "s": SKIP},
        {"g": f(C)},
        "RMSNormalization",
        {"order": "xsg"},
    ),
    "embedding": (
        "EmbedLayerNormalization",
        {"ids": IDS, "kind": IDS % 2, "m": KEYS},
        TABLES | NORM,
        "LayerNormalization",
        {"order": ["ids", "kind", "words", "places", "kinds", "g", "b", "m"], "outputs": ("y", "n")},
    ),
    "gelu": ("Gelu", {"x": X}, NORM, "Gelu", {"order": "x"}),
    "fast gelu": ("FastGelu", {"x": X}, NORM, "Gelu", {"order": "xb"}),
    "bias gelu": ("BiasGelu", {"x": X}, NORM, "Gelu", {"order": "xb"}),
    "quick gelu": ("QuickGelu", {"x": X}, NORM, "Swish", {"order": "x"}),
    "attention": ("Attention", {"x": X}, W, "Attention", {"order": "xwb", "num_heads": H}),
    "attention, causal": ("Attention", {"x": X}, W, "Attention", {"order": "xwb", "num_heads": H, "unidirectional": 1}),
    "attention, mask": ("Attention", {"x": X, "m": KEYS}, W, "Attention", {"order": "xwbm", "num_heads": H}),
    "attention, lengths": ("Attention", {"x": X, "m": LENGTH}, W, "Attention", {"order": "xwbm", "num_heads": H}),
    "attention, bias": (
        "Attention",
        {"x": X, "r": f(1, H, S, S)},
        W,
        "Attention",
        {"order": ["x", "w", "b", "", "", "r"], "num_heads": H},
    ),
    "multi-head": ("MultiHeadAttention", QKV, {}, "Attention", {"order": "qkv", "num_heads": H}),
    "multi-head, biases": (
        "MultiHeadAttention",
        QKV,
        {"b": f(3 * C)},
        "Attention",
        {"order": "qkvb", "num_heads": H, "scale": 0.3},
    ),
    "multi-head, mask and bias": (
        "MultiHeadAttention",
        QKV | {"m": KEYS, "r": f(1, H, S, S)},
        {},
        "Attention",
        {"order": ["q", "k", "v", "", "m", "r"], "num_heads": H},
    ),
    "multi-head, past": (
        "MultiHeadAttention",
        {n: a[:, :1] for n, a in QKV.items()} | {"pk": f(B, H, 5, D), "pv": f(B, H, 5, D)},
        {},
        "Attention",
        {"order": ["q", "k", "v", "", "", "", "pk", "pv"], "outputs": ("y", "a", "c"), "num_heads": H},
    ),
    "grouped": (
        "GroupQueryAttention",
        {"q": f(B, S, 64), "k": f(B, S, 32), "v": f(B, S, 32)},
        {"last": np.array([S - 1], np.int32), "total": np.int32(S), "cos": f(9, 8), "sin": f(9, 8)},
        "Attention",
        {
            "order": ["q", "k", "v", "", "", "last", "total", "cos", "sin"],
            "num_heads": H,
            "kv_num_heads": 2,
            "do_rotary": 1,
            "outputs": ("y", "a", "c"),
        },
    ),
    "rotary": (
        "RotaryEmbedding",
        {"x": X, "at": np.array([2], np.int64)},
        ANGLES,
        "RotaryEmbedding",
        {"order": ["x", "at", "cos", "sin"], "num_heads": H},
    ),
    "rotary, heads in front": (
        "RotaryEmbedding",
        {"x": f(B, H, S, D), "at": np.arange(S)[None]},
        ANGLES,
        "RotaryEmbedding",
        {"order": ["x", "at", "cos", "sin"], "interleaved": 1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operator(name):
    op, inputs, constants, node, how = CASES[name]
    how = {**how, "order": list(how["order"])}
    used = {n: a for n, a in constants.items() if n in how["order"]}
    found = check(model(op, inputs, used, **how), inputs, {node: 1}, ("Softmax",))
    assert not [n for n in found.graph if n.domain]
