"""Group normalization becomes what the machine has: a LayerNormalization of groups as rows, or averages and products.

matches: GroupNormalization (Wu and He 2018) of one [1, C, ...] with constant scale and bias. Groups of whole words
become rows [1, groups, rest * C / groups], channels innermost, whose statistics are exact. Where a group ends inside a
word, or is larger than a row, averages are taken: of x, and of the squares of what differs from it. Scale and bias are
a BatchNormalization behind. Instance normalization is one group per channel (`sequence/group_norm.py`).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, constant_input, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op

__all__ = ["expand_group_norms"]

_WORD = 16  # channels of the longest words of a machine
_MOST_ROW = 1023 * 8  # values of a row: the most words, of 8 channels, the shortest


def expand_group_norms(model: ir.Model) -> None:
    """Rewrite every such norm of a float model, in place."""
    for node in list(model.graph):
        if not is_op(node, "GroupNormalization") or node.inputs[0] is None:
            continue
        shape, scale, bias = shape_of(node.inputs[0]), constant_input(node, 1), constant_input(node, 2)
        known = scale is not None and bias is not None and scale.size == bias.size == shape[1]
        if known and len(shape) > 2 and shape[0] == 1:
            _replace(model.graph, node)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    x, new = node.inputs[0], Nodes(graph, node)
    shape, groups = shape_of(x), int(attribute(node, "num_groups", 1))
    epsilon, width = float(attribute(node, "epsilon", 1e-5)), shape[1] // groups
    fits = width % _WORD == 0 and width * math.prod(shape[2:]) <= _MOST_ROW
    assert x is not None
    normal = _as_rows(new, x, groups, epsilon) if fits else _by_averages(new, x, groups, epsilon)
    constants = [new.constant(a.astype(np.float32)) for i in (1, 2) if (a := constant_input(node, i)) is not None]
    zeros = np.zeros(shape[1], np.float32)
    statistics = [new.constant(zeros), new.constant(zeros + 1)]
    new.replace(new.add("BatchNormalization", [normal, *constants, *statistics], shape, {"epsilon": 0.0}))


def _as_rows(new: Nodes, x: ir.Value, groups: int, epsilon: float) -> ir.Value:
    shape = shape_of(x)
    width, rest = shape[1] // groups, math.prod(shape[2:])
    split, turned, swap = (1, groups, width, rest), (1, groups, rest, width), {"perm": [0, 1, 3, 2]}
    rows = new.reshape(new.add("Transpose", [new.reshape(x, split)], turned, swap), (1, groups, rest * width))
    inputs = [rows, new.constant(np.ones(rest * width, np.float32))]
    normal = new.add("LayerNormalization", inputs, shape_of(rows), {"axis": -1, "epsilon": epsilon})
    back = new.add("Transpose", [new.reshape(normal, turned)], split, swap)
    return new.reshape(back, shape)


def _by_averages(new: Nodes, x: ir.Value, groups: int, epsilon: float) -> ir.Value:
    shape, one = shape_of(x), (1, shape_of(x)[1], *(1 for _ in shape_of(x)[2:]))
    width = shape[1] // groups
    same = np.kron(np.eye(groups), np.full((width, width), 1 / width)).astype(np.float32)
    average = new.constant(same.reshape(*same.shape, *one[2:]))

    def mean(value: ir.Value) -> ir.Value:
        """Over each group, for each channel."""
        return new.add("Conv", [new.add("GlobalAveragePool", [value], one), average], one)

    rest = new.add("Sub", [x, mean(x)], shape)
    variance = mean(new.add("Mul", [rest, rest], shape))
    sum_ = new.add("Add", [variance, new.constant(np.float32(epsilon))], one)
    factor = new.add("Pow", [sum_, new.constant(np.float32(-0.5))], one)
    return new.add("Mul", [rest, factor], shape)
