"""Small float models of what is beside a network in a policy, as exporters write it; each with inputs for it."""

import numpy as np
from host_nodes import N, constant, model, value
from onnx import TensorProto as T
from onnx import helper

# --- values that depend on no input ------------------------------------------------------------------------


def split_of_a_constant(r):
    """The packed in_proj of nn.MultiheadAttention, as torch.export writes it."""
    nodes = [
        N("Split", ["W"], ["wq", "wk"], axis=1, num_outputs=2),
        N("MatMul", ["x", "wq"], ["q"]),
        N("MatMul", ["x", "wk"], ["k"]),
        N("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        N("MatMul", ["q", "kt"], ["s"]),
        N("Softmax", ["s"], ["p"]),
        N("MatMul", ["p", "x"], ["o"]),
        N("MatMul", ["o", "wo"], ["y"]),
    ]
    constants = [constant("W", r.w(8, 16)), constant("wo", r.w(8, 8))]
    return model(nodes, [value("x", [1, 5, 8])], [value("y", [1, 5, 8])], constants, 18), {"x": r.f(6, 5, 8)}


def learned_queries(r):
    """LayerNormalization of a constant: ACT's query embedding; a norm that the machine has not."""
    nodes = [
        N("LayerNormalization", ["q", "g", "b"], ["n"]),
        N("MatMul", ["n", "w"], ["qw"]),
        N("MatMul", ["x", "wx"], ["xw"]),
        N("Add", ["qw", "xw"], ["s"]),
        N("LpNormalization", ["s"], ["t"]),
        N("MatMul", ["t", "w"], ["y"]),
    ]
    named = {"q": r.f(1, 4, 8), "g": 1 + 0.1 * r.f(8), "b": r.f(8), "w": r.w(8, 8), "wx": r.w(8, 8)}
    constants = [constant(k, v) for k, v in named.items()]
    return model(nodes, [value("x", [1, 4, 8])], [value("y", [1, 4, 8])], constants), {"x": r.f(6, 4, 8)}


def transformer(r):
    """One attention block with a key mask from an input, packed weights, learned queries and a feed-forward layer."""
    nodes = [
        N("Split", ["W", "sizes"], ["wq", "wk", "wv"], axis=1),
        N("LayerNormalization", ["q0", "g"], ["qn"]),
        N("MatMul", ["qn", "wq"], ["q"]),
        N("MatMul", ["x", "wk"], ["k"]),
        N("MatMul", ["x", "wv"], ["v"]),
        N("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        N("MatMul", ["q", "kt"], ["s"]),
        N("Cast", ["m"], ["mi"], to=T.INT64),
        N("Unsqueeze", ["mi", "axes"], ["mu"]),
        N("Cast", ["mu"], ["mb"], to=T.BOOL),
        N("Where", ["mb", "s", "never"], ["sm"]),
        N("Softmax", ["sm"], ["p"]),
        N("MatMul", ["p", "v"], ["o"]),
        N("MatMul", ["o", "wo"], ["op"]),
        N("Add", ["op", "q0"], ["h"]),
        N("LayerNormalization", ["h", "g"], ["hn"]),
        N("MatMul", ["hn", "w1"], ["f1"]),
        N("Relu", ["f1"], ["fr"]),
        N("MatMul", ["fr", "w2"], ["y"]),
    ]
    named = {
        "W": r.w(8, 24),
        "q0": r.f(1, 3, 8),
        "g": 1 + 0.1 * r.f(8),
        "wo": r.w(8, 8),
        "w1": r.w(8, 16),
        "w2": r.w(16, 8),
        "sizes": np.array([8, 8, 8]),
        "axes": np.array([1]),
        "never": np.float32(-3.4e38),
    }
    mask = (r.rng.random((8, 6)) > 0.3).astype(np.float32)
    mask[:, 0] = 1
    inputs = [value("x", [1, 6, 8]), value("m", [1, 6])]
    constants = [constant(k, v) for k, v in named.items()]
    return model(nodes, inputs, [value("y", [1, 3, 8])], constants), {"x": r.f(8, 6, 8), "m": mask}


# --- subgraphs that read values from outside ----------------------------------------------------------------


def if_with_captures(r):
    then = helper.make_graph([N("Relu", ["g"], ["t"])], "t", [], [value("t", [1, 8])])
    other = helper.make_graph([N("Mul", ["g", "k"], ["e"])], "e", [], [value("e", [1, 8])])
    nodes = [
        N("Gemm", ["x", "w"], ["g"]),
        N("ReduceSum", ["g"], ["s"], keepdims=0),
        N("Greater", ["s", "zero"], ["c"]),
        N("If", ["c"], ["i"], then_branch=then, else_branch=other),
        N("Gemm", ["i", "w"], ["y"]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("zero", np.float32(0)), constant("k", r.f(8))]
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], constants), {"x": r.f(8, 8)}


def if_with_an_empty_branch(r):
    """One branch is an Identity of an outer value."""
    then = helper.make_graph([N("Neg", ["g"], ["t"])], "t", [], [value("t", [1, 8])])
    other = helper.make_graph([N("Identity", ["g"], ["e"])], "e", [], [value("e", [1, 8])])
    nodes = [
        N("Gemm", ["x", "w"], ["g"]),
        N("ReduceSum", ["x"], ["s"], keepdims=0),
        N("Greater", ["s", "zero"], ["c"]),
        N("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    constants = [constant("w", r.w(8, 8)), constant("zero", np.float32(0))]
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], constants), {"x": r.f(8, 8)}


def loop_with_captures(r):
    body = helper.make_graph(
        [N("Add", ["a", "k"], ["t"]), N("Mul", ["t", "g"], ["b"]), N("Identity", ["ci"], ["co"])],
        "b",
        [value("i", [], T.INT64), value("ci", [], T.BOOL), value("a", [1, 8])],
        [value("co", [], T.BOOL), value("b", [1, 8])],
    )
    nodes = [
        N("Gemm", ["x", "w"], ["g0"]),
        N("Sigmoid", ["g0"], ["g"]),
        N("Loop", ["n", "", "x"], ["l"], body=body),
        N("Gemm", ["l", "w"], ["y"]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("n", np.int64(3)), constant("k", np.float32(0.5))]
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], constants), {"x": r.f(6, 8)}


