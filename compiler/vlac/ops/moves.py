"""Operators that only move values: one lowering for all, by running the operator on numbers.

The ONNX reference evaluator moves the numbers 1, 2, 3, ... instead of the values, which says where each output
element comes from; `legalize/moves` then finds the cheapest way to do that. Integers are moved as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from vla_isa.hardware import HardwareConfig
from vlac.ir.graph import Tensor
from vlac.ops.spec import OpSpec, Rule, RuleResult, constant_input, input_name, is_constant, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["arguments_are_constant", "evaluated", "lower_move", "mover", "strided_slices"]

I64 = NDArray[np.int64]
Shape = tuple[int, ...]


def arguments_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """All inputs but the first must be constants."""
    computed = [i for i, v in enumerate(node.inputs) if i and v is not None and not is_constant(v)]
    return RuleResult(not computed, " and ".join(f"computed input {i} {input_name(node, i)}" for i in computed))


def mover(name: str, rules: tuple[Rule, ...] = (arguments_are_constant,)) -> OpSpec:
    """The spec of an operator that moves values; without rules where it has one input only."""

    def lower(low: Lowering, node: ir.Node) -> None:
        lower_move(low, node, evaluated(node))

    text = "No instruction where bytes can be read in place; else COPY, or a 0/1 matrix."
    return OpSpec(name, text, rules, lower, moves=True)


def evaluated(node: ir.Node, fill_input: int | None = None) -> list[I64]:
    """For each output, the input element of each of its elements (flat), -1 where `fill_input` gives the value."""
    shape = shape_of(node.inputs[0])
    feeds, names = {}, []
    for i, value in enumerate(node.inputs):
        names.append("" if value is None else f"i{i}")
        if value is not None and i:
            found = constant_input(node, i)
            feeds[names[i]] = np.zeros_like(found, np.int64) if i == fill_input else found
    feeds[names[0]] = np.arange(1, math.prod(shape) + 1).reshape(shape)
    proto = ir.to_proto(node)
    del proto.input[:]
    proto.input.extend(names)
    infos = [helper.make_tensor_value_info(n, TensorProto.INT64, None) for n in names if n]
    outs = [helper.make_tensor_value_info(n, TensorProto.INT64, None) for n in proto.output]
    graph = node.graph
    version = graph.opset_imports.get("", 17) if isinstance(graph, ir.Graph) else 17
    model = helper.make_model(
        helper.make_graph([proto], "moved", infos, outs), opset_imports=[helper.make_opsetid("", version)]
    )
    return [np.asarray(r).reshape(-1).astype(np.int64) - 1 for r in ReferenceEvaluator(model).run(None, feeds)]


def strided_slices(node: ir.Node) -> list[tuple[Shape, Shape, Shape]] | None:
    """For each result of a node that moves values: starts, steps and sizes along the axes of its input, or None.

    None where a result is not made of the elements at steady steps along every axis.
    """
    if any(v is not None and not is_constant(v) for v in node.inputs[1:]):
        return None
    shape, found = shape_of(node.inputs[0]), []
    for index in evaluated(node):
        places = [np.unique(i, return_index=True) for i in np.unravel_index(index, shape)]
        axes = [values[np.argsort(first)] for values, first in places]  # in the order of their first use
        steps = [int(a[1] - a[0]) if len(a) > 1 else 1 for a in axes]
        steady = all(np.array_equal(a, a[0] + step * np.arange(len(a))) for a, step in zip(axes, steps, strict=True))
        if not steady or not np.array_equal(np.ravel_multi_index(np.ix_(*axes), shape).reshape(-1), index):
            return None
        found.append((tuple(int(a[0]) for a in axes), tuple(steps), tuple(len(a) for a in axes)))
    return found


def lower_move(low: Lowering, node: ir.Node, indices: list[I64], fill: float = 0.0) -> None:
    """A MoveOp per output; a table where the model changes the scale; `fill` is a real value.

    The table comes first, as what is filled is in the new scale; last where nothing moves, and behind a model input,
    which the host packs.
    """
    x = low.moved_operand(node)
    for number, (out, index) in enumerate(zip(node.outputs, indices, strict=False)):
        target, label = low.passthrough(node, number)
        name = out.name or label
        plain = Tensor(name, name, shape_of(out), x.scale, x.zero_point, unsigned=x.unsigned)
        scaled = target is not None and (target.scale, target.zero_point) != (x.scale, x.zero_point)
        if target is None or not scaled:
            moved = low.move(node, [x], index, target or plain, fill)
        elif (index >= 0).all() and (x in low.graph.inputs or _stays(x, target, index)):
            low.requantized(low.move(node, [x], index, plain), target, label, node.op_type)
            moved = target
        else:
            name = f"{target.name}:scaled"
            source = Tensor(name, target.label, x.shape, target.scale, target.zero_point, unsigned=target.unsigned)
            low.requantized(x, source, label, node.op_type)
            moved = low.move(node, [source], index, target, fill)
        low.values[out] = moved
        for user in out.consumers():
            if user.op_type == "QuantizeLinear":
                low.values[user.outputs[0]] = moved


def _stays(x: Tensor, out: Tensor, index: I64) -> bool:
    return x.same_order(out) and np.array_equal(index, np.arange(len(index)))
