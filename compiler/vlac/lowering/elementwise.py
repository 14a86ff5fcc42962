"""Two operands element by element: shared by Add, Sub, Mul, Div, Max, Min, Sum and Mean.

Functions of one tensor and scalars are tables (`unary`); otherwise VEC reads the second operand as a tensor or as
one row for all pixels. Not here: the add fused into a convolution (`legalize/fuse_residual`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from vla_isa.generated.codes import Rounding
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vla_isa.numerics import scale_to_multiplier
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.device.vec import VecOp
from vlac.errors import UnsupportedError
from vlac.ir.geometry import is_image
from vlac.ir.operation import Op, Tensor
from vlac.ir.records import UNIT, Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.quantized import Result
from vlac.lowering.rows import add_wide, interpolate, is_wide, multiply_wide
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.unary import fits, lower_table, same_values, several
from vlac.lowering.weights import multipliers
from vlac.model.labels import node_label
from vlac.model.reading import constant_input, shape_of

__all__ = ["VEC", "add_multipliers", "binary", "operand_pair", "operands_match", "product_multiplier"]

VEC = "VEC; a table where one operand is a scalar constant."

Shape = tuple[int, ...]


def operands_match(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Operands must have the same shape; one of them may be a constant that is spread, or hold one value in all,
    per channel or per pixel.
    """
    out = shape_of(node.outputs[0])
    shapes = [shape_of(v) for v in node.inputs]
    fixed = [constant_input(node, i) is not None for i in range(len(shapes))]
    ok = any(same_values(s, out) and not f for s, f in zip(shapes, fixed, strict=True))
    ok = ok and all(f or same_values(s, out) or _spread(s, out) is not None for s, f in zip(shapes, fixed, strict=True))
    return RuleResult(ok, " and ".join(str(list(s)) for s in shapes))


