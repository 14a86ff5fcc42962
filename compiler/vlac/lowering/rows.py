"""ROW, REDUCE and RECIP for what works on rows of int16: changes of scale, sums, gates, functions and norms.

Not here: attention (`attention.py`), which operators these are (`ops/`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.generated.codes import RecipFunction, ReduceFunction, RowFunction, RowMode, RowTable
from vla_isa.integer import INT8, INT16
from vla_isa.numerics import make_steps, product_multipliers, scale_to_multiplier, two_multipliers
from vlac.device.recip import RecipOp
from vlac.device.reduce import ReduceOp
from vlac.device.row import RowOp
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Tensor
from vlac.ir.records import UNIT, Requant
from vlac.lowering.quantized import Result, Traced
from vlac.model.labels import node_label

__all__ = ["Norm", "add_wide", "interpolate", "is_wide", "lower_norm", "multiply_wide", "norm_step", "rescale"]

F64 = NDArray[np.float64]
_NOTHING = np.zeros(0, np.int64)
_LARGEST_BIAS = float(1 << 30)


def is_wide(*tensors: Tensor) -> bool:
    """Whether one of them is int16."""
    return any(t.planes == 2 for t in tensors)


def _result(node: ir.Node, out: Result) -> Requant:
    """How ROW finishes a result: clamp and zero point of int8; int16 has none."""
    t = out.tensor
    if t.planes == 2 and (out.lo, out.hi) != (INT16.lo, INT16.hi):
        raise UnsupportedError(
            [f"{node.op_type} '{node_label(node)}': a Relu or Clip of an int16 result is not there yet"]
        )
    lo, hi = (out.lo, out.hi) if t.planes == 1 else (INT8.lo, INT8.hi)
    return Requant(_NOTHING, _NOTHING, _NOTHING, t.zero_point, lo, hi, rounding=out.rounding)


# --- changes of scale, sums, products ---------------------------------------------------------------------


def rescale(graph: Graph, node: str, op_type: str, x: Tensor, out: Tensor, lo: int, hi: int) -> None:
    """`out` is `x` in another scale or type, clamped."""
    ratio = np.float32(x.scale) / np.float32(out.scale)
    op = RowOp.scaled(node, op_type, x, out, *scale_to_multiplier(float(ratio)))
    if out.planes == 1:
        op.requant.lo, op.requant.hi = lo, hi
    graph.insert(op)


def _around_zero(graph: Graph, node: str, op_type: str, x: Tensor) -> Tensor:
    """`x` itself, or the same numbers as int16 with zero point 0."""
    if x.zero_point == 0:
        return x
    name = f"{x.name}:wide"
    out = Tensor(name, f"{x.label}:wide", x.shape, x.scale, 0, type=INT16)
    if x.constant is not None:
        out.constant = INT16.cast(x.constant.astype(np.int64) - x.zero_point)
        return out
    graph.insert(RowOp.scaled(node, op_type, x, out, *UNIT))
    return out


def add_wide(graph: Graph, node: ir.Node, a: Tensor, c: Tensor, out: Result) -> None:
    """a + c, where `c` may be one row for all; `a` is as large as the result."""
    c = _around_zero(graph, out.label, node.op_type, c)
    step = float(np.float32(out.tensor.scale))
    a_mult, c_mult, shift = two_multipliers(a.scale / step, c.scale / step)
    requant = _result(node, out)
    op = RowOp(out.label, node.op_type, [a, c], out.tensor, ("a", "c"), RowFunction.LINEAR, requant)
    op.a_mult, op.c_mult, op.shift = a_mult, c_mult, shift
    graph.insert(op)


def multiply_wide(graph: Graph, node: ir.Node, a: Tensor, b: Tensor, out: Result) -> None:
    """a * b, where `b` may be one row for all."""
    if b.planes == 2 and b.zero_point:
        raise AssertionError("an int16 has zero point 0")
    a_mult, _, _, shift = product_multipliers(a.scale * b.scale / out.tensor.scale, 0.0)
    requant = _result(node, out)
    op = RowOp(out.label, node.op_type, [a, b], out.tensor, ("a", "b"), RowFunction.MUL, requant)
    op.a_mult, op.shift = a_mult, shift
    graph.insert(op)


# --- functions --------------------------------------------------------------------------------------------


def interpolate(graph: Graph, node: ir.Node, f: Traced, out: Result, factor: F64 | None = None) -> None:
    """A function of an int16 tensor, times `factor` [C] where it is given; rounded once."""
    table, step = _lines(f)
    requant = _result(node, out)
    function, row = (RowFunction.LINEAR, RowFunction.CHANNEL)[factor is not None], out.tensor
    op = RowOp(out.label, node.op_type, [f.x], row, ("a",), function, requant, table_mode=RowTable.IN16, table=table)
    if factor is None:
        op.a_mult, op.shift = scale_to_multiplier(float(np.float32(step / row.scale)))
    else:
        sizes = (np.abs(factor) * step / row.scale).astype(np.float32)
        mult, shift = np.array([scale_to_multiplier(float(v)) if v else (0, 0) for v in sizes], np.int64).T
        requant.bias, requant.mult, requant.shift = np.zeros_like(mult), np.where(factor < 0, -mult, mult), shift
    graph.insert(op)


def _lines(f: Traced) -> tuple[NDArray[np.int16], float]:
    """The table of a function between 257 points, and the unit of its results."""
    values = f.values.astype(np.float64)
    largest = max(np.abs(values).max(), np.abs(np.diff(values)).max())
    step = float(largest) / INT16.hi if largest else 1.0
    return make_steps(lambda _: values, f.x.scale, step), step


# --- norms ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Norm:
    """A norm over the channels: float64 [D] gamma and beta, epsilon, and whether the mean is taken off."""

    gamma: F64
    beta: F64
    epsilon: float
    centred: bool


def norm_step(channels: int) -> float:
    """The unit of a normalized int16 of D channels: the largest power of two with which sqrt(D) does not saturate."""
    return float(2.0 ** np.ceil(np.log2(np.sqrt(channels)))) / (INT16.hi + 1)


def lower_norm(graph: Graph, node: ir.Node, x: Tensor, out: Result, norm: Norm, groups: int = 1) -> None:
    """Moments of each pixel, their root as a record, and one ROW that normalizes and scales.

    With `groups` each pixel's channels are so many heads side by side, each normalized by itself.
    """
    name, d = out.label, x.c // groups
    items = _items(out.tensor, "moments", (x.w, 2 * groups), groups)
    function = ReduceFunction.MOMENTS if norm.centred else ReduceFunction.SQUARES
    graph.insert(ReduceOp(name, node.op_type, [x], items, function, groups))
    records = _items(out.tensor, "records", (x.w, 3 * groups), groups)
    step = norm_step(d)
    k = (1.0 if norm.centred else np.sqrt(d)) / step
    add = round(norm.epsilon / float(x.scale) ** 2 * (d * d if norm.centred else d))
    if add >= 1 << 56:
        text = f"epsilon {norm.epsilon:g} is {add} in units of its input's scale {x.scale:g}, more than 2^56"
        raise UnsupportedError([f"{node.op_type} '{node_label(node)}': {text}; is its input all zeros in calibration?"])
    mult, shift = scale_to_multiplier(k)
    graph.insert(
        RecipOp(name, node.op_type, [items], records, RecipFunction.RSQRT, mult, shift, add, centred=norm.centred)
    )
    requant = _channels(node, norm, step, out)
    graph.insert(
        RowOp(
            name,
            node.op_type,
            [x, records],
            out.tensor,
            ("a", "rows"),
            RowFunction.CHANNEL,
            requant,
            RowMode.RECORD,
            row_k=d if norm.centred else 1,
            groups=groups,
        )
    )


def _items(like: Tensor, what: str, shape: tuple[int, ...], groups: int) -> Tensor:
    name, label = (f"{text}:{what}" for text in (like.name, like.label))
    return Tensor(name, label, shape, 1.0, 0, home=Home.ITEMS, groups=groups)


def _channels(node: ir.Node, norm: Norm, step: float, out: Result) -> Requant:
    """Records of gamma * n + beta for n in units of `step`.

    A gamma that is too small beside its beta is made larger, until the bias fits: what n then adds is less than
    2^-15 of beta.
    """
    least = np.abs(norm.beta) / (_LARGEST_BIAS * step)
    sign = np.where(norm.gamma < 0, -1.0, 1.0)
    gamma = sign * np.maximum(np.abs(norm.gamma), least)
    bias = np.rint(np.divide(norm.beta, gamma * step, out=np.zeros_like(gamma), where=gamma != 0)).astype(np.int64)
    pairs = [scale_to_multiplier(float(v)) for v in (np.abs(gamma) * step / out.tensor.scale).astype(np.float32)]
    mult, shift = np.array(pairs, np.int64).T
    plain = _result(node, out)
    plain.bias, plain.mult, plain.shift = bias, np.where(sign < 0, -mult, mult), shift
    return plain
