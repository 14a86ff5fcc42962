"""Ranges that calibration must not decide: what an operator can produce, and what never counts.

known       Sigmoid and HardSigmoid give 0..1, Tanh -1..1, Clip to 0..6, 0..1 or -1..1 its bounds: values that the
            calibration data happened not to reach must not saturate; where all stays below an eighth of
            it, four times what was seen
handed on   a Concat holds what its parts hold
passed on   a value that is only compared or moved needs the range of what gets on: a maximum of cut values is the cut
            maximum, so in front of a MaxPool no step is spent on what loses
never       a mask of -1e9 says that a value never wins a maximum or gets a share of a Softmax: it must not set the
            range of the values that can. In front of Softmax, a maximum or an ArgMax such values are cut
a table     an embedding gives any of its rows
dead        a Relu that was 0 for all of the calibration data gets the size of what came in, not an empty range
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.clamps import clamp_bounds, clamped_result
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant_input, is_lookup
from vlac.ops import BY_NAME
from vlac.quantize.handed_on import hands_on
from vlac.quantize.insert_qdq import Operand, Range, Ranges

__all__ = ["Levels", "Winners", "competing", "levels", "settle_ranges"]

Winners = Mapping[str, tuple["Levels", bool]]

_KNOWN: dict[str, Range] = {
    "Sigmoid": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "ScatterElements": (0.0, 1.0),  # gates
    "Tanh": (-1.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Erf": (-1.0, 1.0),
    "Sin": (-1.0, 1.0),
    "Cos": (-1.0, 1.0),
}
_NEAR, _TIMES = 8.0, 4.0  # bounds up to 8, or 4 times what was seen, are those of an activation
_FAINT = 1 / 8  # of what can be: data that stays below is a small part of it, of which 8 bits would leave a few steps
_SHARES = {"Softmax", "LogSoftmax"}
_ORDERS = {"ArgMax", "ArgMin", "TopK"}
_LARGEST = {*_SHARES, "ArgMax", "TopK", "ReduceMax", "MaxPool", "GlobalMaxPool"}
_LEAST = {"ArgMin", "ReduceMin"}
_COMPARES = {"GlobalMaxPool", "ReduceMax", "ReduceMin"}  # as MaxPool, with a scale of their own
_NEVER, _HUGE = 1e3, float(np.finfo(np.float32).max)
_GAP = 16.0  # a gap this many times the size of all values above it separates those that never win
_STEPS = 32
_SHARE = 16.0  # e^-16: what is this far under the largest has no share of a Softmax


@dataclass(frozen=True)
class Levels:
    """The range of the values that can win a comparison."""

    low: float
    high: float

    def joined(self, other: Levels) -> Levels:
        """Both sets of values."""
        return Levels(min(self.low, other.low), max(self.high, other.high))


def competing(model: ir.Model, values: Collection[ir.Value]) -> dict[ir.Value, bool]:
    """Values that are only compared: True where the largest wins, else the least."""
    found = {value: _winner(value) for value in values}
    return {value: wins for value, wins in found.items() if wins is not None}


def _winner(value: ir.Value) -> bool | None:
    """Whether everything that reads a value, through what only moves it, looks for the largest (or the least)."""
    if value.is_graph_output():
        return None
    kinds: set[bool | None] = set()
    for node in value.consumers():
        if node.op_type in _LARGEST or node.op_type in _LEAST:
            kinds.add(node.op_type in _LARGEST)
        elif node.domain in ("", "ai.onnx") and node.op_type in _VIEWS:
            kinds.add(_winner(node.outputs[0]))
        else:
            kinds.add(None)
    return kinds.pop() if len(kinds) == 1 else None


_VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"}


def levels(array: NDArray[np.float32], largest: bool) -> tuple[Levels, bool]:
    """The values of one sample that can win, and whether a gap separates them from others.

    `array` is negated where the least wins, and so is what is returned.
    """
    values = np.clip(array if largest else -array, -_HUGE, _HUGE)
    if values.min() > -_NEVER:
        return Levels(float(values.min()), float(values.max())), False
    values = np.unique(values).astype(np.float64)
    size = np.maximum(np.abs(values[1:]), abs(values[-1]))  # of all values above each gap
    wide = np.flatnonzero((np.diff(values) > _GAP * np.maximum(size, 1.0)) & (values[:-1] < -_NEVER))
    first = wide[-1] + 1 if len(wide) else 0
    return Levels(float(values[first]), float(values[-1])), bool(len(wide))


def settle_ranges(model: ir.Model, observed: Mapping[str, Range], winners: Winners) -> Ranges:
    """The ranges to quantize with.

    Args:
        observed: by name of each float value; also of values in front of a Relu or Clip.
        winners: by name of values that a mask went into, where the others lie, and whether the largest wins.
    """
    ranges = _passed_on(model, observed)
    operands: dict[Operand, Range] = {}
    for node in model.graph:
        for value in node.outputs:
            if value.name in ranges:
                ranges[value.name] = _settled(node, value, ranges, winners)
    for node in reversed(list(model.graph)):
        operands |= _cut_operands(node, ranges)
    return Ranges(ranges, operands)


def _passed_on(model: ir.Model, observed: Mapping[str, Range]) -> dict[str, Range]:
    """The observed ranges; that of a value which only comparisons and moves read is that of their results."""
    ranges = dict(observed)
    for node in reversed(list(model.graph)):
        for value in node.outputs:
            readers = value.consumers()
            if value.name not in ranges or value.is_graph_output() or not all(_passes(r, value) for r in readers):
                continue
            found = [ranges.get(result.name or "") for reader in readers for result in reader.outputs]
            parts = [part for part in found if part is not None]
            if parts and len(parts) == len(found):
                ranges[value.name or ""] = min(p[0] for p in parts), max(p[1] for p in parts)
    return ranges


def _passes(node: ir.Node, value: ir.Value) -> bool:
    if node.domain not in ("", "ai.onnx") or node.inputs[0] is not value or list(node.inputs).count(value) > 1:
        return False
    return node.op_type in _COMPARES or (node.op_type in BY_NAME and hands_on(node))


def _settled(node: ir.Node, value: ir.Value, ranges: Mapping[str, Range], winners: Winners) -> Range:
    name = value.name or ""
    low, high = ranges[name]
    if name in winners:
        return _cut(node, ranges[name], *winners[name])
    bounds = clamp_bounds(node)
    table = constant_input(node, 0) if is_lookup(node) else None
    if table is not None and table.size:
        return float(table.min()), float(table.max())
    if node.op_type in _KNOWN:
        least, most = _KNOWN[node.op_type]
        reach = max(-low, high)
        times = 1.0 if reach == 0 or reach >= _FAINT else _TIMES * reach
        return least * times, most * times
    if bounds is not None and np.max(np.abs(bounds)) <= max(_NEAR, _TIMES * max(abs(low), abs(high))):
        return bounds
    if node.op_type == "Concat":
        parts = [ranges[v.name] for v in node.inputs if v is not None and v.name in ranges]
        return min([low, *(p[0] for p in parts)]), max([high, *(p[1] for p in parts)])
    if bounds is not None and low == high == 0:
        return _alive(node, bounds, ranges)
    source = node.inputs[0] if node.inputs else None
    if source is not None and source.name in ranges and _stays_inside(node):
        return ranges[source.name or ""]
    return low, high


def _stays_inside(node: ir.Node) -> bool:
    """Whether results have their input's range: moved values, and averages that ONNX Runtime counts otherwise than
    ONNX says (windows that are cut short or dilated), so that what it observed may be too narrow.
    """
    if node.op_type == "AveragePool":
        return bool(attribute(node, "ceil_mode", 0)) or any(d != 1 for d in attribute(node, "dilations", ()))
    return node.op_type in BY_NAME and node.domain in ("", "ai.onnx") and hands_on(node)


def _alive(node: ir.Node, bounds: Range, ranges: Mapping[str, Range]) -> Range:
    """A range for a clamp that gave 0 only: up to its bounds, or to the size of what came in."""
    source = node.inputs[0]
    size = max(np.abs(ranges.get(source.name or "", (0.0, 0.0)))) if source is not None else 0.0
    return max(bounds[0], -float(size)), min(bounds[1], float(size))


def _cut(node: ir.Node, seen: Range, wins: Levels, largest: bool) -> Range:
    """The range of the values that can win, with room under them for those that cannot.

    A maximum needs no room; an ArgMax must tell them apart; what is at the end of the range has no share of a Softmax.
    """
    readers = {n.op_type for n in _readers(node.outputs[0])}
    room = 0.0
    if readers & _ORDERS:
        room = (wins.high - wins.low) / 4 or max(1.0, abs(wins.high))
    if readers & _SHARES:
        room = max(room, _SHARE)
    low, high = wins.low - room, wins.high
    return (max(low, seen[0]), high) if largest else (-high, min(-low, seen[1]))


def _readers(value: ir.Value) -> list[ir.Node]:
    return [r for n in value.consumers() for r in ([n] if n.op_type not in _VIEWS else _readers(n.outputs[0]))]


def _cut_operands(node: ir.Node, ranges: dict[str, Range]) -> dict[Operand, Range]:
    """Operands of a sum only as far as the sum can tell: beyond, the result is at the end of its range in any case.

    Changes `ranges` of computed operands; returns those of constants.
    """
    if node.op_type not in ("Add", "Sub") or len(node.inputs) != 2:
        return {}
    seen = [_seen(node, i, ranges) for i in (0, 1)]
    if seen[0] is None or seen[1] is None or clamped_result(node.outputs[0]).name not in ranges:
        return {}
    low, high = ranges[clamped_result(node.outputs[0]).name or ""]
    if node.op_type == "Sub":  # a - b = a + (-b)
        seen[1] = (-seen[1][1], -seen[1][0])
    constants = {}
    for index, (own, other) in enumerate((seen, seen[::-1])):
        assert own is not None and other is not None
        room = (high - low + other[1] - other[0]) / _STEPS  # roundings must not bring it back into the range
        cut = max(own[0], min(low - other[1] - room, 0.0)), min(own[1], max(high - other[0] + room, 0.0))
        if index and node.op_type == "Sub":
            cut = (-cut[1], -cut[0])
        value = node.inputs[index]
        if value is not None and value.const_value is not None:
            constants[node_label(node), index] = cut
        elif value is not None and len(value.consumers()) == 1 and not value.is_graph_output():
            ranges[value.name or ""] = cut
    return constants


def _seen(node: ir.Node, index: int, ranges: Mapping[str, Range]) -> Range | None:
    value = node.inputs[index]
    array = constant_input(node, index)
    if array is not None and array.size:
        return float(array.min()), float(array.max())
    return ranges.get(value.name or "") if value is not None else None
