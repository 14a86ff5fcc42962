"""Concat: of channels, the producers write into slices of one region; of rows or pixels, COPY."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.device.concat import ConcatOp
from vlac.ir.geometry import is_image
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.quantized import Result
from vlac.lowering.spec import OpSpec
from vlac.model.reading import attribute, shape_of

__all__ = ["SPEC"]


def _lower(low: LoweringContext, node: ir.Node) -> None:
    sources = [low.operand(node, i) for i in range(len(node.inputs))]
    out = low.result(node)
    shape = shape_of(node.outputs[0])
    axis = attribute(node, "axis", 0) % len(shape)
    of_channels = axis == (1 if is_image(shape) else len(shape) - 1)
    parts = []
    for index, (source, value) in enumerate(zip(sources, node.inputs, strict=True)):
        same = source.same_scale(out.tensor)
        if same and source.constant is None and (out.lo, out.hi) == (out.tensor.stored.lo, out.tensor.stored.hi):
            parts.append(source)
            continue
        name, label = f"{out.tensor.name}:{index}", f"{out.tensor.label}:{index}"
        part = out.tensor.like(name, label=label, shape=shape_of(value))
        if of_channels or source.constant is None:
            low.requantized(source, part, out.label, "Concat", out.lo, out.hi)
        else:
            part = _of_constant(low, source, part, out)
        parts.append(part)
    if of_channels:
        low.graph.insert(ConcatOp(out.label, "Concat", parts, out.tensor))
        return
    starts = np.cumsum([0, *(math.prod(p.shape) for p in parts)])
    numbers = [s + np.arange(math.prod(p.shape)) for s, p in zip(starts, parts, strict=False)]
    numbers = [n.reshape(shape_of(v)) for n, v in zip(numbers, node.inputs, strict=True)]
    moved = low.layout(node, parts, np.concatenate(numbers, axis=axis).reshape(-1), out.tensor)
    assert moved is out.tensor


def _of_constant(low: LoweringContext, source: Tensor, part: Tensor, out: Result) -> Tensor:
    """A constant in the scale of the result; the same one for all that join it in that scale, as a cache grows."""
    assert source.constant is not None
    of = (source.constant.tobytes(), source.shape, source.scale, source.zero_point)
    key = ("joined", *of, part.shape, part.scale, part.zero_point, part.type, out.lo, out.hi)
    if key not in low.shared:
        low.requantized(source, part, out.label, "Concat", out.lo, out.hi)
        low.shared[key] = part
    return low.shared[key]


SPEC = OpSpec(
    "Concat",
    "Of channels, no instruction: producers write into slices of one region, each on a new channel block. "
    "Of rows and pixels, COPY.",
    lower=_lower,
)
