"""Functions of one int8 tensor: a 256-entry table, computed from float functions. Shared by their operator files.

A float value that lies between a DequantizeLinear and a QuantizeLinear and depends on one int8 tensor and
scalar constants only is *traced*: its 256 values travel from node to node, and where it is quantized they become
one table; of an int16 tensor 257 values, and lines between them. So x * Sigmoid(x), the Erf and Tanh forms of Gelu
and the like cost one table and one rounding.

Outside its domain (Log of a negative number) a function takes its value at the nearest input inside; infinite
values saturate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.vec import VEC
from vla_isa.integer import INT8
from vla_isa.numerics import clamp, quantize
from vlac.device.vec import VecOp
from vlac.ir.geometry import geometry, is_image
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.quantized import Result, Traced
from vlac.lowering.rows import interpolate
from vlac.lowering.spec import F32, OpSpec, RuleResult
from vlac.model.clamps import clamp_bounds
from vlac.model.reading import constant, shape_of

__all__ = [
    "F64",
    "TABLE",
    "defined",
    "elementary",
    "erf",
    "fits",
    "largest_width",
    "lower_function",
    "lower_table",
    "same_values",
    "several",
    "unary",
]

F64 = NDArray[np.float64]

TABLE = "A table of 256 entries, in the layer before it or in VEC."


def fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """A tensor must have at most {VEC[out_h]} rows of {VEC[out_w]} pixels of {VEC[out_blocks]} blocks of {block}
    channels; one that is no image [1, C, H, W] has its last axis as channels and the others as pixels.
    """
    shape = shape_of(node.outputs[0])
    h, w, c = geometry(shape)
    blocks = -(-c // hw.block)
    pixels = blocks if h == w == 1 else w  # a vector's words follow each other in one row
    ok = h <= VEC.limit("out_h") and pixels <= VEC.limit("out_w")
    ok = ok and (h == w == 1 or blocks <= VEC.limit("out_blocks"))
    return RuleResult(ok, f"shape {list(shape)}")


def largest_width(hw: HardwareConfig) -> int:
    """Channels of a tensor of several pixels, at most."""
    return VEC.limit("out_blocks") * hw.block


def unary(name: str, function: Callable[[ir.Node, F32], Any], *, note: str = "") -> OpSpec:
    """The spec of an operator that is a table of `function`, which takes a node and its float32 operand."""

    def as_float32(node: ir.Node, x: F32) -> F32:
        with np.errstate(all="ignore"):
            return np.asarray(function(node, x), np.float32)

    def lower(low: LoweringContext, node: ir.Node) -> None:
        value = node.inputs[0]
        if name in ("Relu", "Clip") and value is not None and value not in low.traced:
            low.moved_operand(node)
        if not lower_table(low, node, partial(as_float32, node), operands=1):
            low.operand(node, 0)  # says what is not quantized

    return OpSpec(name, f"{TABLE} {note}".strip(), rules=(fits,), lower=lower, function=as_float32)


def elementary(name: str, function: Callable[[F64], Any], *, note: str = "") -> OpSpec:
    """The spec of an operator without attributes whose `function` is computed in float64."""
    return unary(name, lambda node, x: function(x.astype(np.float64)), note=note)


def erf(x: F64) -> F64:
    """The error function of each element."""
    return np.array([math.erf(v) for v in np.ravel(x)], np.float64).reshape(np.shape(x))


def several(function: Callable[..., Any]) -> Callable[..., F32]:
    """An OpSpec's `function` from a float32 function of the operands alone."""

    def as_float32(node: ir.Node, *operands: F32) -> F32:
        with np.errstate(all="ignore"):
            return np.asarray(function(*operands), np.float32)

    return as_float32


def lower_table(low: LoweringContext, node: ir.Node, function: Callable[..., Any], operands: int | None = None) -> bool:
    """Trace a node, or add the table that its traced value ends in; False where it is no function of one tensor.

    Args:
        function: the float32 operands in order, each a scalar or [256], to the result.
        operands: how many inputs are operands (the others are parameters that `function` knows); None for all.
    """
    found: list[Tensor] = []
    arrays: list[Any] = []
    for value in list(node.inputs)[:operands]:
        known = None if value is None else constant(value)
        if known is not None and known.size == 1:
            arrays.append(np.float32(known.reshape(-1)[0]))
            continue
        traced = _trace(low, value, wide=operands == 1)
        if traced is None or not same_values(shape_of(value), shape_of(node.outputs[0])):
            return False
        found.append(traced.x)
        arrays.append(traced.values)
    if len(set(map(id, found))) != 1:
        return False
    with np.errstate(all="ignore"):
        points = max(np.size(a) for a in arrays)
        values = np.broadcast_to(np.asarray(function(*arrays), np.float32), (points,))
    if _stays_float(node.outputs[0]):
        low.traced[node.outputs[0]] = Traced(found[0], values)
    else:
        _add_table(low, node, found[0], values)
    return True


