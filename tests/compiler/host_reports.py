"""Situations from public reports about partitioners and fallback of other ONNX compilers, rebuilt small.

Each function names the report it is after; each gives a float model and inputs for it.
"""

import numpy as np
from host_nodes import N, constant, model, value
from onnx import TensorProto as T
from onnx import helper


def constants(**arrays):
    return [constant(name, array) for name, array in arrays.items()]


def body(nodes, inputs, outputs, name="b"):
    return helper.make_graph(nodes, name, inputs, outputs)


def nested_if(r):
    """onnxruntime 32131, tpu-mlir 270: a body in a body reads an initializer that nothing else reads."""
    inner_then = body([N("Mul", ["g", "only"], ["it"])], [], [value("it", [1, 8])], "it")
    inner_else = body([N("Sub", ["g", "only"], ["ie"])], [], [value("ie", [1, 8])], "ie")
    then = body([N("If", ["c2"], ["t"], then_branch=inner_then, else_branch=inner_else)], [], [value("t", [1, 8])], "t")
    other = body([N("Abs", ["g"], ["e"])], [], [value("e", [1, 8])], "e")
    nodes = [
        N("Gemm", ["x", "w"], ["g"]),
        N("ReduceMax", ["x"], ["m"], keepdims=0),
        N("ReduceSum", ["x"], ["s"], keepdims=0),
        N("Greater", ["m", "one"], ["c"]),
        N("Greater", ["s", "zero"], ["c2"]),
        N("If", ["c"], ["i"], then_branch=then, else_branch=other),
        N("Gemm", ["i", "w"], ["y"]),
    ]
    named = constants(w=r.w(8, 8), only=r.f(8), one=np.float32(1.2), zero=np.float32(0))
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], named), {"x": r.f(12, 8)}


def shadowed_name(r):
    """onnxruntime 1186: an input of a body has the name of a value outside."""
    inside = body(
        [N("Mul", ["g2", "half"], ["b"]), N("Identity", ["ci"], ["co"])],
        [value("i", [], T.INT64), value("ci", [], T.BOOL), value("g2", [1, 8])],
        [value("co", [], T.BOOL), value("b", [1, 8])],
    )
    nodes = [
        N("Gemm", ["x", "w"], ["g2x"]),
        N("Loop", ["n", "", "g2x"], ["l"], body=inside),
        N("Gemm", ["l", "w"], ["y"]),
    ]
    named = constants(w=r.w(8, 8), half=np.float32(0.5), n=np.int64(2))
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], named), {"x": r.f(6, 8)}


def trip_count_from_an_input(r):
    """onnxruntime 31978: the number of rounds of a Loop is a model input."""
    inside = body(
        [N("Tanh", ["a"], ["b"]), N("Identity", ["ci"], ["co"])],
        [value("i", [], T.INT64), value("ci", [], T.BOOL), value("a", [1, 8])],
        [value("co", [], T.BOOL), value("b", [1, 8])],
    )
    nodes = [N("Gemm", ["x", "w"], ["g"]), N("Loop", ["n", "", "g"], ["l"], body=inside), N("Gemm", ["l", "w"], ["y"])]
    inputs = [value("x", [1, 8]), value("n", [], T.INT64)]
    made = model(nodes, inputs, [value("y", [1, 8])], constants(w=r.w(8, 8)))
    return made, {"x": r.f(6, 8), "n": r.rng.integers(1, 4, 6)}


def shape_arithmetic(r):
    """onnxruntime 13590: Shape, Gather, ReduceProd, Concat, Reshape around a host node."""
    nodes = [
        N("Conv", ["x", "w"], ["c"]),
        N("LpNormalization", ["c"], ["n"], axis=1),
        N("Shape", ["n"], ["s"]),
        N("Slice", ["s", "i1", "i4"], ["rest"]),
        N("ReduceProd", ["rest"], ["p"], keepdims=1),
        N("Gather", ["s", "i0"], ["b"]),
        N("Concat", ["b", "p"], ["to"], axis=0),
        N("Reshape", ["n", "to"], ["f"]),
        N("Gemm", ["f", "w2"], ["y"]),
    ]
    named = constants(
        w=0.2 * r.f(8, 4, 3, 3),
        i0=np.array([0]),
        i1=np.array([1]),
        i4=np.array([4]),
        w2=r.w(128, 5),
    )
    return model(nodes, [value("x", [1, 4, 6, 6])], [value("y", [1, 5])], named), {"x": r.f(6, 4, 6, 6)}


