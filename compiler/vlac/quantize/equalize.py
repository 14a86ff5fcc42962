"""Cross-layer equalization: channels between two layers get ranges alike (Nagel et al. 2019, "Data-Free Quantization
Through Weight Equalization and Bias Correction", section 4.1).

A layer's output channel i divided by s_i and the next layer's input channel i multiplied by s_i leave a float model
as it is where what lies between scales with its input: Relu, LeakyRelu, pools, Flatten. s_i = sqrt(r1_i / r2_i) with
the channels' largest weights r1, r2. Depthwise layers are both kinds at once, so chains are repeated until nothing
moves. Not through Clip (its bounds do not scale), nor where a tensor has other readers or is an output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, shape_of

__all__ = ["equalize"]

_THROUGH = {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Dropout"}
_FLATTEN = {"Flatten", "Reshape"}
_LAYERS = {"Conv", "Gemm"}
_ROUNDS, _SETTLED = 30, 1e-3
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class _Pair:
    """Two layers and how many features of the second each channel of the first became (Flatten)."""

    first: ir.Node
    second: ir.Node
    spread: int


def equalize(model: ir.Model) -> int:
    """Equalize a float model in place; returns the number of pairs of layers."""
    pairs = list(_pairs(model))
    for _ in range(_ROUNDS):
        moved = [_settle(p) for p in pairs]
        if not any(moved):
            break
    return len(pairs)


def _pairs(model: ir.Model) -> Iterator[_Pair]:
    for first in model.graph:
        if first.op_type not in _LAYERS or not _own_constants(first):
            continue
        channels, node = shape_of(first.outputs[0])[1], first
        while (following := _only_reader(node)) is not None and _passes_channels(following):
            node = following
        last = shape_of(node.outputs[0])
        if following is None or following.op_type not in _LAYERS or not _own_constants(following):
            continue
        if following.inputs[0] is node.outputs[0] and len(last) in (2, 4):
            yield _Pair(first, following, last[1] // channels)


def _passes_channels(node: ir.Node) -> bool:
    """Whether a node keeps channels apart and scales with its input; flattening makes several features of each."""
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    flat = node.op_type in _FLATTEN and len(after) == 2 and before[:1] == after[:1]
    return node.op_type in _THROUGH or flat


def _only_reader(node: ir.Node) -> ir.Node | None:
    value = node.outputs[0]
    users = value.consumers()
    return users[0] if len(users) == 1 and not value.is_graph_output() else None


def _own_constants(node: ir.Node) -> bool:
    """Whether weight and bias are initializers that no other node reads."""
    return all(v is None or (v.is_initializer() and len(v.consumers()) == 1) for v in node.inputs[1:])


def _settle(pair: _Pair) -> bool:
    """Equalize one pair; whether any channel moved."""
    first, second = _output_rows(pair.first), _input_rows(pair.second, pair.spread)
    r1, r2 = np.abs(first).max(axis=1), np.abs(second).max(axis=1)
    scale = np.ones_like(r1)
    alive = (r1 > 0) & (r2 > 0)
    scale[alive] = np.sqrt(r1[alive] / r2[alive])
    if np.abs(np.log(scale)).max(initial=0.0) < _SETTLED:
        return False
    _store(pair.first, 1, _from_output_rows(pair.first, first / scale[:, None]))
    bias = _array(pair.first, 2)
    if bias is not None:
        _store(pair.first, 2, np.broadcast_to(bias.reshape(-1), scale.shape) / scale)
    _store(pair.second, 1, _from_input_rows(pair.second, pair.spread, second * scale[:, None]))
    return True


# --- weights as one row per channel, and back -----------------------------------------------------------


def _output_rows(node: ir.Node) -> F64:
    weight = _weight(node)
    if node.op_type == "Gemm" and not attribute(node, "transB", 0):
        weight = weight.T
    return weight.reshape(len(weight), -1)


def _from_output_rows(node: ir.Node, rows: F64) -> F64:
    if node.op_type == "Gemm":
        return rows if attribute(node, "transB", 0) else rows.T
    return rows.reshape(_weight(node).shape)


def _input_rows(node: ir.Node, spread: int) -> F64:
    weight = _weight(node)
    if node.op_type == "Gemm":
        rows = weight.T if attribute(node, "transB", 0) else weight
        return rows.reshape(len(rows) // spread, -1)
    grouped = weight.reshape(attribute(node, "group", 1), -1, *weight.shape[1:])  # [group, O / group, I / group, k, k]
    return np.moveaxis(grouped, 2, 1).reshape(grouped.shape[0] * grouped.shape[2], -1)


def _from_input_rows(node: ir.Node, spread: int, rows: F64) -> F64:
    weight = _weight(node)
    if node.op_type == "Gemm":
        rows = rows.reshape(len(rows) * spread, -1)
        return rows.T if attribute(node, "transB", 0) else rows
    group = attribute(node, "group", 1)
    shape = (group, weight.shape[1], len(weight) // group, *weight.shape[2:])
    return np.moveaxis(rows.reshape(shape), 1, 2).reshape(weight.shape)


def _weight(node: ir.Node) -> F64:
    found = _array(node, 1)
    assert found is not None
    return found


def _array(node: ir.Node, index: int) -> F64 | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None or value.const_value is None else value.const_value.numpy().astype(np.float64)


def _store(node: ir.Node, index: int, array: F64) -> None:
    value = node.inputs[index]
    assert value is not None
    value.shape = ir.Shape(array.shape)
    value.const_value = ir.tensor(np.ascontiguousarray(array, np.float32), name=value.name)
