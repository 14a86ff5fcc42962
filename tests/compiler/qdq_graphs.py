"""Graphs with QuantizeLinear and DequantizeLinear written by hand."""

from __future__ import annotations

import numpy as np
from graphs import GraphBuilder


class QdqBuilder(GraphBuilder):
    """GraphBuilder with QuantizeLinear / DequantizeLinear pairs."""

    def qdq(self, x, scale=0.05, zero=0, dtype=np.int8):
        s, z = self.constant(np.float32(scale)), self.constant(np.array(zero, dtype))
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, s, z]), s, z])

    def weights(self, shape, axis=0, dtype=np.int8, zero=0, scales=None):
        q = self.constant(self.rng.integers(-127, 128, shape).astype(np.int16).__add__(zero).astype(dtype))
        scales = np.full(shape[axis], 0.0097, np.float32) if scales is None else scales
        per_tensor = np.ndim(scales) == 0
        zeros = np.full(() if per_tensor else shape[axis], zero, dtype)
        return self.node(
            "DequantizeLinear",
            [q, self.constant(np.asarray(scales, np.float32)), self.constant(zeros)],
            **({} if per_tensor else {"axis": axis}),
        )


def model_with(body, channels=12):
    g = QdqBuilder("qdq")
    x = g.input("x", (1, channels, 9, 9))
    return g.model(body(g, x))