def at_most_two(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must have at most two operands (a float model's are taken two by two)."""
    return RuleResult(len(node.inputs) <= 2, f"{len(node.inputs)} operands")


def _spread(shape: Shape, out: Shape) -> str | None:
    """How an operand is spread over `out`: "row" (per channel), "column" (per pixel), "scalar", or None."""
    full = (1,) * (len(out) - len(shape)) + shape
    image = is_image(out)
    if all(d == 1 for d in full):
        return "scalar"
    if full == ((1, out[1], 1, 1) if image else (*(1,) * (len(out) - 1), out[-1])):
        return "row"
    if shape == ((1, 1, *out[2:]) if image else (*out[:-1], 1)):
        return "column"
    return None


def binary(name: str, scalar: Callable[..., Any], function: str, *, variadic: bool = False) -> OpSpec:
    """The spec of an operator that is a VEC `function`; `scalar` is the same function of float32 arrays.

    `variadic`: whether ONNX lets it have more than two operands.
    """
    table = several(scalar)

    def lower(low: LoweringContext, node: ir.Node) -> None:
        if not lower_table(low, node, partial(table, node)) and not (function == "mul" and _lower_lines(low, node)):
            _lower_pair(low, node, function)

    rules = (at_most_two, fits, operands_match) if variadic else (fits, operands_match)
    return OpSpec(name, VEC, rules, lower, function=table)


def _lower_pair(low: LoweringContext, node: ir.Node, function: str) -> None:
    for index in range(len(node.inputs)):
        low.operand(node, index)  # says what is not quantized
    a, b, swapped = operand_pair(low, node)
    out = low.result(node)
    where = f"{node.op_type} '{node_label(node)}'"
    if is_wide(a, b, out.tensor):
        _lower_wide(low, node, (a, b), out, function)
        return
    if function == "mul":
        (ma, shift), mb = product_multiplier(a, b, out.tensor, where), 0
    else:
        ma, mb, shift = add_multipliers(a, b, out.tensor, where, 2 if node.op_type == "Mean" else 1)
    zero, lo, hi, table = out.tensor.zero_point, out.lo, out.hi, None
    if function == "sub" and swapped and out.rounding != Rounding.NEAREST_EVEN:
        raise UnsupportedError(
            [f"{where}: subtracting from a constant or a smaller operand rounds to nearest even only"]
        )
    if function == "sub" and swapped:
        # b - a: VEC computes a - b around the zero point -1 - z, and the table -1 - q turns it round exactly
        table = INT8.cast(np.clip(np.arange(INT8.hi, INT8.lo - 1, -1), lo, hi))
        zero, lo, hi = -1 - zero, INT8.lo, INT8.hi
    low.graph.insert(VecOp(out.label, node.op_type, [a, b], out.tensor, function, ma, mb, shift, zero, lo, hi, table))


def _lower_lines(low: LoweringContext, node: ir.Node) -> bool:
    """A function of an int16 tensor times one constant row as one operation, where it is that."""
    at = next((i for i, v in enumerate(node.inputs) if v in low.traced), None)
    f = None if at is None else low.traced[node.inputs[at]]
    if at is None or f is None or f.x.planes != 2:
        return False
    row = low.operand(node, 1 - at)
    if row.constant is None or row.shape != shape_of(node.outputs[0])[-1:]:
        return False
    interpolate(low.graph, node, f, low.result(node), (row.constant.astype(np.float64) - row.zero_point) * row.scale)
    return True


def _lower_wide(
    low: LoweringContext, node: ir.Node, operands: tuple[Tensor, Tensor], out: Result, function: str
) -> None:
    """A sum or product with an int16 among operands and result."""
    if function not in ("add", "mul") or node.op_type not in ("Add", "Sum", "Mul"):
        raise UnsupportedError([f"{node.op_type} '{node_label(node)}': of int16 there are Add and Mul only, so far"])
    (add_wide if function == "add" else multiply_wide)(low.graph, node, *operands, out)


# --- operands -------------------------------------------------------------------------------------------


def operand_pair(low: LoweringContext, node: ir.Node) -> tuple[Tensor, Tensor, bool]:
    """The operand of the result's shape, the other one as VEC reads it, and whether they changed places."""
    shape = shape_of(node.outputs[0])
    a, b = (low.operand(node, i) for i in (0, 1))
    swapped = a.constant is not None or not same_values(shape_of(node.inputs[0]), shape)
    if swapped:
        a, b = b, a
    return a, _arranged(low, node, b, shape), swapped


def _arranged(low: LoweringContext, node: ir.Node, b: Tensor, out: Shape) -> Tensor:
    """The second operand as a tensor of the shape `out`, or as one row for all pixels."""
    full = (1,) * (len(out) - len(b.shape)) + b.shape
    spread = None if full == out else _spread(b.shape, out)
    if b.constant is not None:
        data = b.constant.reshape(full)
        if spread == "scalar" and is_wide(b) and not is_image(out):  # ROW takes one row for all pixels
            data = np.ascontiguousarray(np.broadcast_to(data, (1,) * (len(out) - 1) + out[-1:]))
        elif spread != "row":
            data = np.ascontiguousarray(np.broadcast_to(data, out))
        return b.like(b.name, shape=data.shape, constant=data)
    if spread is None:
        return b
    image = is_image(out)
    channels = out[1] if image else out[-1]
    if spread == "row":
        row = (1, channels, 1, 1) if image else full
        return low.moved(node, b, row, f"{b.name}:row")
    if spread == "scalar":
        b = low.moved(node, b, (1,), f"{b.name}:scalar")
        return _repeated(low, node, b, (1, channels, 1, 1) if image else (1,) * (len(out) - 1) + (channels,))
    return _repeated(low, node, b, out)


def _repeated(low: LoweringContext, node: ir.Node, b: Tensor, shape: Shape) -> Tensor:
    """`b`, which has one channel, with that channel repeated to `shape`: a product with ones, exact."""
    out = b.like(f"{b.name}:repeated{len(low.graph.ops)}", shape=shape)
    n = out.c
    mult, shift = (np.full(n, v, np.int64) for v in UNIT)
    requant = Requant(np.full(n, -b.zero_point, np.int64), mult, shift, b.zero_point)
    ones = np.ones((n, 1), np.int8)
    where = f"{node_label(node)}:repeat"
    op: Op
    if b.h == 1 and out.h == 1:
        op = GemmOp(where, node.op_type, [b], out, ones, requant)
    else:
        op = ConvOp(where, node.op_type, [b], out, ones.reshape(n, 1, 1, 1), requant, (1, 1), (1, 1), (0, 0))
    low.graph.insert(op)
    return out


# --- scales ---------------------------------------------------------------------------------------------


def add_multipliers(a: Tensor, b: Tensor, out: Tensor, where: str, share: int = 1) -> tuple[int, int, int]:
    """Multipliers of (a + b) / share with one shift: the larger is normalised, the other rounded to its shift."""
    ratios = np.array([a.scale, b.scale], np.float32) / np.float32(out.scale) / np.float32(share)
    multipliers(ratios, where)
    _, shift = scale_to_multiplier(float(ratios.max()))
    ma, mb = (int(np.rint(np.float64(r) * 2.0**shift)) for r in ratios)
    return ma, mb, shift


def product_multiplier(a: Tensor, b: Tensor, out: Tensor, where: str) -> tuple[int, int]:
    """Multiplier and shift of a * b."""
    scale = np.float32(np.float32(np.float32(a.scale) * np.float32(b.scale)) / np.float32(out.scale))
    mult, shifts = multipliers(np.array([scale]), where)
    return int(mult[0]), int(shifts[0])
