"""Hidden values that are wider than a tensor: the same function in parts, and a program of it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from on_device import check
from rewritten import run
from small_graphs import model

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError
from vlac.lowering.unary import largest_width
from vlac.rewrite.split_wide import split_wide

MOST, BLOCK, C, WIDE = 24, 8, 12, 50  # three parts of 24, 24 and 2 channels
RNG = np.random.default_rng(0)
X = f"float[1,4,{C}] x"


def weights(*shape):
    return (RNG.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


CONSTANTS = {
    "gate": weights(C, WIDE),
    "up": weights(C, WIDE),
    "down": weights(WIDE, C),
    "other": weights(WIDE, 5),
    "upt": weights(WIDE, C),
    "downt": weights(C, WIDE),
    "b": weights(WIDE),
    "c": weights(C),
    "row": weights(1, 1, WIDE),
    "half": np.float32(0.5),
    "matrix": np.array([4, -1]),
    "flat": np.array([1, -1]),
    "all": weights(4 * WIDE, 5),
    "tokens": np.array([1, 4, WIDE]),
}
GATED = "a = MatMul(x, gate) u = MatMul(x, up) h = Gelu(a) m = Mul(h, u) d = MatMul(m, down) y = Add(x, d)"
SPLIT = {
    "gated": (GATED, X, "y", 2),
    "a layer of its own": ("a = MatMul(x, up) y = MatMul(a, down)", X, "y", 2),
    "bias": ("a = Gemm(x, up, b) h = Relu(a) y = Gemm(h, down, c)", f"float[4,{C}] x", "y", 2),
    "turned": (
        "a = Gemm<transB = 1>(x, upt, b) h = Relu(a) y = Gemm<transB = 1>(h, downt, c)",
        f"float[4,{C}] x",
        "y",
        2,
    ),
    "rows as a matrix": (
        "r = Reshape(x, matrix) a = Gemm(r, up, b) s = Reshape(a, tokens) h = Relu(s) q = Reshape(h, matrix) "
        "y = Gemm(q, down, c)",
        X,
        "y",
        2,
    ),
    "a row": ("a = MatMul(x, up) s = Add(a, row) t = Mul(half, s) u = Sub(row, t) y = MatMul(u, down)", X, "y", 2),
    "two readers": (
        "a = MatMul(x, up) h = Sigmoid(a) m = Mul(a, h) y = MatMul(m, down) z = MatMul(h, other)",
        X,
        "y, z",
        4,
    ),
}
LEFT = {
    "an output": ("a = MatMul(x, up) h = Relu(a) y = MatMul(h, down)", X, "y, h"),
    "tokens that become channels": (
        "r = Reshape(x, matrix) a = Gemm(r, up, b) s = Reshape(a, flat) y = MatMul(s, all)",
        X,
        "y",
    ),
    "another reader": ("a = MatMul(x, up) h = Relu(a) y = MatMul(h, down) z = ReduceMax(h)", X, "y, z"),
    "a softmax": ("a = MatMul(x, up) h = Softmax(a) y = MatMul(h, down)", X, "y"),
    "an input": ("a = MatMul(x, up) s = Add(a, w) y = MatMul(s, down)", f"{X}, float[1,4,{WIDE}] w", "y"),
    "a number of each token": ("a = MatMul(x, up) s = Mul(a, t) y = MatMul(s, down)", f"{X}, float[1,4,1] t", "y"),
    "a layer behind the end": (
        "a = MatMul(x, up) d = MatMul(a, down) u = MatMul(d, gate) m = Mul(a, u) y = MatMul(m, down)",
        X,
        "y",
    ),
    "no layer": ("h = Relu(x) y = MatMul(h, down)", f"float[1,4,{WIDE}] x", "y"),
    "one row": ("a = MatMul(x, up) h = Relu(a) y = MatMul(h, down)", f"float[1,1,{C}] x", "y"),
    "narrow": ("a = MatMul(x, other) y = Relu(a)", f"float[1,4,{WIDE}] x", "y"),
}


def graph(body, inputs, outputs):
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return model(body, inputs, outputs, opset=20, constants={k: v for k, v in CONSTANTS.items() if k in words})


def widths(proto):
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    made = {name for node in inferred.graph.node for name in node.output}
    return [v.type.tensor_type.shape.dim[-1].dim_value for v in inferred.graph.value_info if v.name in made]


@pytest.mark.parametrize("name", SPLIT)
def test_it_computes_the_same_in_parts(name):
    body, inputs, outputs, sums = SPLIT[name]
    found = graph(body, inputs, outputs)
    before = ir.to_proto(found)
    split_wide(found, MOST, BLOCK)
    after = ir.to_proto(found)
    onnx.checker.check_model(after, full_check=True)
    assert max(widths(after)) == MOST and max(widths(before)) == WIDE
    added = sum(n.op_type == "Add" for n in after.graph.node)
    per_part = sum(n.op_type == "Add" for n in before.graph.node if n.output[0] == "s")
    assert added == sums + 3 * per_part + sum(n.output[0] == "y" for n in before.graph.node if n.op_type == "Add")
    sample = {
        v.name: RNG.standard_normal([d.dim_value for d in v.type.tensor_type.shape.dim]).astype(np.float32)
        for v in before.graph.input
    }
    for wanted, given in zip(run(before, sample), run(after, sample), strict=True):
        assert np.allclose(wanted, given, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("name", LEFT)
def test_what_stays_as_it_is(name):
    found = graph(*LEFT[name])
    before = ir.to_proto(found)
    split_wide(found, MOST, BLOCK)
    assert ir.to_proto(found) == before


def test_on_the_device():
    """Channels of `tiny`'s tensors, and a few more."""
    width = largest_width(load("tiny")) + 20
    body = f"n = RMSNormalization<axis = -1>(x, g) {GATED.replace('MatMul(x', 'MatMul(n')}"
    constants = {
        "g": np.ones(C, np.float32),
        "gate": weights(C, width),
        "up": weights(C, width),
        "down": weights(width, C),
    }
    proto = ir.to_proto(model(body, X, "y", opset=23, constants=constants))
    check(proto, "tiny", least=22, samples=8)
    wide = ir.to_proto(model("a = MatMul(x, up) y = Mul(a, a)", X, "y", constants={"up": constants["up"]}))
    with pytest.raises(UnsupportedError, match=rf"1023 blocks of 8 channels.*Found shape \[1, 4, {width}\]"):
        compile_file(wide, load("tiny"), CompileOptions(calibration=[{"x": np.ones((1, 4, C), np.float32)}]))