def scan_with_captures(r):
    body = helper.make_graph(
        [
            N("MatMul", ["h", "u"], ["hu"]),
            N("Add", ["hu", "e"], ["s"]),
            N("Tanh", ["s"], ["ho"]),
            N("Mul", ["ho", "g"], ["o"]),
        ],
        "b",
        [value("h", [1, 8]), value("e", [1, 8])],
        [value("ho", [1, 8]), value("o", [1, 8])],
    )
    nodes = [
        N("Gemm", ["s0", "w"], ["g"]),
        N("MatMul", ["x", "w"], ["xw"]),
        N("Scan", ["s0", "xw"], ["last", "all"], num_scan_inputs=1, body=body),
        N("MatMul", ["all", "w"], ["y"]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("u", r.w(8, 8))]
    inputs = [value("x", [4, 1, 8]), value("s0", [1, 8])]
    made = model(nodes, inputs, [value("y", [4, 1, 8]), value("last", [1, 8])], constants)
    return made, {"x": r.f(6, 4, 1, 8), "s0": r.f(6, 1, 8)}


# --- integers and truth values -------------------------------------------------------------------------------


def mask_through_int64(r):
    nodes = [
        N("Cast", ["m"], ["mi"], to=T.INT64),
        N("Unsqueeze", ["mi", "axes"], ["mu"]),
        N("Cast", ["mu"], ["mf"], to=T.FLOAT),
        N("MatMul", ["x", "w"], ["h"]),
        N("Mul", ["h", "mf"], ["z"]),
        N("MatMul", ["z", "w"], ["y"]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("axes", np.array([1]))]
    mask = (r.rng.random((6, 8)) > 0.4).astype(np.float32)
    inputs = [value("x", [1, 4, 8]), value("m", [1, 8])]
    return model(nodes, inputs, [value("y", [1, 4, 8])], constants), {"x": r.f(6, 4, 8), "m": mask}


def truth_values(r):
    """Not, And and Where on a condition of two tensors."""
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("Greater", ["h", "x"], ["a"]),
        N("Less", ["h", "half"], ["b"]),
        N("Not", ["b"], ["nb"]),
        N("And", ["a", "nb"], ["c"]),
        N("Where", ["c", "h", "x"], ["z"]),
        N("MatMul", ["z", "w"], ["y"]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("half", np.float32(-0.5))]
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], constants), {"x": r.f(8, 8)}


