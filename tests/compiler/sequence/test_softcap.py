"""Attention with capped logits, as Gemma 2 has it: caps by lines, masks behind them, each stage and beside float."""

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import check, drawn
from parity import check_rtl

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file

LENGTH, D = 13, 40
NEAR = np.abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH))) < 4
MASKS = {
    "none": None,
    "causal": None,
    "padding": np.tile(np.arange(LENGTH) < 9, (LENGTH, 1)),
    "row": np.tile(np.arange(LENGTH) % 3 != 1, (LENGTH, 1)),
    "window": NEAR,
    "a row without keys": NEAR & (np.arange(LENGTH) != 5)[:, None],
    "bias of heads": np.random.default_rng(0).standard_normal((1, 2, LENGTH, LENGTH)).astype(np.float32),
}


def capped(cap, mask=None, *, causal=False, heads=2, key_heads=2, scale=0.25, computed=False):
    """Broad logits, so that the cap bends them."""
    g = Sequence("capped")
    x = g.input("x", (1, LENGTH, D))
    parts = [g.linear(x, D, D), *(g.linear(x, D, D // heads * key_heads) for _ in range(2))]
    if computed:
        g.inputs.append(onnx.helper.make_tensor_value_info("m", onnx.TensorProto.FLOAT, (1, 1, LENGTH, LENGTH)))
        parts.append(g.node("Mul", ["m", g.constant(np.float32(0.5))], 1))
    elif mask is not None:
        parts.append(g.constant(np.asarray(mask)))
    counts = {"q_num_heads": heads, "kv_num_heads": key_heads}
    more = {"softcap": float(cap), "scale": float(scale), "is_causal": int(causal)}
    return g.finished(g.node("Attention", parts, D, **counts, **more))


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_behind_the_cap(name):
    found = check(capped(3.0, MASKS[name], causal=name == "causal"), "tiny", least=30.0, samples=64)
    assert {s.kind for s in found.stages} == {"logits", "capped", "exponents", "mix"}
    if name == "a row without keys":
        (y,) = found.outputs.values()
        assert not y[0, 5].any()
        assert y[0, 4].any()


@pytest.mark.parametrize("cap", [0.5, 1, 20, 50, 127])
def test_caps(cap):
    check(capped(cap, causal=True, key_heads=1), "u50", least=30.0, samples=64)


@pytest.mark.parametrize("causal", [False, True])
def test_a_computed_mask(causal):
    check(capped(3.0, computed=True, causal=causal), "tiny", least=30.0, samples=64)


def test_a_cap_that_is_spelled_out():
    """Div, Tanh, Mul between the product and the mask, as it is exported."""
    g = Sequence("spelled")
    q, k, v = (
        g.node("Transpose", [g.node("Reshape", [g.linear(g.input(n, (1, LENGTH, D)), D, D), heads])], perm=[0, 2, 1, 3])
        for n, heads in ((n, g.constant(np.array([1, LENGTH, 2, D // 2]))) for n in "qkv")
    )
    scores = g.node(
        "MatMul", [g.node("Mul", [q, g.constant(np.float32(0.25))]), g.node("Transpose", [k], perm=[0, 1, 3, 2])]
    )
    capped = g.node("Tanh", [g.node("Div", [scores, g.constant(np.float32(5))])])
    masked = g.node(
        "Add",
        [g.node("Mul", [capped, g.constant(np.float32(5))]), g.constant(np.where(NEAR, 0, -1e9).astype(np.float32))],
    )
    y = g.node("MatMul", [g.node("Softmax", [masked], axis=-1), v])
    joined = g.node("Reshape", [g.node("Transpose", [y], perm=[0, 2, 1, 3]), g.constant(np.array([1, LENGTH, D]))])
    found = check(g.finished(g.linear(joined, D, 20)), "tiny", least=27.0, samples=64)  # as much as without a cap
    assert "capped" in {s.kind for s in found.stages}


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes_on_verilog():
    model, rng = capped(3.0, MASKS["window"]), np.random.default_rng(3)
    options = CompileOptions(calibration=[drawn(model, rng) for _ in range(4)], check=True)
    check_rtl(compile_file(model, load("tiny"), options), drawn(model, rng))
