"""Compiled transformers leave the same bytes on the Verilog machine as on `sim`, in every memory."""

from dataclasses import replace

import numpy as np
import pytest
from block_shapes import ExpertShape
from blocks import Block
from mixtures import token_mixture
from on_device import drawn
from parity import check_rtl
from test_bands import keys_of_inputs, stacked
from test_condition import compiled as rdt_program
from test_condition import drawn as rdt_inputs
from test_condition import rdt
from test_models_on_device import gpt, mixer, vit
from test_rounds import flow, repeated, samples
from test_routers import routed

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file

SMALL = replace(load("tiny"), weight_words=512)
RNG = np.random.default_rng(0)
EXPERT = ExpertShape(rows=9, prefix=20, width=16, heads=4, key_heads=1, head=8, hidden=32)
MODELS = {
    "gpt": gpt,
    "vit": vit,
    "mixer": mixer,
    "shared keys and rotary": Block(heads=4, key_heads=2, channels=64, causal=True, rms=True, rotary=16).model,
    "a bias of each head": Block(mask=RNG.standard_normal((2, 13, 13)).astype(np.float32)).model,
    "a row without keys": Block(mask=(RNG.random((13, 13)) < 0.7) & (np.arange(13) != 4)[:, None]).model,
    "outliers": Block(outliers=True).model,
    "router": lambda: routed(7),
    "a mixture of tokens": token_mixture,
    "a gated mixture of tokens": lambda: token_mixture(gated=True, among=False),
    "bands": lambda: stacked(Block(length=75, channels=40, causal=True)),
    "keys of the inputs, in bands": keys_of_inputs,
    "an action expert": lambda: action_expert(),
}


def action_expert():
    """Heads that share a prefix's keys are rows of one product; halves of heads of 8 are exchanged by weights."""
    pytest.importorskip("torch")
    from experts import exported_expert

    return exported_expert(EXPERT, 1)


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize("name", MODELS)
def test_same_bytes(name):
    model, rng = MODELS[name](), np.random.default_rng(3)
    options = CompileOptions(calibration=[drawn(model, rng) for _ in range(4)], check=True)
    check_rtl(compile_file(model, SMALL if "bands" in name else load("tiny"), options), drawn(model, rng))


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes_of_a_condition_of_all_rounds():
    """Keys and values that lie in the data space for all rounds, queries in parts, norms of heads."""
    state = rdt_program(replace(SMALL, act_words=2048), 3)
    check_rtl(state, rdt_inputs(rdt(), 1))


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes_of_a_loop():
    """Ten Euler steps; a condition's keys and values are made once."""
    (first, *_) = samples(flow(), np.random.default_rng(5), 1)
    check_rtl(repeated("tiny"), {n: first[n] for n in ("x", "condition")})


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes_of_a_flow_behind_a_prefix():
    """All Euler steps of an action expert: what a round loads is loaded once."""
    pytest.importorskip("torch")
    from experts import exported_flow

    model, rng = exported_flow(EXPERT, 2, steps=4, actions=8, state=8), np.random.default_rng(3)
    how = {"carry": {"x": model.graph.output[0].name}, "repeat": 4, "counter": "step", "check": True}
    state = compile_file(model, load("tiny"), CompileOptions(calibration="random:4", **how))
    check_rtl(state, {n: a for n, a in drawn(model, rng).items() if n != "step"})