def bool_input(r):
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("Not", ["m"], ["n"]),
        N("Where", ["n", "h", "zero"], ["z"]),
        N("MatMul", ["z", "w"], ["y"]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("zero", np.float32(0))]
    inputs = [value("x", [1, 8]), value("m", [1, 8], T.BOOL)]
    return model(nodes, inputs, [value("y", [1, 8])], constants), {"x": r.f(8, 8), "m": r.rng.random((8, 8)) > 0.4}


def token_ids(r):
    nodes = [N("Gather", ["e", "ids"], ["h"]), N("Flatten", ["h"], ["fl"]), N("Gemm", ["fl", "w"], ["y"])]
    constants = [constant("e", r.f(50, 8)), constant("w", r.w(40, 4))]
    made = model(nodes, [value("ids", [1, 5], T.INT64)], [value("y", [1, 4])], constants)
    return made, {"ids": r.rng.integers(0, 50, (8, 5))}


def time_step(r):
    """Sine and cosine of an int64 time step, then an MLP: every diffusion policy."""
    frequencies = np.exp(-np.arange(8) / 3).astype(np.float32)
    nodes = [
        N("Cast", ["t"], ["tf"], to=T.FLOAT),
        N("Unsqueeze", ["tf", "axes"], ["tu"]),
        N("Mul", ["tu", "freq"], ["a"]),
        N("Sin", ["a"], ["s"]),
        N("Cos", ["a"], ["c"]),
        N("Concat", ["s", "c"], ["e"], axis=1),
        N("Gemm", ["e", "w1"], ["h"]),
        N("Relu", ["h"], ["hr"]),
        N("Gemm", ["x", "wx"], ["xw"]),
        N("Add", ["hr", "xw"], ["z"]),
        N("Gemm", ["z", "w2"], ["y"]),
    ]
    named = {"axes": np.array([1]), "freq": frequencies, "w1": r.w(16, 8), "wx": r.w(6, 8), "w2": r.w(8, 6)}
    inputs = [value("t", [1], T.INT64), value("x", [1, 6])]
    made = model(nodes, inputs, [value("y", [1, 6])], [constant(k, v) for k, v in named.items()])
    return made, {"t": r.rng.integers(0, 100, 12), "x": r.f(12, 6)}


def double_in_the_middle(r):
    nodes = [
        N("Gemm", ["x", "w"], ["h"]),
        N("Cast", ["h"], ["d"], to=T.DOUBLE),
        N("Exp", ["d"], ["e"]),
        N("Cast", ["e"], ["f"], to=T.FLOAT),
        N("Gemm", ["f", "w"], ["y"]),
    ]
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], [constant("w", 0.5 * r.w(8, 8))]), {"x": r.f(8, 8)}


# --- other domains, recurrences, ends without fixed shapes ----------------------------------------------------


def fast_gelu(r):
    nodes = [
        N("Conv", ["x", "w"], ["c"]),
        N("FastGelu", ["c"], ["g"], domain="com.microsoft"),
        N("Conv", ["g", "w2"], ["y"]),
    ]
    constants = [constant("w", 0.1 * r.f(16, 8, 3, 3)), constant("w2", r.f(8, 16, 1, 1))]
    made = model(
        nodes, [value("x", [1, 8, 10, 10])], [value("y", [1, 8, 8, 8])], constants, domains=[("com.microsoft", 1)]
    )
    return made, {"x": r.f(4, 8, 10, 10)}


def scaler(r):
    """scikit-learn's, for which neither ONNX nor ONNX Runtime infers a shape."""
    settings = {"offset": [0.1, 0.2, 0.3, 0.4], "scale": [0.9, 0.8, 1.1, 1.2]}
    nodes = [
        N("Scaler", ["x"], ["s"], domain="ai.onnx.ml", **settings),
        N("MatMul", ["s", "w"], ["c"]),
        N("Relu", ["c"], ["y"]),
    ]
    made = model(
        nodes, [value("x", [1, 4])], [value("y", [1, 8])], [constant("w", r.w(4, 8))], domains=[("ai.onnx.ml", 1)]
    )
    return made, {"x": r.f(8, 4)}


