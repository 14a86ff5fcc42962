"""Packed projections whose parts have very unequal sizes: a product for each, exact in float, near it in integers."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.import_onnx import load_model, parse_model
from vlac.rewrite import rewrite_float

LENGTH, D, HEADS = 24, 32, 2
UNEQUAL = (30, 0.03, 0.01)
BOUNDS = [(0, D), (D, 2 * D), (2 * D, 3 * D)]


def packed(g, factors, *, bias=True):
    """x [1, LENGTH, D] times [D, 3 D] whose thirds are of these sizes."""
    x = g.input("x", (1, LENGTH, D))
    weight = np.concatenate([g.weight(D, D).T * np.float32(f) for f in factors], axis=1)
    y = g.node("MatMul", [x, g.constant(weight)], 3 * D)
    row = np.concatenate([0.1 * g.normal(D) * np.float32(f) for f in factors])
    return g.node("Add", [y, g.constant(row)], 3 * D) if bias else y


def split(g, y, axis, sizes, names="qkv"):
    g.nodes.append(
        onnx.helper.make_node("Split", [y, g.constant(np.array(sizes))], [f"{n}{y}" for n in names], axis=axis)
    )
    return [f"{n}{y}" for n in names]


def sliced(g, y, first, last):
    return g.node("Slice", [y, *(g.constant(np.array([n])) for n in (first, last, 2))], last - first)


def attended(g, parts):
    return g.finished(g.node("Attention", parts, D, q_num_heads=HEADS, kv_num_heads=HEADS))


def by_split(factors, **how):
    g = Sequence("split")
    return attended(g, split(g, packed(g, factors, **how), 2, [D] * 3))


def by_slices(factors):
    g = Sequence("slices")
    y = packed(g, factors)
    return attended(g, [sliced(g, y, *ends) for ends in BOUNDS])


def by_heads(factors):
    """[1, L, 3, heads, d], then turned, as timm has it."""
    g = Sequence("heads")
    y = g.node("Reshape", [packed(g, factors), g.constant(np.array([1, LENGTH, 3, HEADS, D // HEADS]))], D // HEADS)
    y = g.node("Transpose", [y], D // HEADS, perm=[2, 0, 3, 1, 4])
    q, k, v = (g.node("Gather", [y, g.constant(np.array(i))], D // HEADS, axis=0) for i in range(3))
    return g.finished(g.joined(g.node("Attention", [q, k, v], D // HEADS), LENGTH, D))


def gated(factors):
    """No attention: parts that are multiplied, of a Reshape to [parts, channels]."""
    g = Sequence("gated")
    y = g.node("Reshape", [packed(g, factors, bias=False), g.constant(np.array([1, LENGTH, 3, D]))], D)
    a, b, c = (g.node("Squeeze", [part, g.constant(np.array([2]))], D) for part in split(g, y, 2, [1] * 3))
    return g.finished(g.node("Mul", [g.node("Mul", [a, b], D), c], D))


WAYS = {"split": by_split, "slices": by_slices, "heads": by_heads, "gated": gated}


def samples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((1, LENGTH, D), np.float32)} for _ in range(count)]


def decibels(model):
    state = compile_file(model, load("tiny"), CompileOptions(calibration=samples(12), check=True))
    (inputs,) = samples(1, seed=9)
    (found,), (wanted,) = vlarun.Session(state.program).run(inputs).values(), Reference(model).run(inputs).values()
    return float(snr(wanted, found))


def rewritten(model):
    found, _ = parse_model(load_model(model), "model")
    return rewrite_float(found)


def products(model):
    return sum(n.op_type in ("Gemm", "MatMul") for n in rewritten(model).graph)


@pytest.mark.parametrize("way", WAYS)
def test_the_parts_are_as_near_to_float_as_parts_of_one_size(way):
    """Measured 28.0 dB of equal parts and 29.0 dB of these, where one scale for all has 0.0 dB; gated 22.7 and 22.8."""
    least = decibels(WAYS[way]((1, 1, 1))) - 1
    assert least > 20
    for factors in (UNEQUAL, (1, 1, 0.01)):
        assert decibels(WAYS[way](factors)) > least, factors


@pytest.mark.parametrize("way", WAYS)
def test_like_parts_stay_one_product(way):
    assert products(WAYS[way]((1, 1, 1))) == products(WAYS[way]((1, 2, 1))) == 1
    assert products(WAYS[way](UNEQUAL)) == 3


def gemm(factors, **attributes):
    """Of two axes, its result's parts of unequal lengths, one of them an output of the model."""
    g = Sequence("gemm")
    x = g.input("x", (LENGTH, D))
    weight = np.concatenate([g.weight(D, D).T * np.float32(f) for f in factors], axis=1)
    weight = weight.T.copy() if attributes.get("transB") else weight
    y = g.node("Gemm", [x, g.constant(weight), g.constant(0.1 * g.normal(3 * D))], 3 * D, **attributes)
    a, b, c = split(g, y, -1, [D - 2, D, D + 2], "abc")
    return g.finished(a, g.node("Relu", [b], D), g.node("Relu", [c], D + 2))


def twice(factors):
    """Parts that are read twice; columns that nobody reads."""
    g = Sequence("twice")
    y = packed(g, factors)
    return attended(g, [sliced(g, y, 0, D), sliced(g, y, 2 * D, 3 * D), sliced(g, y, 2 * D, 3 * D)])


@pytest.mark.parametrize(
    "model",
    [
        *(way(UNEQUAL) for way in WAYS.values()),
        by_split(UNEQUAL, bias=False),
        gemm((1, 1, 50)),
        gemm((1, 1, 50), transB=1, alpha=2.0, beta=3.0),
        twice(UNEQUAL),
    ],
    ids=[*WAYS, "no bias", "gemm", "turned", "twice"],
)
def test_the_float_model_computes_the_same(model):
    found, (inputs,) = rewritten(model), samples(1)
    inputs = inputs if model.graph.name != "gemm" else {"x": inputs["x"][0]}
    assert sum(n.op_type in ("Gemm", "MatMul") for n in found.graph) > 1
    assert not any(n.op_type in ("Split", "Slice") for n in found.graph)
    made = Reference(ir.to_proto(found)).run(inputs)
    for name, wanted in Reference(model).run(inputs).items():
        np.testing.assert_allclose(made[name], wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def overlapping():
    g = Sequence("overlapping")
    y = packed(g, UNEQUAL)
    return attended(g, [sliced(g, y, 0, D), sliced(g, y, D - 1, 2 * D - 1), sliced(g, y, 2 * D, 3 * D)])


def read_whole():
    g = Sequence("whole")
    y = packed(g, UNEQUAL)
    a, b, c = split(g, y, 2, [D] * 3)
    return g.finished(g.node("Add", [g.node("Mul", [a, b], D), c], D), g.node("Relu", [y], 3 * D))


@pytest.mark.parametrize("model", [overlapping(), read_whole()], ids=["overlapping", "read whole"])
def test_what_is_not_read_in_parts_alone_stays(model):
    assert products(model) == 1
