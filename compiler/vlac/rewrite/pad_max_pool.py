"""A Pad with a number that never wins, in front of a MaxPool, becomes the pool's own padding.

matches: MaxPool(Pad(x, v)) with v at most -1e4 down to -inf, padded rows and pixels only, where every window meets a
value of x; rewrite: MaxPool(x) with pads. The number would else set the scale of the tensor and leave no bits for the
values. The pads follow from the result's size, which covers auto_pad and ceil_mode.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, constant_input, shape_of
from vlac.ops.pad import NEVER

__all__ = ["pad_max_pools"]


def pad_max_pools(model: ir.Model) -> None:
    """Rewrite every such pool of a float model, in place."""
    for node in list(model.graph):
        pad = node.inputs[0].producer() if node.op_type == "MaxPool" and node.inputs[0] is not None else None
        if pad is None or pad.op_type != "Pad" or {node.domain, pad.domain} - {"", "ai.onnx"} or pad.inputs[0] is None:
            continue
        before = _never_padded(pad)
        pads = _pads(node, pad.inputs[0], before) if before is not None else None
        indices = len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output())
        if pads is not None and not indices:
            for name in ("auto_pad", "ceil_mode"):
                node.attributes.pop(name, None)
            node.attributes["pads"] = ir.AttrInt64s("pads", pads)
            node.replace_input_with(0, pad.inputs[0])


def _never_padded(pad: ir.Node) -> list[tuple[int, int]] | None:
    """Elements added before and behind each axis but the first two, or None where the Pad is of another kind."""
    pads, value, axes = (constant_input(pad, i) for i in (1, 2, 3))
    if (
        attribute(pad, "mode", "constant") != "constant"
        or pads is None
        or value is None
        or float(value.reshape(-1)[0]) > -NEVER
    ):
        return None
    rank = len(shape_of(pad.inputs[0]))
    where = [int(a) % rank for a in (range(rank) if axes is None else axes.reshape(-1))]
    found = [(0, 0)] * rank
    for axis, first, last in zip(where, pads[: len(where)], pads[len(where) :], strict=True):
        found[axis] = int(first), int(last)
    if rank < 3 or found[:2] != [(0, 0), (0, 0)] or min(n for both in found for n in both) < 0:
        return None
    return found[2:]


def _pads(node: ir.Node, x: ir.Value, before: list[tuple[int, int]]) -> list[int] | None:
    """The pads attribute of the pool over `x`, or None where a window would lie in the padding as a whole."""
    axes = len(before)
    kernel = list(attribute(node, "kernel_shape", ()))
    strides, dilations = (list(attribute(node, name, None) or [1] * axes) for name in ("strides", "dilations"))
    own = list(attribute(node, "pads", None) or [0] * 2 * axes)
    padded, sizes, out = shape_of(node.inputs[0])[2:], shape_of(x)[2:], shape_of(node.outputs[0])[2:]
    mode = attribute(node, "auto_pad", "NOTSET")
    first, last = [], []
    for i, (k, s, d, n, m) in enumerate(zip(kernel, strides, dilations, sizes, out, strict=True)):
        reach = (m - 1) * s + (k - 1) * d + 1  # from the first window's start to the last one's end
        begin = own[i]
        if mode.startswith("SAME"):
            total = max(reach - padded[i], 0)
            begin = total // 2 if mode == "SAME_UPPER" else total - total // 2
        begin += before[i][0]
        end = max(reach - begin - n, 0)
        taps = np.arange(m)[:, None] * s - begin + np.arange(k) * d
        if begin >= k or end >= k or not ((taps >= 0) & (taps < n)).any(axis=1).all():
            return None
        first.append(begin)
        last.append(end)
    return [*first, *last] if math.prod(out) else None
