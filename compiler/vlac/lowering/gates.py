"""Gates of a token mixture as a chain of operations over the logits of all tokens.

    maximum (REDUCE) -> logit less maximum (ROW) -> exponent (ROW) -> those of the k largest alone (REDUCE, ROW, with
    sums) -> record of the sum (RECIP) -> share (ROW)

Of sigmoids: logit (ROW) -> sigmoid (ROW), and the same behind it; without shares no record. Where a constant row is
added for the choice, the largest are those of the sum (ROW). All are int16 in between.
Not here: which nodes are gates (`model/gates.py`).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vla_isa.generated.codes import RecipFunction, ReduceFunction, RowFunction, RowMode
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.reduce import REDUCE
from vla_isa.integer import INT8, INT16
from vla_isa.numerics import scale_to_multiplier
from vlac.device.recip import RecipOp
from vlac.device.reduce import ReduceOp, TopMaskOp
from vlac.device.row import RowOp
from vlac.ir.operation import Home, Tensor
from vlac.ir.records import UNIT, Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.quantized import Result, Traced
from vlac.lowering.rows import interpolate
from vlac.lowering.spec import RuleResult
from vlac.model.gates import Gates, gates_of
from vlac.model.reading import shape_of

__all__ = ["gates_fit", "lower_gates"]

_DEPTH = 12.0  # nats below the maximum that are told apart: e^-12 is nothing beside int8 gates


def gates_fit(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """A mixture must have at most {REDUCE[channels]} experts, of which at most {REDUCE[k]} are chosen."""
    gates = gates_of(node)
    assert gates is not None
    experts = shape_of(gates.logits)[-1]
    ok = experts <= REDUCE.limit("channels") and gates.k <= REDUCE.limit("k")
    return RuleResult(ok, f"{gates.k} of {experts} experts")


def lower_gates(low: LoweringContext, gates: Gates) -> None:
    """Add the operations."""
    node, graph = gates.nodes[-1], low.graph
    out = low.result(node)
    given = low.operand(gates.nodes[0], 0)
    shape = (math.prod(given.shape[:-1]), given.shape[-1])
    x = low.moved(node, given, shape, f"{out.tensor.name}:logits")
    name, op_type = out.label, node.op_type

    def tensor(what: str, shape: tuple[int, ...], scale: float, **more: object) -> Tensor:
        full, label = (f"{text}:{what}" for text in (out.tensor.name, out.tensor.label))
        return Tensor(full, label, shape, scale, 0, **more)  # type: ignore[arg-type]

    below = tensor("below", shape, _DEPTH / (INT16.hi + 1), type=INT16)
    nothing = np.zeros(0, np.int64)
    requant = Requant(nothing, nothing, nothing, 0, rounding=low.rounding)
    less = RowOp(name, op_type, [x], below, ("a",), RowFunction.LINEAR, requant)
    if not gates.scores:
        largest = tensor("maxima", (shape[0], 2), 1.0, home=Home.ITEMS)
        graph.insert(ReduceOp(name, op_type, [x], largest, ReduceFunction.MAX))
        less.inputs, less.roles, less.row_mode = [x, largest], ("a", "maxima"), RowMode.LESS
    less.a_mult, less.shift = scale_to_multiplier(float(np.float32(x.scale / below.scale)))
    graph.insert(less)
    exponents = tensor("exponents", shape, 1 / INT16.hi, type=INT16, with_items=not (gates.among or gates.scores))
    grid = np.arange(-128, 129) * 256 * below.scale
    points = (1 / (1 + np.exp(-grid)) if gates.scores else np.exp(np.minimum(grid, 0))).astype(np.float32)
    step = Result(exponents, INT16.lo, INT16.hi, name, low.rounding)
    interpolate(graph, node, Traced(below, points), step)
    compared = x
    if gates.bias is not None:
        row = gates.bias.const_value.numpy().astype(np.float64).reshape(-1)
        row = row - (row.min() + row.max()) / 2  # which are the largest stays the same
        compared = tensor("corrected", shape, (1 + np.abs(row).max()) / INT16.hi, type=INT16)
        steps = np.rint(row / exponents.scale).astype(np.int64)
        mult, shift = scale_to_multiplier(float(np.float32(exponents.scale / compared.scale)))
        added = Requant(steps, np.full(shape[1], mult), np.full(shape[1], shift), 0, rounding=low.rounding)
        graph.insert(RowOp(name, op_type, [exponents], compared, ("a",), RowFunction.CHANNEL, added))
    mask = tensor("mask", shape, 1.0)
    graph.insert(TopMaskOp(name, op_type, [compared], mask, gates.k))
    kept = tensor("kept", shape, exponents.scale, type=INT16, with_items=gates.among)
    product = RowOp(name, op_type, [exponents, mask], kept, ("a", "b"), RowFunction.MUL, requant)
    product.a_mult, product.shift = UNIT
    graph.insert(product)
    t = out.tensor
    made = t if t.shape == shape else t.like(f"{t.name}:rows", shape=shape)
    made = t if made.same_order(t) else made
    lo, hi = (out.lo, out.hi) if t.planes == 1 else (INT8.lo, INT8.hi)
    finish = Requant(nothing, nothing, nothing, t.zero_point, lo, hi, rounding=low.rounding)
    share = RowOp(name, op_type, [kept], made, ("a",), RowFunction.LINEAR, finish)
    if gates.among or not gates.scores:
        records = tensor("records", (shape[0], 3), 1.0, home=Home.ITEMS)
        k = scale_to_multiplier(float(INT16.hi))
        sums = kept if gates.among else exponents
        graph.insert(RecipOp(name, op_type, [sums], records, RecipFunction.RECIPROCAL, *k))
        share.inputs, share.roles, share.row_mode, share.row_k = [kept, records], ("a", "rows"), RowMode.RECORD, 1
    share.a_mult, share.shift = scale_to_multiplier(float(np.float32(1 / INT16.hi / t.scale)))
    graph.insert(share)
    if made is not t:
        low.layout(node, [made], np.arange(math.prod(t.shape)), t)