def shared_encoder(r):
    """executorch 18191 and 18397: two cross-attentions read one encoder output; keys and values leave and come back."""
    nodes = [N("MatMul", ["x", "we"], ["e0"]), N("Relu", ["e0"], ["e"])]
    last = "q0"
    for i in "ab":
        nodes += [
            N("MatMul", [last, f"wq{i}"], [f"q{i}"]),
            N("MatMul", ["e", f"wk{i}"], [f"k{i}"]),
            N("MatMul", ["e", f"wv{i}"], [f"v{i}"]),
            N("Transpose", [f"k{i}"], [f"t{i}"], perm=[0, 2, 1]),
            N("MatMul", [f"q{i}", f"t{i}"], [f"s{i}"]),
            N("Softmax", [f"s{i}"], [f"p{i}"]),
            N("MatMul", [f"p{i}", f"v{i}"], [f"o{i}"]),
            N("Add", [f"o{i}", last], [f"h{i}"]),
            N("LpNormalization", [f"h{i}"], [f"n{i}"], p=1),
        ]
        last = f"n{i}"
    nodes.append(N("MatMul", [last, "wy"], ["y"]))
    weights = {f"w{k}{i}": r.w(8, 8) * np.float32(0.93 + 0.01 * n) for n, k in enumerate("qkv") for i in "ab"}
    named = constants(we=r.w(8, 8), wy=r.w(8, 4), **weights)
    inputs = [value("x", [1, 6, 8]), value("q0", [1, 3, 8])]
    outputs = [value("y", [1, 3, 4]), *(value(f"p{i}", [1, 3, 6]) for i in "ab")]
    return model(nodes, inputs, outputs, named), {"x": r.f(8, 6, 8), "q0": r.f(8, 3, 8)}


def shared_constant(r):
    """openvino 36024: one matrix is a weight on the device and an operand on the host."""
    nodes = [
        N("MatMul", ["x", "w"], ["a"]),
        N("CumSum", ["a", "axis"], ["b"]),
        N("MatMul", ["b", "w"], ["c"]),
        N("Einsum", ["c", "w"], ["d"], equation="ij,jk->ik"),
        N("MatMul", ["d", "w"], ["y"]),
    ]
    named = constants(w=0.6 * r.w(8, 8), axis=np.int64(1))
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], named), {"x": r.f(8, 8)}


def scatter(r):
    """TensorRT 1006: keypoints[..., ::2] += x, exported as ScatterND."""
    nodes = [
        N("MatMul", ["x", "w"], ["k"]),
        N("GatherND", ["k", "at"], ["old"]),
        N("Add", ["old", "old"], ["new"]),
        N("ScatterND", ["k", "at", "new"], ["s"]),
        N("MatMul", ["s", "w"], ["y"]),
    ]
    named = constants(w=r.w(8, 8), at=np.array([[0, i] for i in range(0, 8, 2)]))
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], named), {"x": r.f(8, 8)}


def top_k(r):
    """tvm 19965, mmdeploy 1302: TopK and what its indices choose."""
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("ReduceMax", ["h"], ["m"], axes=[2], keepdims=0),
        N("TopK", ["m", "k"], ["v", "i"], axis=1),
        N("Unsqueeze", ["i", "last"], ["iu"]),
        N("Expand", ["iu", "shape"], ["ie"]),
        N("GatherElements", ["x", "ie"], ["c"], axis=1),
        N("MatMul", ["c", "w"], ["y"]),
    ]
    named = constants(w=r.w(8, 8), k=np.array([3]), last=np.array([2]), shape=np.array([1, 3, 8]))
    made = model(nodes, [value("x", [1, 6, 8])], [value("y", [1, 3, 8])], named)
    x = r.f(6, 1, 8) * r.rng.permuted(np.tile(np.arange(1, 7), (6, 1)), axis=1)[:, :, None]  # no two rows near
    return made, {"x": x.astype(np.float32)}


