"""Checks of operators that only move data: the same integers come out, and node by node parity on both configs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from graphs import GraphBuilder
from one_op import check_both, image_graph
from onnx.reference import ReferenceEvaluator
from parity import Outcome, compile_proto, random_inputs

import vlarun


def moved(
    body: Callable[[GraphBuilder, str], str], channels: int = 20, size: tuple[int, int] = (6, 8), *, opset: int = 18
) -> Outcome:
    """The body between two convolutions; its own integers must be those of ONNX's reference, bit for bit."""

    def between(g: GraphBuilder, x: str) -> str:
        y = body(g, x)
        shape = onnx.shape_inference.infer_shapes(g.model(y, opset=opset)).graph.output[0].type.tensor_type.shape
        dims = [d.dim_value for d in shape.dim]
        if len(dims) == 4 and dims[0] == 1:
            g.channels[y] = dims[1]
            return g.conv(y, 8, 1)
        return g.gemm(g.node("Reshape", [y, g.constant(np.array([1, -1]))]), int(np.prod(dims)), 8)

    exact(body, channels, size, opset)
    return check_both(image_graph(between, channels, size, opset=opset))


def exact(body: Callable[[GraphBuilder, str], str], channels: int, size: tuple[int, int], opset: int) -> None:
    """As the last operator: the output's integers are the input's, moved as ONNX's reference evaluator moves them."""
    g = GraphBuilder("moved")
    x = g.input("x", (1, channels, *size))
    alone = g.model(body(g, x), opset=opset)
    for config in ("u50", "tiny"):
        kept = compile_proto(image_graph(body, channels, size, opset=opset), config, debug_outputs=True)
        raw = vlarun.Session(kept.program, backend="sim").run(random_inputs(kept.program), raw=True)
        first = kept.graph.ops[0].output
        last = kept.graph.outputs[0]
        assert (first.scale, first.zero_point) == (last.tensor.scale, last.tensor.zero_point)
        values = last.tensor_values(raw[last.name]) if last.tensor is first else raw[first.name]
        # around the zero point, so that what is padded with 0 fits
        expected = ReferenceEvaluator(alone).run(None, {"x": values.astype(np.float32) - first.zero_point})[0]
        assert np.array_equal(raw[last.name].astype(np.float32), expected + first.zero_point), config
