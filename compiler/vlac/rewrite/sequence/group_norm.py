"""GroupNorm as exporters write it, and InstanceNormalization, become GroupNormalization (opset 21).

matches: InstanceNormalization of channels joined to groups by a Reshape, a Reshape back, and a product and a sum with
constants per channel; InstanceNormalization alone is a group per channel. GroupNormalization of opset 18, whose scale
is per group, is left for ONNX's converter: no exporter wrote it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, constant_input, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, pairs
from vlac.rewrite.sequence.views import view_of

__all__ = ["recover_group_norms"]

F32 = NDArray[np.float32]


def recover_group_norms(model: ir.Model) -> None:
    """Rewrite every such norm of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "InstanceNormalization"):
            _replace(model.graph, node)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    x, scale, bias = node.inputs[0], constant_input(node, 1), constant_input(node, 2)
    if x is None or scale is None or bias is None or len(shape_of(x)) < 3:
        return
    groups, last = len(scale), node
    source, reader = view_of(x).root, _only_reader(node)
    channels = shape_of(source)[1] if len(shape_of(source)) > 2 else 0
    joined = reader is not None and is_op(reader, "Reshape") and shape_of(reader.outputs[0]) == shape_of(source)
    if view_of(x).is_whole and joined and reader is not None and channels % groups == 0 and channels > groups:
        last, x = reader, source
        scale, bias = (np.repeat(a, channels // groups) for a in (scale, bias))
    elif shape_of(source) != shape_of(x):
        source = x
    last, scale, bias = _affine(last, scale, bias, len(shape_of(x)))
    new = Nodes(graph, last)
    inputs = [x, new.constant(scale.astype(np.float32)), new.constant(bias.astype(np.float32))]
    attributes = {"num_groups": groups, "epsilon": attribute(node, "epsilon", 1e-5)}
    new.replace(new.add("GroupNormalization", inputs, shape_of(x), attributes))


def _affine(node: ir.Node, scale: F32, bias: F32, rank: int) -> tuple[ir.Node, F32, F32]:
    """Take a product and a sum per channel that follow into the norm; the node behind them."""
    for op in ("Mul", "Add"):
        reader = _only_reader(node)
        if reader is None or not is_op(reader, op):
            continue
        array = next((constant(b) for a, b in pairs(reader) if a is node.outputs[0]), None)
        found = None if array is None else _per_channel(array, len(scale), rank)
        if found is None or shape_of(reader.outputs[0]) != shape_of(node.outputs[0]):
            continue
        scale, bias = (scale * found, bias * found) if op == "Mul" else (scale, bias + found)
        node = reader
    return node, scale, bias


def _per_channel(array: NDArray[np.generic], channels: int, rank: int) -> F32 | None:
    full = array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim <= rank else array
    if full.ndim != rank or any(n > 1 and i != 1 for i, n in enumerate(full.shape)):
        return None
    return np.broadcast_to(full.reshape(-1), channels).astype(np.float32)


def _only_reader(node: ir.Node) -> ir.Node | None:
    value = node.outputs[0]
    readers = value.consumers()
    return readers[0] if len(readers) == 1 and not value.is_graph_output() else None