def lower_function(low: LoweringContext, node: ir.Node, function: Callable[..., F32]) -> None:
    """`lower_table` of an operator that has no other form; `function` is an OpSpec's.

    Raises:
        UnsupportedError: an operand is not quantized.
    """
    if not lower_table(low, node, partial(function, node)):
        for index in range(len(node.inputs)):
            low.operand(node, index)  # says what is not quantized


def same_values(shape: tuple[int, ...], out: tuple[int, ...]) -> bool:
    """Whether nothing is broadcast and the device sees both shapes alike: equal, or no images and leading axes of 1."""
    images = is_image(shape) or is_image(out)
    return shape == out or (not images and (1,) * (len(out) - len(shape)) + shape == out)


def _trace(low: LoweringContext, value: ir.Value | None, *, wide: bool) -> Traced | None:
    if value is None:
        return None
    if value in low.traced:
        return low.traced[value]
    x = low.values.get(value)
    if x is None or x.constant is not None or (x.planes != 1 and not wide):
        return None
    if x.planes == 2:
        return Traced(x, (np.arange(INT8.lo, INT8.hi + 2) * 256 * x.scale).astype(np.float32))
    q = np.arange(INT8.lo, INT8.hi + 1, dtype=np.float32)
    return Traced(x, ((q - np.float32(x.zero_point)) * np.float32(x.scale)).astype(np.float32))


def _stays_float(value: ir.Value) -> bool:
    """Whether a value goes on to another node before it is quantized (a Relu or Clip that ends in Q does not count)."""
    users = list(dict.fromkeys(value.consumers()))
    if value.is_graph_output() or not users or any(u.op_type == "QuantizeLinear" for u in users):
        return False
    if len(users) == 1 and clamp_bounds(users[0]) is not None:
        return _stays_float(users[0].outputs[0])
    return True


def _add_table(low: LoweringContext, node: ir.Node, x: Tensor, values: F32) -> None:
    out, values = low.result(node), defined(values, x.zero_point)
    if x.planes == 2:
        interpolate(low.graph, node, Traced(x, values), out)
        return
    if out.tensor.planes == 2:
        _add_widened(low, node, x, values, out)
        return
    table = quantize(values, out.tensor.scale, out.tensor.zero_point, out.rounding)
    table = INT8.cast(clamp(table, out.lo, out.hi))
    low.graph.insert(VecOp.identity(out.label, node.op_type, x, out.tensor, table))


def _add_widened(low: LoweringContext, node: ir.Node, x: Tensor, values: F32, out: Result) -> None:
    """A table whose result is int16: of int8, as tables are and as what it is a function of is, then in its scale."""
    t = out.tensor
    real = np.clip(values, out.lo * t.scale, out.hi * t.scale)
    scale = float(np.float32(max(float(np.abs(real).max()) / INT8.hi, t.scale)))
    narrow = Tensor(f"{t.name}:table", f"{t.label}:table", t.shape, scale, 0)
    table = INT8.cast(clamp(quantize(real, scale, 0, out.rounding), INT8.lo, INT8.hi))
    low.graph.insert(VecOp.identity(out.label, node.op_type, x, narrow, table))
    low.requantized(narrow, t, out.label, node.op_type)


def defined(values: F32, zero_point: int) -> NDArray[np.float32]:
    """Fill what is not a number from the nearest entry that is one, from the side of zero where two are as near."""
    known = np.flatnonzero(~np.isnan(values))
    if known.size in (0, values.size):
        return np.where(np.isnan(values), np.float32(0), values)
    index = np.arange(values.size)
    distance = np.abs(index[:, None] - known) + 1e-3 * np.abs(known - zero_point + INT8.lo)
    filled: F32 = values[known[distance.argmin(axis=1)]]
    return filled
