"""Refused norms, attentions and recurrent operators.

Every entry breaks the rule it names and none of its operator that come before it.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
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


def of_the_device(operator, *shapes, at, **attributes):
    """An operator whose operand `at` the host cannot make: it has no Erf."""

    def build() -> onnx.ModelProto:
        g = QdqBuilder("made")
        values = [g.input(name, shape) for name, shape in zip("abcd", shapes, strict=False)]
        values[at] = g.node("Erf", [values[at]])
        return g.model(g.node(operator, values, **attributes), opset=OPSET)

    return build


X = (1, 5, 16)
ATTENTION = [
    Case(
        "Attention",
        "of_known_sizes",
        attention((1, 5, 16), (1, 1, 16), np.arange(5, dtype=np.float32)[:, None]),
        "[1, 5, 16] and [1, 1, 16] and [1, 1, 16]",
    ),
    Case("Attention", "of_itself", attention(softcap=128.0), "softcap 128"),
    Case(
        "Attention",
        "keys_are_computed",
        attention(keys=np.ones((1, 5, 16), np.float32)),
        "constant K 'c0' and constant V 'c0'",
    ),
    Case(
        "Attention",
        "mask_is_known",
        of_the_device("Attention", X, X, X, (5, 5), at=3, q_num_heads=2, kv_num_heads=2),
        "computed mask 'attention1.0.1'",
    ),
]

ROTARY = [
    Case(
        "RotaryEmbedding",
        "of_rows_of_heads",
        one("RotaryEmbedding", X, np.zeros((1, 5, 1), np.float32), np.zeros((1, 5, 1), np.float32), num_heads=0),
        "shape [1, 5, 16] of 0 heads",
    ),
    Case(
        "RotaryEmbedding",
        "of_rows_of_heads",
        one("RotaryEmbedding", (1, 5, 10), *[np.zeros((1, 5, 2), np.float32)] * 2, num_heads=2, rotary_embedding_dim=4),
        "shape [1, 5, 10] of 2 heads, 5 channels each",
    ),
    Case(
        "RotaryEmbedding",
        "angles_are_known",
        of_the_device("RotaryEmbedding", X, (1, 5, 4), (1, 5, 4), at=1, num_heads=2),
        "computed 'erf0'",
    ),
]


def _weights(gates: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of 4 inputs and 5 outputs."""
    return np.ones((1, 5 * gates, 4), np.float32), np.ones((1, 5 * gates, 5), np.float32)


RECURRENT = [
    Case("LSTM", "is_unrolled", one("LSTM", (3, 2, 4), *_weights(4), hidden_size=5), "input [3, 2, 4]"),
    Case("LSTM", "is_unrolled", one("LSTM", (129, 1, 4), *_weights(4), hidden_size=5), "input [129, 1, 4]"),
    Case("LSTM", "is_unrolled", one("LSTM", (3, 1, 4), *_weights(4), hidden_size=5, clip=2.0), "clip 2"),
    Case("GRU", "is_unrolled", one("GRU", (3, 1, 4), (1, 15, 4), _weights(3)[1], hidden_size=5), "computed 'b'"),
    Case(
        "GRU",
        "is_unrolled",
        one("GRU", (3, 1, 4), *_weights(3), hidden_size=5, activations=["Sigmoid", "Softsign"]),
        "activations sigmoid, softsign",
    ),
    Case("RNN", "is_unrolled", one("RNN", (3, 1, 4), *_weights(1), hidden_size=5, quantized=True), "a quantized model"),
]

CACHE = (1, 2, 5, 16)


def written(cache=CACHE, **made):
    """A TensorScatter of one row."""

    def build() -> onnx.ModelProto:
        g = QdqBuilder("written")
        past = g.constant(np.zeros(cache, np.float32)) if made.get("fixed") else g.input("a", cache)
        at = g.constant(np.zeros(cache[0], np.int64))
        if made.get("on_device"):
            at = g.node("Cast", [g.node("Erf", [g.input("c", (1,))])], to=onnx.TensorProto.INT64)
        y = g.node("TensorScatter", [past, g.input("b", (*cache[:2], 1, cache[3])), at], axis=2)
        return g.model(y, opset=OPSET)

    return build


SCATTER = [
    Case("TensorScatter", "of_one_sequence", written((2, 2, 5, 16)), "shape [2, 2, 5, 16]"),
    Case("TensorScatter", "of_one_sequence", written(fixed=True), "constant [1, 2, 5, 16]"),
    Case("TensorScatter", "position_is_known", written(on_device=True), "computed position 'cast1'"),
]


def gates(experts=4, k=2, fill=0.0):
    """Gates of a mixture, put into `fill`."""

    def build() -> onnx.ModelProto:
        g = QdqBuilder("gates")
        operands, results = [g.input("a", (1, 5, experts)), g.constant(np.array([k]))], ["values", "indices"]
        g.nodes.append(onnx.helper.make_node("TopK", operands, results, name="topk"))
        base = g.constant(np.full((1, 5, experts), fill, np.float32))
        y = g.node("ScatterElements", [base, "indices", g.node("Softmax", ["values"])], axis=-1)
        return g.model(g.node("Mul", [y, g.constant(np.float32(2))]), opset=OPSET)

    return build


GATES = [
    Case("TopK", "is_of_gates", gates(fill=1.0), "read by ScatterElements and Softmax"),
    Case("ScatterElements", "is_gates", gates(fill=1.0), "operands of TopK and Softmax"),
    limit("ScatterElements", "gates_fit", lambda k: gates(1100, k), 1024, 1023, "1024 of 1100 experts"),
]

SEQUENCES = [
    *GATES,
    *SCATTER,
    *cases(("LayerNormalization", "RMSNormalization"), norm),
    Case("LayerNormalization", "one_result", with_mean, "'mean'"),
    *ATTENTION,
    *ROTARY,
    *RECURRENT,
]
