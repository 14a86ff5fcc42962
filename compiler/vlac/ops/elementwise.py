"""Two operands element by element: shared by Add and Mul.

A scalar constant makes a table; otherwise VEC reads the second operand as a tensor or as one row for all
pixels. Not here: the add fused into a convolution (`legalize/fuse_residual`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import scale_to_multiplier
from vlac.ir.graph import Tensor, VecOp
from vlac.ops.quantized import Result, node_label
from vlac.ops.spec import RuleResult, constant_input, shape_of
from vlac.ops.unary import lower_function
from vlac.ops.weights import multipliers

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["add_multipliers", "lower_binary", "operands_match"]

Scalar = Callable[[np.ndarray, np.float32], np.ndarray]


def operands_match(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Operands must have the same shape; one of them may be a constant, or hold one value per channel."""
    shapes = [shape_of(v) for v in node.inputs]
    out = shape_of(node.outputs[0])
    ok = len(out) <= 4 and (len(out) < 4 or out[0] == 1) and any(s == out for s in shapes)
    for index, shape in enumerate(shapes):
        fixed = constant_input(node, index) is not None
        ok = ok and (shape == out or fixed or _is_row(shape, out))
    return RuleResult(ok, " and ".join(str(list(s)) for s in shapes))


def _is_row(shape: tuple[int, ...], out: tuple[int, ...]) -> bool:
    """One value per channel of `out`."""
    full = (1,) * (len(out) - len(shape)) + shape
    if len(out) == 4:
        return full == (1, out[1], 1, 1)
    return bool(out) and full == (*(1,) * (len(out) - 1), out[-1])


def _with_scalar(scalar: Scalar, number: np.float32, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return scalar(x, number)


def lower_binary(low: Lowering, node: ir.Node, scalar: Scalar, function: str) -> None:
    """Add the operation for `function` ("add" or "mul"); `scalar` is the float function with a scalar operand."""
    for index in (0, 1):
        value = constant_input(node, index)
        if value is not None and value.size == 1:
            number = np.float32(value.reshape(-1)[0])
            lower_function(low, node, low.operand(node, 1 - index), partial(_with_scalar, scalar, number))
            return
    a, b = (low.operand(node, i) for i in (0, 1))
    out_shape = shape_of(node.outputs[0])
    if a.shape != out_shape or a.constant is not None:
        a, b = b, a
    if b.constant is not None:
        b = _arranged(b, out_shape)
    out = low.result(node)
    where = f"{node.op_type} '{node_label(node)}'"
    if function == "add":
        ma, mb, shift = add_multipliers(a, b, out, where)
    else:
        scale = np.float32(np.float32(np.float32(a.scale) * np.float32(b.scale)) / np.float32(out.tensor.scale))
        mult, shifts = multipliers(np.array([scale]), where)
        ma, mb, shift = int(mult[0]), 0, int(shifts[0])
    low.graph.ops.append(
        VecOp(
            out.label, node.op_type, [a, b], out.tensor, function, ma, mb, shift, out.tensor.zero_point, out.lo, out.hi
        )
    )


def _arranged(b: Tensor, out: tuple[int, ...]) -> Tensor:
    """A constant operand as one row for all pixels, or expanded to the whole shape."""
    assert b.constant is not None
    full = (1,) * (len(out) - len(b.shape)) + b.shape
    data = b.constant.reshape(full)
    if not _is_row(full, out):
        data = np.ascontiguousarray(np.broadcast_to(data, out))
    return Tensor(b.name, b.label, data.shape, b.scale, b.zero_point, constant=data, unsigned=b.unsigned)


def add_multipliers(a: Tensor, b: Tensor, out: Result, where: str) -> tuple[int, int, int]:
    """Multipliers of a sum with one shift: the larger is normalised, the other rounded to its shift."""
    ratios = np.array([a.scale, b.scale], np.float32) / np.float32(out.tensor.scale)
    multipliers(ratios, where)
    _, shift = scale_to_multiplier(float(ratios.max()))
    ma, mb = (int(np.rint(np.float64(r) * 2.0**shift)) for r in ratios)
    return ma, mb, shift
