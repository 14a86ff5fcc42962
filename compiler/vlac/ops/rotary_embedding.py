"""RotaryEmbedding of heads side by side: two products with tables of cosines and sines, which all heads share."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8, INT16
from vla_isa.numerics import product_multipliers
from vlac.device.rotate import RotateOp
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute, constant_input, input_name, is_constant, shape_of

__all__ = ["SPEC"]

I64 = NDArray[np.int64]


def of_one_row_of_heads(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """x must be [1, length, channels], with a number of heads."""
    shape, heads = shape_of(node.inputs[0]), int(attribute(node, "num_heads", 0))
    ok = len(shape) == 3 and shape[0] == 1 and heads > 0 and shape[2] % (2 * heads) == 0
    return RuleResult(ok, f"shape {list(shape)} of {heads} heads")


def angles_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Cosines and sines must be constants, one row for each position, without position numbers."""
    computed = [input_name(node, i) for i in (1, 2) if not is_constant(node.inputs[i])]
    numbers = len(node.inputs) > 3 and node.inputs[3] is not None
    found = [f"computed {' and '.join(computed)}"] if computed else []
    return RuleResult(not computed and not numbers, " and ".join(found + (["position numbers"] if numbers else [])))


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x, out = low.operand(node, 0), low.result(node)
    heads = int(attribute(node, "num_heads", 1))
    d = x.c // heads
    rotated = int(attribute(node, "rotary_embedding_dim", 0)) or d
    first, second = _pairs(rotated, bool(attribute(node, "interleaved", 0)))
    rest = np.arange(rotated, d)
    halves = np.concatenate([first, rest[: len(rest) // 2]]), np.concatenate([second, rest[len(rest) // 2 :]])
    cos, sin = (_rows(node, i, x.w) for i in (1, 2))
    whole_cos, whole_sin = np.ones((x.w, d)), np.zeros((x.w, d))
    whole_cos[:, first], whole_cos[:, second] = cos, cos
    whole_sin[:, first], whole_sin[:, second] = -sin, sin
    name, label = out.tensor.name, out.tensor.label
    tables = [_table(f"{name}:{what}", v) for what, v in (("cos", whole_cos), ("sin", whole_sin))]
    part = Tensor(f"{name}:part", f"{label}:part", x.shape, x.scale / INT8.hi, 0, type=INT16)
    low.graph.insert(RotateOp(out.label, node.op_type, [x, tables[0]], part, heads, halves, False, 1, 0))
    step = x.scale / INT8.hi / out.tensor.scale
    mult, c_mult, c_shift, shift = product_multipliers(step, step)
    operands = [x, tables[1], part]
    low.graph.insert(
        RotateOp(out.label, node.op_type, operands, out.tensor, heads, halves, True, mult, shift, c_mult, c_shift)
    )


def _pairs(rotated: int, interleaved: bool) -> tuple[I64, I64]:
    """The channels of the first and second numbers of the pairs that are rotated."""
    numbers = np.arange(rotated)
    return (numbers[::2], numbers[1::2]) if interleaved else (numbers[: rotated // 2], numbers[rotated // 2 :])


def _rows(node: ir.Node, index: int, length: int) -> NDArray[np.float64]:
    given = constant_input(node, index)
    assert given is not None
    rows = given.reshape(-1, given.shape[-1]).astype(np.float64)
    return np.broadcast_to(rows, (length, rows.shape[1]))


def _table(name: str, values: NDArray[np.float64]) -> Tensor:
    """Numbers from -1 to 1 as int8."""
    q = INT8.cast(np.rint(values * INT8.hi))
    return Tensor(name, name, (1, *q.shape), 1 / INT8.hi, 0, constant=q[None])


SPEC = OpSpec(
    "RotaryEmbedding",
    "Two ROW: a product with cosines, and one with sines of the exchanged halves, to which it is added. Their tables "
    "are int8 and shared by all heads.",
    rules=(of_one_row_of_heads, angles_are_constant),
    lower=_lower,
)