def grid_sample(r):
    """mmcv 1428: GridSample between convolutions, its grid computed from the image."""
    nodes = [
        N("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        N("Conv", ["x", "wg"], ["g0"], pads=[1, 1, 1, 1]),
        N("Tanh", ["g0"], ["g1"]),
        N("Transpose", ["g1"], ["g"], perm=[0, 2, 3, 1]),
        N("GridSample", ["c", "g"], ["s"], align_corners=1),
        N("Conv", ["s", "w2"], ["y"]),
    ]
    named = constants(w=0.2 * r.f(8, 4, 3, 3), wg=0.02 * r.f(2, 4, 3, 3), w2=r.w(4, 8, 1, 1))
    return model(nodes, [value("x", [1, 4, 8, 8])], [value("y", [1, 4, 8, 8])], named), {"x": r.f(4, 4, 8, 8)}


def attention_operator(r):
    """onnxruntime-qnn 646: the Attention operator of opset 23."""
    nodes = [
        N("MatMul", ["x", "wq"], ["q"]),
        N("MatMul", ["x", "wk"], ["k"]),
        N("MatMul", ["x", "wv"], ["v"]),
        N("Attention", ["q", "k", "v"], ["a"], q_num_heads=2, kv_num_heads=2, is_causal=1),
        N("MatMul", ["a", "wo"], ["y"]),
    ]
    named = constants(wq=r.w(8, 8), wk=r.w(8, 8), wv=r.w(8, 8), wo=r.w(8, 8))
    return model(nodes, [value("x", [1, 6, 8])], [value("y", [1, 6, 8])], named, 23), {"x": r.f(6, 6, 8)}


def rotary_embedding(r):
    """Rotary position embedding from int64 positions: Gather of tables, halves turned and negated."""
    angles = np.outer(np.arange(16), np.exp(-np.arange(4))).astype(np.float32)
    nodes = [
        N("MatMul", ["x", "w"], ["q"]),
        N("Gather", ["cos", "positions"], ["c"]),
        N("Gather", ["sin", "positions"], ["s"]),
        N("Split", ["q"], ["a", "b"], axis=2),
        N("Neg", ["b"], ["nb"]),
        N("Concat", ["nb", "a"], ["turned"], axis=2),
        N("Mul", ["q", "c"], ["qc"]),
        N("Mul", ["turned", "s"], ["ts"]),
        N("Add", ["qc", "ts"], ["r"]),
        N("MatMul", ["r", "w"], ["y"]),
    ]
    tables = {k: np.concatenate([f(angles)] * 2, 1).astype(np.float32) for k, f in (("cos", np.cos), ("sin", np.sin))}
    inputs = [value("x", [1, 6, 8]), value("positions", [1, 6], T.INT64)]
    made = model(nodes, inputs, [value("y", [1, 6, 8])], constants(w=r.w(8, 8), **tables))
    return made, {"x": r.f(8, 6, 8), "positions": r.rng.integers(0, 16, (8, 6))}


def dynamic_quantization(r):
    """onnxruntime's quantize_dynamic beside a float layer: MatMulInteger on computed integers."""
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("DynamicQuantizeLinear", ["h"], ["hq", "hs", "hz"]),
        N("MatMulInteger", ["hq", "wq", "hz", "wz"], ["acc"]),
        N("Cast", ["acc"], ["accf"], to=T.FLOAT),
        N("Mul", ["hs", "ws"], ["scale"]),
        N("Mul", ["accf", "scale"], ["m"]),
        N("MatMul", ["m", "w"], ["y"]),
    ]
    integers = r.rng.integers(-127, 128, (8, 8)).astype(np.int8)
    named = constants(w=r.w(8, 8), wq=integers, wz=np.int8(0), ws=np.float32(0.01))
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], named), {"x": r.f(8, 8)}


def recurrent_policy(r):
    """silero, recurrent policies: the state of an LSTM is an input and an output."""
    nodes = [
        N("Gemm", ["x", "w"], ["f"]),
        N("Relu", ["f"], ["fr"]),
        N("Unsqueeze", ["fr", "axes"], ["fs"]),
        N("LSTM", ["fs", "W", "R", "", "", "h", "c"], ["", "hn", "cn"], hidden_size=8),
        N("Squeeze", ["hn", "axes"], ["hs"]),
        N("Gemm", ["hs", "wo"], ["y"]),
    ]
    named = constants(w=r.w(6, 8), W=0.4 * r.f(1, 32, 8), R=0.3 * r.f(1, 32, 8), axes=np.array([0]), wo=r.w(8, 4))
    inputs = [value("x", [1, 6]), value("h", [1, 1, 8]), value("c", [1, 1, 8])]
    outputs = [value("y", [1, 4]), value("hn", [1, 1, 8]), value("cn", [1, 1, 8])]
    return model(nodes, inputs, outputs, named), {"x": r.f(8, 6), "h": r.f(8, 1, 1, 8), "c": r.f(8, 1, 1, 8)}


