"""Attentions of sizes and layouts that few models have: several sequences at once, sequence first, one key alone."""

import numpy as np
import pytest
from blocks import Sequence
from on_device import check, drawn

import vlarun
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file

D, HEADS, LENGTH = 32, 4, 7  # heads of 8 channels: two of them share a block of 16


def attention(g, q, k, v, key_heads=HEADS):
    return g.node("Attention", [q, k, v], D, q_num_heads=HEADS, kv_num_heads=key_heads)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("heads", [2, 4, 8])
def test_sequence_first(config, heads):
    """`nn.MultiheadAttention`: pixels of a sequence do not follow each other, heads lie beside others in a block."""
    g = Sequence("sequence first")
    rows = g.linear(g.input("x", (LENGTH, 3, D)), D, 3 * D)
    parts = []
    for first in range(0, 3 * D, D):
        bounds = [g.constant(np.array([n])) for n in (first, first + D, 2)]
        parts.append(g.node("Transpose", [g.node("Slice", [rows, *bounds], D)], D, perm=[1, 0, 2]))
    y = g.node("Attention", parts, D, q_num_heads=heads, kv_num_heads=heads)
    check(g.finished(g.linear(g.node("Transpose", [y], D, perm=[1, 0, 2]), D, D)), config, samples=64)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("queries", [1, LENGTH])
@pytest.mark.parametrize("key_heads", [HEADS, 2])
def test_one_key(queries, batch, key_heads):
    """Its share is 1 for every query: a condition of one token, a sequence of one step."""
    g = Sequence("one")
    d = D // HEADS * key_heads
    x, other = g.input("x", (batch, queries, D)), g.input("condition", (batch, 1, D))
    y = attention(g, g.linear(x, D, D), g.linear(other, D, d), g.linear(other, D, d), key_heads)
    check(g.finished(g.linear(y, D, D)), "tiny", samples=64)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_more_queries_than_keys(config):
    """The last queries see all keys: a limit that grows must not pass the last one."""
    g = Sequence("crossed")
    x, other = g.input("x", (1, 11, D)), g.input("condition", (1, 5, D))
    heads = {"q_num_heads": 2, "kv_num_heads": 2}
    for _ in range(2):  # the second finds what the first left behind the keys
        x = g.node("Attention", [g.linear(x, D, D), *(g.linear(other, D, D) for _ in "kv")], D, is_causal=1, **heads)
    check(g.finished(g.linear(x, D, D)), config, samples=64, least=25.0)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize(("keys", "batch", "heads"), [(7, 1, 1), (7, 2, 1), (9, 1, 2), (300, 1, 1)])
def test_constant_values(keys, batch, heads, config):
    """Where the pixels are that each query finds (a spatial softmax): the shares are mixed of places."""
    g = Sequence("places")
    pixels = g.linear(g.input("x", (batch, keys, D)), D, D)
    queries = g.constant(g.normal(batch, 5, D))
    places = g.constant(g.rng.uniform(-1, 1, (batch, keys, 2 * heads)).astype(np.float32))
    y = g.node("Attention", [queries, pixels, places], 2 * heads, q_num_heads=heads, kv_num_heads=heads)
    check(g.finished(g.linear(y, 2 * heads, D)), config, samples=64, least=25.0)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("mask", ["none", "causal", "tensor"])
@pytest.mark.parametrize("key_heads", [1, 2])
def test_heads_that_share_keys(key_heads, mask, config):
    """They are rows of one product, with the bytes of each head alone: what is shown for comparison is not joined."""
    g = Sequence("shared")
    heads, d, length = 8, 8, 9
    y = g.norm(g.input("x", (1, length, D)), D)
    parts = [g.linear(y, D, n * d) for n in (heads, key_heads, key_heads)]
    if mask == "tensor":
        parts.append(g.constant(g.normal(length, length)))
    how = {"is_causal": int(mask == "causal"), "q_num_heads": heads, "kv_num_heads": key_heads}
    model = g.finished(g.linear(g.node("Attention", parts, heads * d, **how), heads * d, D))
    rng = np.random.default_rng(3)
    calibration, inputs = [drawn(model, rng) for _ in range(16)], drawn(model, rng)
    programs = [
        compile_file(
            model, load(config), CompileOptions(calibration=calibration, check=True, debug_outputs=shown)
        ).program
        for shown in (False, True)
    ]
    joined, alone = (vlarun.Session(p).run(inputs, raw=True) for p in programs)
    assert all(np.array_equal(joined[name], alone[name]) for name in joined)
    products = [sum(s.op == "Attention" and s.macs > 0 for s in p.sources) for p in programs]
    assert products == [4, 2 * heads]
