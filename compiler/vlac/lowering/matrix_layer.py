"""A matrix times constant weights as GEMM: shared by MatMul and Gemm.

An int16 operand is two of int8, x = 257 high + low, so that one product is two with the same weights, each rounded to
int16, the second of which adds the first as its residual:

    high (ROW) -> low (ROW) -> W low (GEMM) -> W high + W low (GEMM) -> for an int8 its scale, or a Relu (ROW)

The larger product comes last: only there the sum saturates, at its own ends. Where terms cancel, as behind a large
offset, `W low` may be larger than the result: both are then in a scale that holds it, and a ROW makes the result's. It
loses nothing that is there: a step of it is a 256th of what the steps of x sum up to. 257, not 256: 127 * 257 + 127
reaches the ends of int16 but for a step; of all values, one in 257 (a `low` of +128) loses its last step. The integer
bias is split the same way, so that it is as fine as the operand.
Not here: the experts a number chooses (`experts.py`), whose operand is int8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.generated.codes import RowFunction
from vla_isa.integer import INT8, INT16
from vla_isa.numerics import scale_to_multiplier
from vlac.device.gemm import GemmOp
from vlac.device.row import RowOp
from vlac.errors import UnsupportedError
from vlac.ir.operation import Tensor
from vlac.ir.records import Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.experts import insert_layer
from vlac.lowering.quantized import Result, Traced
from vlac.lowering.rows import interpolate
from vlac.lowering.spec import F32
from vlac.lowering.weights import Weights, read_weights, requant_of
from vlac.model.labels import node_label
from vlac.model.reading import constant, expert_choice

__all__ = ["lower_matrix"]

I64 = NDArray[np.int64]
_STEP = 257  # of the high part, in units of the low one
_FINER = 128  # an int16 in front of an int8 result: twice the result's range, in so many steps each


def lower_matrix(
    low: LoweringContext,
    node: ir.Node,
    x: Tensor,
    out: Result,
    made: Tensor,
    axis: int,
    turned: Callable[[NDArray[np.int8]], NDArray[np.int8]],
    alpha: float = 1.0,
    beta: float = 1.0,
) -> None:
    """Add the layer, or one for each of its experts.

    Args:
        x: input 0 as rows of K.
        out: the result; `made` is its tensor as rows of N.
        axis: of the output channels in the weight, input 1.
        turned: the weight's integers as [N, K].
        alpha, beta: Gemm's.

    Raises:
        UnsupportedError: an int16 operand of experts, or an int16 result with a Clip.
    """

    ends = made.stored.lo, made.stored.hi
    relu = made.planes == 2 and (out.lo, out.hi) == (0, ends[1])
    if made.planes == 2 and not relu and (out.lo, out.hi) != ends:
        raise UnsupportedError([f"{node.op_type} '{node_label(node)}': a Clip of an int16 result is not there yet"])
    target = _sum(made, made.scale) if relu else made
    result = Result(target, *ends, out.label, out.rounding) if relu else replace(out, tensor=target)

    def shaped(weights: Weights) -> Weights:
        matrix = turned(weights.values)
        return Weights(matrix, weights.scales[: len(matrix)])

    def product(source: Tensor, given: Weights, bias: F32 | None, to: Result) -> GemmOp:
        weights = shaped(given)
        records = requant_of(node, source, weights, bias, to, alpha, beta)
        return GemmOp(out.label, node.op_type, [source], to.tensor, weights.values, records)

    def reach(given: Weights) -> float:
        weights = shaped(given)  # and of the bias, less than a step of the high part
        sums = 1 + np.abs(weights.values.reshape(len(weights.values), -1).astype(np.int64)).sum(axis=1)
        return float((sums * weights.scales.astype(np.float64)).max() * abs(alpha) * x.scale * -INT8.lo)

    if x.planes == 1:
        insert_layer(low, node, axis, lambda weights, bias: product(x, weights, bias, result))
    else:
        _insert_halves(low, node, x, result, axis, product, reach)
    if relu:
        points = np.maximum(np.arange(INT8.lo, INT8.hi + 2) * 256 * target.scale, 0).astype(np.float32)
        interpolate(low.graph, node, Traced(target, points), replace(result, tensor=made))


def _insert_halves(
    low: LoweringContext,
    node: ir.Node,
    x: Tensor,
    out: Result,
    axis: int,
    product: Callable[[Tensor, Weights, F32 | None, Result], GemmOp],
    reach: Callable[[Weights], float],
) -> None:
    """The products of the parts of an int16 operand, in an int16 that holds that of the low part, of up to `reach`."""
    if expert_choice(node.inputs[1]) is not None:
        text = f"its operand '{x.label}' is int16, and its weights are chosen among experts'; quantize it to int8"
        raise UnsupportedError([f"{node.op_type} '{node_label(node)}': {text}"])
    made = out.tensor
    weights, array = read_weights(node, 1, axis), constant(node.inputs[2]) if len(node.inputs) > 2 else None
    least, own = reach(weights) / INT16.hi, made.scale if made.planes == 2 else made.scale / _FINER
    total = made if made.planes == 2 and least <= own else _sum(made, max(least, own))
    part = total.like(f"{total.name}:part", label=f"{total.label}:part")
    high, rest = _halves(low, node, x)
    fine, coarse = (
        product(source, weights, bias, Result(tensor, INT16.lo, INT16.hi, out.label, out.rounding))
        for source, bias, tensor in (
            (rest, None if array is None else array.astype(np.float32), part),
            (high, None, total),
        )
    )
    coarse.requant.bias = np.rint(fine.requant.bias / _STEP).astype(np.int64)
    fine.requant.bias = fine.requant.bias - _STEP * coarse.requant.bias
    coarse.inputs.append(part)
    for op in (fine, coarse):
        op.halved = True
        low.graph.insert(op)
    if total is not made:
        low.requantized(total, made, out.label, node.op_type, out.lo, out.hi)


def _sum(made: Tensor, scale: float) -> Tensor:
    """The int16 in front of a result: of a Relu, of an int8, for twice whose range it is, or of terms that cancel."""
    return Tensor(f"{made.name}:sum", f"{made.label}:sum", made.shape, float(np.float32(scale)), 0, type=INT16)


def _halves(low: LoweringContext, node: ir.Node, x: Tensor) -> tuple[Tensor, Tensor]:
    """The int8 parts of an int16, made once however many layers read it."""
    key = ("halves", x)
    if key not in low.shared:
        label, op_type = node_label(node), node.op_type
        high = Tensor(f"{x.name}:high", f"{x.label}:high", x.shape, float(np.float32(x.scale * _STEP)), 0)
        rest = Tensor(f"{x.name}:low", f"{x.label}:low", x.shape, x.scale, 0)
        low.graph.insert(RowOp.scaled(label, op_type, x, high, *scale_to_multiplier(1 / _STEP)))
        name = f"{x.name}:minus"
        minus = Tensor(name, name, (1, x.c), 1.0, 0, constant=np.full((1, x.c), -1, INT8.dtype))
        nothing = np.zeros(0, np.int64)
        op = RowOp(
            label,
            op_type,
            [high, minus, x],
            rest,
            ("a", "b", "c"),
            RowFunction.MUL,
            Requant(nothing, nothing, nothing, 0),
            a_mult=_STEP,
            c_mult=1,
        )
        low.graph.insert(op)
        low.shared[key] = high
        low.shared[(*key, "low")] = rest
    return low.shared[key], low.shared[(*key, "low")]
