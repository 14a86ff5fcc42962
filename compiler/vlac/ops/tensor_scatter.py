"""TensorScatter: rows written into a cache at a position that the model's inputs say (ONNX, opset 24)."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.scatter import ScatterOp
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.host_graph import is_of_inputs
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant, input_name, is_constant, shape_of

__all__ = ["SPEC"]

I64 = NDArray[np.int64]


def of_one_sequence(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The cache must be of batch 1, and no constant."""
    shape, fixed = shape_of(node.inputs[0]), is_constant(node.inputs[0])
    return RuleResult(shape[0] == 1 and not fixed, f"{'constant' if fixed else 'shape'} {list(shape)}")


def position_is_known(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The position must be a constant, or computed of the model's inputs alone, by functions that the host has."""
    ok = len(node.inputs) < 3 or is_of_inputs(node.inputs[2])
    return RuleResult(ok, "" if ok else f"computed position {input_name(node, 2)}")


def _lower(low: LoweringContext, node: ir.Node) -> None:
    shape, count = shape_of(node.inputs[0]), shape_of(node.inputs[1])
    axis = attribute(node, "axis", -2) % len(shape)
    out = low.result(node).tensor
    cache, rows = (_rows(low, node, i, axis, out) for i in (0, 1))
    written = out.like(f"{out.name}:rows", shape=cache.shape)
    circular = attribute(node, "mode", "linear") == "circular"
    numbers = _numbers(low, node, shape[axis], count[axis], circular)
    low.graph.insert(ScatterOp(node_label(node), node.op_type, [cache, rows, numbers], written))
    low.layout(node, [written], np.argsort(_by_rows(shape, axis)), out)


def _by_rows(shape: tuple[int, ...], axis: int) -> I64:
    """The element of each element of [shape[axis], the others]."""
    return np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, 0).reshape(-1)


def _rows(low: LoweringContext, node: ir.Node, index: int, axis: int, out: Tensor) -> Tensor:
    """An operand in the result's scale, with the axis as pixels and all others as channels."""
    x, shape = low.operand(node, index), shape_of(node.inputs[index])
    if not x.same_scale(out):
        scaled = out.like(f"{out.name}:{index}", shape=shape)
        low.requantized(x, scaled, node_label(node), node.op_type)
        x = scaled
    length = shape[axis]
    rows = x.like(f"{x.name}:rows", shape=(1, length, math.prod(shape) // length))
    return low.layout(node, [x], _by_rows(shape, axis), rows)


def _numbers(low: LoweringContext, node: ir.Node, length: int, count: int, circular: bool) -> Tensor:
    """Items: the position and those that follow it."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    key = ("rows", value, length, count, circular)
    if key not in low.shared:
        host, fixed = low.host, np.zeros(1, np.int64) if value is None else constant(value)
        given = host.constant(fixed.astype(np.int64)) if fixed is not None else host.numbers[value]
        first = host.cast(given, "int64", (1,))
        steps = host.constant(np.arange(count))
        numbers = host.add("Add", (first, steps), (count,), "int64")
        if circular:
            numbers = host.add("Mod", (numbers, host.constant(np.array(length))), (count,), "int64")
        low.shared[key] = low.item_input(numbers, count, None if value is None else value.name)
    return low.shared[key]


SPEC = OpSpec(
    "TensorScatter",
    "Rows written into the cache: GATHER. A cache that is an input and that nothing else reads is written in place. "
    "The machine stops where a row is behind the cache's end.",
    rules=(of_one_sequence, position_is_known),
    lower=_lower,
)
