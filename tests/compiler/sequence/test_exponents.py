"""Exponents of a softmax in three forms: which one is chosen, and what each leaves of float."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from blocks import Block, Sequence
from on_device import check, drawn
from parity import check_rtl
from test_bands import LARGE, TINY, bands

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.nodes import check_nodes
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError
from vlac.model.exponent_form import ExponentForm, exponent_form, set_exponent_form
from vlac.quantize.exponents import AttentionOperands, choose_exponents, exponent_noise
from vlac.quantize.rounds import all_rounds

RNG = np.random.default_rng(0)


def attention(keys=300, *, scale=None, d=40, heads=2, queries=None, mask=None, causal=False):
    """Queries, keys and values are inputs."""
    g = Sequence("attention")
    parts = [g.input(n, (1, s, d)) for n, s in (("q", queries or keys), ("k", keys), ("v", keys))]
    parts += [] if mask is None else [g.constant(np.asarray(mask))]
    more = {} if scale is None else {"scale": scale}
    counts = {"q_num_heads": heads, "kv_num_heads": heads}
    return g.finished(g.node("Attention", parts, d, is_causal=int(causal), **counts, **more))


def chosen(state):
    return [exponent_form(n, 0) for n in state.model.graph if n.op_type == "Attention"]


@pytest.mark.parametrize("deviation", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("keys", [70, 300])
def test_random_scores_are_near_float(keys, deviation):
    """What ONNX Runtime makes of the same integers, 30 dB at least, which rounded exponents miss at 300 keys."""
    model, rng = attention(keys, scale=deviation / 20**0.5), np.random.default_rng(1)
    options = CompileOptions(calibration=[drawn(model, rng) for _ in range(4)], check=True, debug_outputs=True)
    state, inputs = compile_file(model, load("u50"), options), drawn(model, rng)
    (node,) = [
        c
        for c in check_nodes(state, inputs, vlarun.Session(state.program, backend="sim").device_outputs(inputs))
        if c.signal
    ]
    assert node.ok, 10 * np.log10(node.signal / node.noise)
    assert keys < 300 or deviation < 2 or chosen(state) != [ExponentForm.ROUNDED]


@pytest.mark.parametrize("form", ExponentForm)
@pytest.mark.parametrize("masked", ["no", "row", "causal", "a row without keys"])
def test_every_stage(form, masked, monkeypatch):
    monkeypatch.setattr("vlac.quantize.static.choose_exponents", lambda model, _: force(model, form))
    keys = 37
    masks = {"row": np.tile(np.arange(keys) % 3 != 1, (keys, 1)), "a row without keys": np.ones((keys, keys), bool)}
    masks["a row without keys"][5] = False
    found = check(attention(keys, mask=masks.get(masked), causal=masked == "causal"), "tiny", least=25.0)
    wide = {"less", "high", "sum"} if form is ExponentForm.WIDE else set()
    assert {s.kind for s in found.stages} == {"logits", "exponents", "mix"} | wide
    assert not any(s.different for s in found.stages if s.kind == "high")
    if masked == "a row without keys":
        (y,) = found.outputs.values()
        assert not y[0, 5].any()
        assert y[0, 4].any()


def force(model, form):
    for node in model.graph:
        if node.op_type == "Attention":
            set_exponent_form(node, form)


def test_bands_of_wide_exponents_are_the_same_bytes(monkeypatch):
    monkeypatch.setattr("vlac.quantize.static.choose_exponents", lambda model, _: force(model, ExponentForm.WIDE))
    model, rng = Block(length=75, channels=40, causal=True).model(), np.random.default_rng(3)
    options, inputs = CompileOptions(calibration=drawn(model, rng), check=True), drawn(model, rng)
    states = [compile_file(model, hw, options) for hw in (LARGE, replace(TINY, act_words=2048))]
    assert [bands(s) > 0 for s in states] == [False, True]
    whole, cut = (vlarun.Session(s.program, backend="sim").run(inputs) for s in states)
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_noise_of_exponents():
    """Beside exponents that are rounded one by one, in real numbers."""
    x, v = RNG.standard_normal((5, 90)) * 2, RNG.standard_normal((90, 3))
    x[:, 3] = -np.inf
    x[2] = -np.inf  # no key: such a row counts nowhere
    signal, rounded, dithered = exponent_noise(x, v)
    rows = x[[0, 1, 3, 4]]
    exact = np.exp(rows - rows.max(axis=1, keepdims=True))
    eight = np.rint(127 * exact)
    parts = [(e / e.sum(axis=1, keepdims=True)) @ v for e in (exact, eight)]
    assert signal == pytest.approx(np.square(parts[0]).sum(), rel=1e-2)
    assert rounded == pytest.approx(np.square(parts[1] - parts[0]).sum(), rel=0.5)
    assert 0 < dithered < signal


def choices(model):
    """What is chosen of float values whose scores are drawn."""
    loaded = ir.from_proto(model)
    rng = np.random.default_rng(3)
    watched = AttentionOperands(loaded)
    all_rounds(loaded, [drawn(model, rng) for _ in range(2)], [watched])
    choose_exponents(loaded, watched)
    return [exponent_form(n, 0) for n in loaded.graph if n.op_type == "Attention"]


def test_few_keys_and_flat_scores_stay_rounded():
    assert choices(attention(48, scale=2.0)) == [ExponentForm.ROUNDED]
    assert choices(attention(300, scale=0.01)) == [ExponentForm.ROUNDED]
    assert choices(attention(300, scale=0.5)) == [ExponentForm.WIDE]


def test_what_a_mask_hides_counts_nowhere():
    """300 keys of which 20 are seen are few."""
    mask = np.tile(np.arange(300) < 20, (300, 1))
    assert choices(attention(scale=0.4, mask=mask)) == [ExponentForm.ROUNDED]


@pytest.mark.parametrize("form", ExponentForm)
def test_a_result_that_calibration_has_seen_as_0_only_is_refused(form, monkeypatch):
    monkeypatch.setattr("vlac.quantize.static.choose_exponents", lambda model, _: force(model, form))
    model = attention(37, mask=np.zeros((37, 37), bool))
    with pytest.raises(UnsupportedError, match=r"^Attention 'attention0.*': scale .* are all keys masked"):
        compile_file(model, load("tiny"), CompileOptions(calibration=drawn(model, np.random.default_rng(0))))


def test_a_quantized_model_goes_by_its_keys():
    node = ir.node("Attention", [])
    assert exponent_form(node, 255) is ExponentForm.ROUNDED
    assert exponent_form(node, 256) is ExponentForm.DITHERED


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize("form", [ExponentForm.DITHERED, ExponentForm.WIDE])
def test_same_bytes_on_verilog(form, monkeypatch):
    monkeypatch.setattr("vlac.quantize.static.choose_exponents", lambda model, _: force(model, form))
    model, rng = attention(37, queries=11), np.random.default_rng(3)
    options = CompileOptions(calibration=[drawn(model, rng) for _ in range(4)], check=True)
    check_rtl(compile_file(model, load("tiny"), options), drawn(model, rng))
