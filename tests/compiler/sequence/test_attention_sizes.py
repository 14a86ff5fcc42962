"""Attentions of sizes and layouts that few models have: several sequences at once, sequence first, one key alone."""

import numpy as np
import pytest
from blocks import Sequence
from on_device import check

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
