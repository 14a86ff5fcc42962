"""Operators that only rearrange values: one lowering for all, by running the operator on numbers (`model/rearranged`).

`legalize/layout_ops` then finds the cheapest way to rearrange them. Integers stay as they are.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.spec import OpSpec, Rule, RuleResult
from vlac.model.reading import input_name, is_constant, shape_of
from vlac.model.rearranged import evaluated

__all__ = ["arguments_are_constant", "layout_operator", "lower_layout"]

I64 = NDArray[np.int64]


def arguments_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """All inputs but the first must be constants."""
    computed = [i for i, v in enumerate(node.inputs) if i and v is not None and not is_constant(v)]
    return RuleResult(not computed, " and ".join(f"computed input {i} {input_name(node, i)}" for i in computed))


def layout_operator(name: str, rules: tuple[Rule, ...] = (arguments_are_constant,)) -> OpSpec:
    """The spec of an operator that rearranges values; without rules where it has one input only."""

    def lower(low: LoweringContext, node: ir.Node) -> None:
        lower_layout(low, node, evaluated(node))

    text = "No instruction where bytes can be read in place; else COPY, or a 0/1 matrix."
    return OpSpec(name, text, rules, lower, keeps_scale=True)


def lower_layout(low: LoweringContext, node: ir.Node, indices: list[I64], fill: float = 0.0) -> None:
    """A LayoutOp per output; a table where the model changes the scale; `fill` is a real value.

    The table comes first, as what is filled is in the new scale; last where nothing moves, and behind a model input,
    which the host packs.
    """
    x = low.moved_operand(node)
    for number, (out, index) in enumerate(zip(node.outputs, indices, strict=False)):
        target, label = low.passthrough(node, number)
        name = out.name or label
        plain = x.like(name, label=name, shape=shape_of(out))
        scaled = target is not None and (target.scale, target.zero_point) != (x.scale, x.zero_point)
        if target is None or not scaled:
            moved = low.layout(node, [x], index, target or plain, fill)
        elif (index >= 0).all() and (x in low.graph.inputs or _stays(x, target, index)):
            low.requantized(low.layout(node, [x], index, plain), target, label, node.op_type)
            moved = target
        else:
            name = f"{target.name}:scaled"
            source = target.like(name, shape=x.shape)
            low.requantized(x, source, label, node.op_type)
            moved = low.layout(node, [source], index, target, fill)
        low.values[out] = moved
        for user in out.consumers():
            if user.op_type == "QuantizeLinear":
                low.values[user.outputs[0]] = moved


def _stays(x: Tensor, out: Tensor, index: I64) -> bool:
    return x.same_order(out) and np.array_equal(index, np.arange(len(index)))