def dynamic_quantize_lstm(r):
    integers = r.rng.integers(-127, 128, (2, 6, 32)).astype(np.int8)
    nodes = [
        N("MatMul", ["x", "w"], ["xw"]),
        N(
            "DynamicQuantizeLSTM",
            ["xw", "W", "R", "", "", "", "", "", "sw", "zw", "sr", "zr"],
            ["Y"],
            domain="com.microsoft",
            hidden_size=8,
        ),
        N("Reshape", ["Y", "shape"], ["f"]),
        N("MatMul", ["f", "wo"], ["y"]),
    ]
    named = {
        "w": r.w(6, 6),
        "W": integers[:1],
        "R": r.rng.integers(-127, 128, (1, 8, 32)).astype(np.int8),
        "sw": np.full(1, 0.004, np.float32),
        "zw": np.zeros(1, np.int8),
        "sr": np.full(1, 0.004, np.float32),
        "zr": np.zeros(1, np.int8),
        "shape": np.array([5, 8]),
        "wo": r.w(8, 4),
    }
    made = model(
        nodes,
        [value("x", [5, 1, 6])],
        [value("y", [5, 4])],
        [constant(k, v) for k, v in named.items()],
        domains=[("com.microsoft", 1)],
    )
    return made, {"x": r.f(6, 5, 1, 6)}


def lstm(r):
    nodes = [
        N("MatMul", ["x", "w"], ["xw"]),
        N("LSTM", ["xw", "W", "R", "B"], ["", "h"], hidden_size=8),
        N("Squeeze", ["h", "axes"], ["hs"]),
        N("Gemm", ["hs", "wo"], ["y"]),
    ]
    named = {"w": r.w(6, 6), "W": 0.4 * r.f(1, 32, 6), "R": 0.3 * r.f(1, 32, 8), "B": 0.1 * r.f(1, 64)}
    named |= {"axes": np.array([0]), "wo": r.w(8, 4)}
    made = model(nodes, [value("x", [5, 1, 6])], [value("y", [1, 4])], [constant(k, v) for k, v in named.items()])
    return made, {"x": r.f(6, 5, 1, 6)}


def detector(r):
    """Boxes and scores by Conv, NonMaxSuppression, the boxes it chose, and the scores as a second output."""
    nodes = [
        N("Conv", ["x", "wb"], ["b0"]),
        N("Reshape", ["b0", "s4"], ["b1"]),
        N("Transpose", ["b1"], ["bx"], perm=[0, 2, 1]),
        N("Conv", ["x", "wc"], ["c0"]),
        N("Reshape", ["c0", "s2"], ["sc"]),
        N("NonMaxSuppression", ["bx", "sc", "most", "iou", "least"], ["chosen"]),
        N("Gather", ["chosen", "two"], ["index"], axis=1),
        N("Gather", ["bx", "index"], ["boxes"], axis=1),
        N("ReduceMax", ["sc"], ["best"], axes=[2], keepdims=0),
    ]
    named = {
        "wb": r.w(4, 16, 1, 1),
        "wc": r.w(2, 16, 1, 1),
        "s4": np.array([1, 4, 64]),
        "s2": np.array([1, 2, 64]),
        "most": np.array([10]),
        "iou": np.array([0.5], np.float32),
        "least": np.array([0.5], np.float32),
        "two": np.array(2),
    }
    outputs = [value("chosen", ["n", 3], T.INT64), value("boxes", [1, "n", 4]), value("best", [1, 2])]
    made = model(nodes, [value("x", [1, 16, 8, 8])], outputs, [constant(k, v) for k, v in named.items()])
    return made, {"x": r.f(4, 16, 8, 8)}


def non_zero_tail(r):
    nodes = [N("Gemm", ["x", "w"], ["g"]), N("Relu", ["g"], ["h"]), N("NonZero", ["h"], ["y"])]
    made = model(
        nodes, [value("x", [1, 8])], [value("y", [2, "n"], T.INT64), value("h", [1, 8])], [constant("w", r.w(8, 8))]
    )
    return made, {"x": r.f(4, 8)}


MODELS = [
    learned_queries,
    if_with_captures,
    if_with_an_empty_branch,
    loop_with_captures,
    scan_with_captures,
    mask_through_int64,
    truth_values,
    bool_input,
    double_in_the_middle,
    scaler,
    dynamic_quantize_lstm,
    detector,
    non_zero_tail,
]
WHOLE = [lstm, time_step, split_of_a_constant, fast_gelu, token_ids, transformer]  # no host partition is needed
