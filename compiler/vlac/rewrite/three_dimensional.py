"""Pools over three axes become two pools over images: first over rows and pixels, then over depth.

[1, C, D, H, W] is read as [1, C*D, H, W], its result as [1, C, D, H*W] with a kernel of one column. A maximum of
maxima is the maximum; the taps of a window are a product over its axes, so an average of averages is the average.
Global pools are one pool over [1, C, D, H*W].
Not here: quantized models, where nothing says how the result in between is quantized.
"""

from __future__ import annotations

import onnx_ir as ir

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["flatten_depth"]

_POOLS = ("MaxPool", "AveragePool")
_GLOBAL = ("GlobalMaxPool", "GlobalAveragePool")
_PER_AXIS = ("kernel_shape", "strides", "dilations")


def flatten_depth(model: ir.Model) -> None:
    """Rewrite every such pool of a float model, in place."""
    for node in list(model.graph):
        if node.op_type in (*_POOLS, *_GLOBAL) and node.domain in ("", "ai.onnx") and len(node.outputs) == 1:
            x = node.inputs[0]
            if x is not None and len(shape_of(x)) == 5 and shape_of(x)[0] == 1:
                replace = _replace if node.op_type in _POOLS else _replace_global
                replace(Nodes(model.graph, node), node, x)


def _replace_global(new: Nodes, node: ir.Node, x: ir.Value) -> None:
    _, c, d, h, w = shape_of(x)
    pooled = new.add(node.op_type, [new.reshape(x, (1, c, d, h * w))], (1, c, 1, 1))
    new.replace(new.reshape(pooled, (1, c, 1, 1, 1)))


def _replace(new: Nodes, node: ir.Node, x: ir.Value) -> None:
    (_, c, d, h, w), (*_, depth, rows, columns) = shape_of(x), shape_of(node.outputs[0])
    image, column = _attributes(node, slice(1, 3), ()), _attributes(node, slice(0, 1), (1,))
    planes = new.reshape(x, (1, c * d, h, w))
    pooled = new.add(node.op_type, [planes], (1, c * d, rows, columns), image)
    deep = new.reshape(pooled, (1, c, d, rows * columns))
    pooled = new.add(node.op_type, [deep], (1, c, depth, rows * columns), column)
    new.replace(new.reshape(pooled, (1, c, depth, rows, columns)))


def _attributes(node: ir.Node, axes: slice, more: tuple[int, ...]) -> dict[str, object]:
    """The attributes of a pool over some of the axes; `more` is the kernel and stride of the axes that follow."""
    found: dict[str, object] = {}
    for name, given in node.attributes.items():
        if name in _PER_AXIS:
            found[name] = [*given.value[axes], *more]
        elif name == "pads":
            first, last = given.value[:3], given.value[3:]
            none = [0] * len(more)
            found[name] = [*first[axes], *none, *last[axes], *none]
        else:
            found[name] = given.value
    return found