def sequences(r):
    """A sequence inside a host partition, and a position in it that is a model input."""
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("SequenceConstruct", ["h", "x"], ["seq"]),
        N("SequenceAt", ["seq", "at"], ["chosen"]),
        N("MatMul", ["chosen", "w"], ["y"]),
    ]
    inputs = [value("x", [1, 8]), value("at", [], T.INT64)]
    made = model(nodes, inputs, [value("y", [1, 8])], constants(w=r.w(8, 8)))
    return made, {"x": r.f(8, 8), "at": r.rng.integers(0, 2, 8)}


def half_precision_island(r):
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("Cast", ["h"], ["hh"], to=T.FLOAT16),
        N("LpNormalization", ["hh"], ["n"]),
        N("Cast", ["n"], ["nf"], to=T.FLOAT),
        N("MatMul", ["nf", "w"], ["y"]),
    ]
    named = constants(w=r.w(8, 8), g=np.ones(8, np.float16))
    return model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], named), {"x": r.f(8, 8)}


def chosen_action(r):
    """ArgMax in the middle: its index chooses an embedding for a second head."""
    nodes = [
        N("Gemm", ["x", "w"], ["logits"]),
        N("ArgMax", ["logits"], ["i"], axis=1, keepdims=0),
        N("Gather", ["e", "i"], ["h"]),
        N("Add", ["h", "x"], ["z"]),
        N("Gemm", ["z", "w"], ["y"]),
    ]
    outputs = [value("y", [1, 8]), value("i", [1], T.INT64)]
    x = np.eye(8, dtype=np.float32)[r.rng.integers(0, 8, 10)] * 3  # one row of the matrix wins clearly
    weights = 0.2 * r.w(8, 8) + np.eye(8, dtype=np.float32)
    return model(nodes, [value("x", [1, 8])], outputs, constants(w=weights, e=r.f(8, 8))), {"x": x}


def truth_as_output(r):
    """A truth value and a count are outputs beside a real one."""
    nodes = [
        N("Gemm", ["x", "w"], ["y"]),
        N("Greater", ["y", "zero"], ["positive"]),
        N("Cast", ["positive"], ["i"], to=T.INT64),
        N("ReduceSum", ["i"], ["count"], keepdims=0),
    ]
    outputs = [value("y", [1, 8]), value("count", [], T.INT64)]
    weights = np.eye(8, dtype=np.float32)
    x = np.sign(r.f(8, 8)) * (1 + np.abs(r.f(8, 8)))  # no value near 0
    return model(nodes, [value("x", [1, 8])], outputs, constants(w=weights, zero=np.float32(0))), {
        "x": x.astype(np.float32)
    }


def cubic_resize(r):
    nodes = [
        N("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        N("Resize", ["c", "", "scales"], ["u"], mode="cubic"),
        N("Conv", ["u", "w2"], ["y"]),
    ]
    named = constants(w=0.2 * r.f(8, 4, 3, 3), scales=np.array([1, 1, 1.5, 1.5], np.float32), w2=r.w(4, 8, 1, 1))
    return model(nodes, [value("x", [1, 4, 32, 32])], [value("y", [1, 4, 48, 48])], named), {"x": r.f(3, 4, 32, 32)}


def spectrum(r):
    """A window and a DFT in front of a network: speech models."""
    nodes = [
        N("HannWindow", ["n"], ["window"]),
        N("Mul", ["x", "window"], ["xw"]),
        N("Unsqueeze", ["xw", "last"], ["xu"]),
        N("DFT", ["xu"], ["s"], axis=1, onesided=1),
        N("ReduceSumSquare", ["s"], ["p"], axes=[2], keepdims=0),
        N("Sqrt", ["p"], ["m"]),
        N("Gemm", ["m", "w"], ["y"]),
    ]
    named = constants(n=np.int64(32), last=np.array([2]), w=r.w(17, 8))
    return model(nodes, [value("x", [1, 32])], [value("y", [1, 8])], named), {"x": r.f(8, 32)}


REPORTS = [
    nested_if,
    shadowed_name,
    trip_count_from_an_input,
    shape_arithmetic,
    shared_encoder,
    shared_constant,
    scatter,
    top_k,
    grid_sample,
    dynamic_quantization,
    sequences,
    half_precision_island,
    chosen_action,
    truth_as_output,
    cubic_resize,
    spectrum,
]

ON_THE_DEVICE = [attention_operator, recurrent_policy, rotary_embedding]
