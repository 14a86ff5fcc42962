"""Gather: a choice of channels, rows or pixels by constant indices; rows by numbers of the host."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.gather import GATHER
from vla_isa.numerics import quantize
from vlac.device.gather import GatherOp, PickOp, StepRowOp
from vlac.errors import UnsupportedError
from vlac.ir.operation import Home, Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.host_graph import is_of_inputs
from vlac.lowering.layout import layout_operator
from vlac.lowering.spec import RuleResult
from vlac.model.carried import repeat_of
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant_input, dtype_of, expert_choice, input_name, is_constant, shape_of

__all__ = ["SPEC"]

_SMALL = 8192  # bytes of a table of rows by the number of the run that stays on chip for all runs
_LAYOUT = layout_operator("Gather")


def indices_are_known(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Indices must be constants, or the data a constant table [V, D] of at most {GATHER[table_rows]} rows, on axis 0,
    and the indices integers of the model's inputs, from the end where they are below 0, or an ArgMax's. One number may
    choose weights and biases of Conv, Gemm and MatMul among those of several experts, and numbers of the model's inputs
    rows of one computed sequence.
    """
    if is_constant(node.inputs[1]) or expert_choice(node.outputs[0]) is not None or _picks_rows(node):
        return RuleResult(True, "")
    shape, fixed = shape_of(node.inputs[0]), is_constant(node.inputs[0])
    ok = fixed and len(shape) == 2 and not attribute(node, "axis", 0) and shape[0] <= GATHER.limit("table_rows")
    ok = ok and dtype_of(node.inputs[1]) in ("int32", "int64")
    kind = "constant" if fixed else "computed"
    return RuleResult(ok, f"computed input 1 {input_name(node, 1)} of {kind} data {list(shape)}")


def _picks_rows(node: ir.Node) -> bool:
    """Whether it takes rows of a computed [length, channels], or [1, ...], by numbers of the model's inputs."""
    shape = shape_of(node.inputs[0])
    rows = (
        len(shape) in (2, 3)
        and math.prod(shape[:-2]) == 1
        and attribute(node, "axis", 0) % len(shape) == len(shape) - 2
    )
    integers = dtype_of(node.inputs[1]) in ("int32", "int64") and len(shape_of(node.inputs[1])) < 2
    return rows and integers and not is_constant(node.inputs[0]) and is_of_inputs(node.inputs[1])


def _pick_rows(low: LoweringContext, node: ir.Node, numbers: ir.Value) -> None:
    out, x, length = low.result(node).tensor, low.operand(node, 0), shape_of(node.inputs[0])[-2]
    if not x.same_scale(out):
        scaled = out.like(f"{out.name}:scaled", shape=x.shape)
        low.requantized(x, scaled, node_label(node), node.op_type)
        x = scaled
    items = low.item_input(low.host.numbers[numbers], math.prod(shape_of(numbers)), numbers.name, length)
    low.graph.insert(PickOp(node_label(node), node.op_type, [x, items], out))


def _lower(low: LoweringContext, node: ir.Node) -> None:
    numbers = node.inputs[1]
    if expert_choice(node.outputs[0]) is not None:
        return  # a part of the layers that read it
    if is_constant(numbers):
        assert _LAYOUT.lower is not None
        _LAYOUT.lower(low, node)
        return
    if numbers is None or (numbers not in low.host.numbers and numbers not in low.items):
        text = f"its indices {input_name(node, 1)} must be of the model's inputs, or an ArgMax's"
        raise UnsupportedError([f"Gather '{node_label(node)}': {text}"])
    if not is_constant(node.inputs[0]):
        _pick_rows(low, node, numbers)
        return
    out, table = low.result(node).tensor, constant_input(node, 0)
    assert table is not None
    name = f"{out.name}:table"
    q = quantize(table.astype(np.float32), out.scale, out.zero_point, kind=out.stored)
    rows = Tensor(name, name, table.shape, out.scale, out.zero_point, constant=q, type=out.type, home=Home.TABLE)
    counter = repeat_of(low.model).counter
    if counter is not None and _moved_from(numbers) is counter:
        if q.nbytes <= _SMALL:
            rows.home = Home.MATRIX
        low.graph.insert(StepRowOp(node_label(node), node.op_type, [rows], out))
        return
    if numbers in low.items:
        low.graph.insert(GatherOp(node_label(node), node.op_type, [low.items[numbers], rows], out))
        return
    items = low.item_input(low.host.numbers[numbers], math.prod(shape_of(numbers)), numbers.name, len(table))
    low.graph.insert(GatherOp(node_label(node), node.op_type, [items, rows], out))


def _moved_from(value: ir.Value) -> ir.Value:
    """What a number is, in another shape or type."""
    node = value.producer()
    while node is not None and node.op_type in ("Reshape", "Unsqueeze", "Squeeze", "Cast", "Identity"):
        source = node.inputs[0]
        assert source is not None
        value, node = source, source.producer()
    return value


SPEC = replace(
    _LAYOUT,
    summary=f"{_LAYOUT.summary} Rows by indices of the model's inputs: GATHER.",
    rules=(indices_are_known,),
    lower=_lower,
)
