"""The graphs of T3 about rows: attention, norms, rotary positions, int16 residuals, gates and functions of int16.

Lengths and heads are off multiples of everything; masks of every kind that the machine knows.
Not here: the other operators (`graph_table.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_toolchain.conformance.graph_table import Graph, Input, Node, Step, W

__all__ = ["SEQUENCES"]

LENGTH, WIDTH = 11, 36
ROWS = (1, LENGTH, WIDTH)


def _attention(
    what: str, *mask: Any, queries: int = LENGTH, heads: int = 3, shared: int = 0, **attributes: Any
) -> Graph:
    """Of three inputs; `shared`: heads of keys and values, if they are fewer."""
    d, kept = WIDTH // heads, shared or heads
    operands = ((1, queries, WIDTH), *[(1, LENGTH, d * kept)] * 2, *mask)
    counts = {"q_num_heads": heads, "kv_num_heads": kept}
    return Graph("Attention", what, (Step("Attention", operands, counts | attributes),))


def _truth(*shape: int, share: float = 0.7) -> np.ndarray[Any, Any]:
    mask = np.random.default_rng(0).random(shape) < share
    mask[..., 0] = True
    return mask


def _bias(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


_EMPTY = np.tri(LENGTH, dtype=bool)
_EMPTY[4] = False

ATTENTION = [
    _attention("heads"),
    _attention("one.head", heads=1),
    _attention("many.heads", heads=12),
    _attention("shared.keys", shared=1),
    _attention("shared.by.two", heads=4, shared=2),
    _attention("one.query", queries=1),
    _attention("more.queries", queries=17),
    _attention("scale", scale=0.7),
    _attention("causal", is_causal=1),
    _attention("padding", np.arange(LENGTH)[None] < np.full((LENGTH, 1), 7)),
    _attention("mask.row", _truth(1, 1, 1, LENGTH)),
    _attention("mask.tensor", _truth(LENGTH, LENGTH)),
    _attention("a.row.without.keys", _EMPTY),
    _attention("bias.of.heads", _bias(1, 3, LENGTH, LENGTH)),
    _attention("causal.bias", _bias(LENGTH, LENGTH), is_causal=1),
    Graph(
        "Attention",
        "four.axes",
        (Step("Attention", ((1, 3, LENGTH, 12), (1, 3, LENGTH, 12), (1, 3, LENGTH, 12)), {}),),
    ),
]


def _norm(operator: str, what: str, *parameters: Any, rows: tuple[int, ...] = ROWS, **attributes: Any) -> Graph:
    return Graph(operator, what, (Step(operator, (rows, *parameters), attributes),))


def _in_front(operator: str, *parameters: Any) -> Graph:
    """A norm whose int8 result goes into a layer, and what it normalizes, int16, is added to that."""
    steps = (
        Step("MatMul", (ROWS, W((WIDTH, WIDTH))), {}),
        Step("Add", (Node(0), Input(0)), {}),
        Step(operator, (Node(1), *parameters), {"axis": -1}),
        Step("MatMul", (Node(2), W((WIDTH, WIDTH))), {}),
        Step("Add", (Node(1), Node(3)), {}),
    )
    return Graph(operator, "residual", steps)


_GAMMA, _BETA = _bias(WIDTH), _bias(2, WIDTH)[1]
NORMS = [
    _norm("LayerNormalization", "rows", _GAMMA, _BETA),
    _norm("LayerNormalization", "no.beta", _GAMMA),
    _norm("LayerNormalization", "a.gamma.of.zero", np.where(np.arange(WIDTH) % 5, _GAMMA, 0).astype(np.float32), _BETA),
    _norm("LayerNormalization", "long", _GAMMA, _BETA, rows=(1, 70, WIDTH)),
    _in_front("LayerNormalization", _GAMMA, _BETA),
    _norm("RMSNormalization", "rows", _GAMMA),
    _norm("RMSNormalization", "epsilon", _GAMMA, epsilon=0.1),
    _in_front("RMSNormalization", _GAMMA),
    _norm("InstanceNormalization", "image", _GAMMA, _BETA, rows=(1, WIDTH, 5, 7)),
]


def _rotary(what: str, channels: int, **attributes: Any) -> Graph:
    angles = np.outer(np.arange(LENGTH), 0.3 / (1 + np.arange(channels // 2)))[None].astype(np.float32)
    counts = {"num_heads": 3, **attributes}
    return Graph("RotaryEmbedding", what, (Step("RotaryEmbedding", (ROWS, np.cos(angles), np.sin(angles)), counts),))


ROTARY = [
    _rotary("halves", 12),
    _rotary("interleaved", 12, interleaved=1),
    _rotary("part", 8, rotary_embedding_dim=8),
]

_HIDDEN = 5 * WIDTH
OTHERS = [
    Graph(
        "Gelu",
        "lines",  # of an int16, times a row
        (
            Step("LayerNormalization", (ROWS, _GAMMA, _BETA), {}),
            Step("MatMul", (Node(0), W((WIDTH, _HIDDEN))), {}),
            Step("Gelu", (Node(1),), {}),
            Step("Mul", (Node(2), np.linspace(-2, 2, _HIDDEN).astype(np.float32)), {}),
            Step("MatMul", (Node(3), W((_HIDDEN, WIDTH))), {}),
        ),
    ),
    Graph(
        "Mul",
        "gate",
        (
            Step("LayerNormalization", (ROWS, _GAMMA, _BETA), {}),
            Step("MatMul", (Node(0), W((WIDTH, WIDTH))), {}),
            Step("MatMul", ((1, 1, WIDTH), W((WIDTH, WIDTH))), {}),
            Step("Mul", (Node(1), Node(2)), {}),
            Step("Add", (Input(0), Node(3)), {}),
        ),
    ),
]

SEQUENCES = (*ATTENTION, *NORMS, *ROTARY, *OTHERS)
