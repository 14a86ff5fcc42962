"""Layers that the calibration data hardly uses: their ranges say little about what the policy will see.

A layer's weights can give about mean +- 3 sigma, taking its inputs as independent and spread evenly over the range that
was observed. A result that stays far inside, or a Relu that was never positive, is reported; nothing is changed. In
trained networks results reach 1/3 of that, in the worst of 370 layers 1/16. Not judged: grouped convolutions, whose
channels have inputs of their own, so that the range of all of them says nothing (there it is up to 1/70).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.clamps import clamp_bounds
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant_input
from vlac.quantize.insert_qdq import Range

__all__ = ["suspects"]

_LAYERS = ("Conv", "Gemm", "MatMul")
_FAR = 32.0  # times less than its weights can give
F64 = NDArray[np.float64]


def suspects(model: ir.Model, observed: Mapping[str, Range]) -> tuple[str, ...]:
    """A sentence for each such layer of a float model; `observed` by name of its values."""
    found = []
    for node in model.graph:
        result = node.outputs[0] if node.outputs else None
        if result is None or result.name not in observed:
            continue
        low, high = observed[result.name or ""]
        if clamp_bounds(node) is not None and low == high:
            found.append(
                f"{node.op_type} '{node_label(node)}' gave {low:g} for all of the calibration data, so what it gives "
                "for other data is a guess; calibrate with data that it passes"
            )
        possible = _possible(node, observed) if node.op_type in _LAYERS else None
        if possible is not None and 0 < (high - low) * _FAR < possible[1] - possible[0]:
            found.append(
                f"{node.op_type} '{node_label(node)}' gave {low:.3g} to {high:.3g} on the calibration data; for inputs"
                f" of that range its weights can give about {possible[0]:.3g} to {possible[1]:.3g}, which would "
                "saturate; is the data like what the policy will see?"
            )
    return tuple(found)


def _possible(node: ir.Node, observed: Mapping[str, Range]) -> Range | None:
    """About what a layer can give: of the channel that reaches furthest on each side."""
    source, weight = node.inputs[0], constant_input(node, 1)
    grouped = attribute(node, "group", 1) > 1
    if grouped or source is None or source.name not in observed or weight is None or weight.ndim < 2:
        return None
    low, high = observed[source.name]
    rows = weight if node.op_type == "Conv" or attribute(node, "transB", 0) else np.moveaxis(weight, -1, 0)
    flat = rows.reshape(len(rows), -1)
    sums = flat.sum(axis=1, dtype=np.float64)
    squares = np.einsum("ij,ij->i", flat, flat, dtype=np.float64)
    bias = constant_input(node, 2)
    mean: F64 = sums * (low + high) / 2 + (0 if bias is None else bias.reshape(-1))
    spread = 3 * np.sqrt(squares / 12) * (high - low)
    return float((mean - spread).min()), float((mean + spread).max())
