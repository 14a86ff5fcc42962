"""Refused norms and attentions.

Every entry breaks the rule it names and none of its operator that come before it.
"""

from __future__ import annotations

import numpy as np
import onnx
from qdq_graphs import QdqBuilder
from refusal_models import OPSET, Case, cases, limit, one

__all__ = ["SEQUENCES"]

D = np.ones(16, np.float32)


def norm(operator: str) -> list[Case]:
    """Of both norms."""
    rule = "over_the_last_axis"
    return [
        Case(
            operator,
            rule,
            one(operator, (1, 5, 16), np.ones((5, 16), np.float32), axis=1),
            "axis 1 of shape [1, 5, 16]",
        ),
        Case(operator, rule, one(operator, (1, 4, 5, 16), D), "axis 3 of shape [1, 4, 5, 16]"),
        limit(
            operator,
            rule,
            lambda n: one(operator, (1, 2, n), np.ones(n, np.float32)),
            16384,
            16383,
            "axis 2 of shape [1, 2, 16384]",
        ),
        Case(operator, "constants_are_known", one(operator, (1, 5, 16), (16,)), "computed input 1 'b'"),
    ]


def with_mean() -> onnx.ModelProto:
    """A LayerNormalization whose mean is returned too."""
    g = QdqBuilder("mean")
    y = g.node("LayerNormalization", [g.input("a", (1, 5, 16)), g.constant(D)])
    g.nodes[-1].output.append("mean")
    return g.model(y, "mean", opset=OPSET)


def attention(queries=(1, 5, 16), keys=(1, 5, 16), mask=None, **attributes):
    """An attention of two heads."""
    masks = [] if mask is None else [mask]
    return one("Attention", queries, keys, keys, *masks, q_num_heads=2, kv_num_heads=2, **attributes)


ATTENTION = [
    Case("Attention", "one_batch", attention((2, 5, 16), (2, 5, 16)), "[2, 5, 16] and [2, 5, 16] and [2, 5, 16]"),
    Case("Attention", "one_batch", attention((1, 5, 16), (1, 1, 16)), "[1, 5, 16] and [1, 1, 16] and [1, 1, 16]"),
    limit(
        "Attention",
        "one_batch",
        lambda n: attention((1, n, 16)),
        1025,
        1024,
        "[1, 1025, 16] and [1, 5, 16] and [1, 5, 16]",
    ),
    Case("Attention", "of_itself", attention(softcap=5.0), "softcap 5"),
    Case(
        "Attention",
        "operands_are_computed",
        attention(keys=np.ones((1, 5, 16), np.float32)),
        "constant K 'c0' and constant V 'c0'",
    ),
    Case("Attention", "mask_is_constant", attention(mask=(5, 5)), "computed mask 'attention0.0.1'"),
]

ANGLES = np.zeros((1, 5, 4), np.float32)
ROTARY = [
    Case(
        "RotaryEmbedding",
        "of_one_row_of_heads",
        one(
            "RotaryEmbedding", (2, 5, 16), np.zeros((2, 5, 4), np.float32), np.zeros((2, 5, 4), np.float32), num_heads=2
        ),
        "shape [2, 5, 16] of 2 heads",
    ),
    Case(
        "RotaryEmbedding",
        "angles_are_constant",
        one("RotaryEmbedding", (1, 5, 16), (1, 5, 4), ANGLES, num_heads=2),
        "computed 'b'",
    ),
]

SEQUENCES = [
    *cases(("LayerNormalization", "RMSNormalization"), norm),
    Case("LayerNormalization", "one_result", with_mean, "'mean'"),
    *ATTENTION,
    *ROTARY,
]
