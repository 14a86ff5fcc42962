"""RotaryEmbedding of heads side by side: two products with tables of cosines and sines, which all heads share.

What is multiplied into the tables (YaRN, LongRoPE) sets their unit.
"""

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
from vlac.lowering.host_bounds import bound_of
from vlac.lowering.host_graph import is_of_inputs
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute, constant, constant_input, input_name, is_constant, shape_of

__all__ = ["SPEC"]

I64 = NDArray[np.int64]
_NEAR = 0.75


def of_rows_of_heads(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """x must be [batch, length, channels], with a number of heads, each of an even number of channels."""
    shape, heads = shape_of(node.inputs[0]), int(attribute(node, "num_heads", 0))
    ok = len(shape) == 3 and heads > 0 and shape[2] % (2 * heads) == 0
    width = f", {shape[2] / heads:g} channels each" if len(shape) == 3 and heads > 0 else ""
    return RuleResult(ok, f"shape {list(shape)} of {heads} heads{width}")


def angles_are_known(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Cosines and sines must be constants or computed of the model's inputs alone, one row for each position, without
    position numbers.
    """
    computed = [input_name(node, i) for i in (1, 2) if not is_of_inputs(node.inputs[i])]
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
    name, label = out.tensor.name, out.tensor.label
    unit = _largest(node, whole=rotated == d) / INT8.hi
    if all(is_constant(v) for v in node.inputs[1:3]):
        tables = _constant_tables(node, x, d, (first, second), unit)
    else:
        tables = [_computed_table(low, node, i, (x.w, d), (first, second), unit) for i in (1, 2)]
    part = Tensor(f"{name}:part", f"{label}:part", x.shape, x.scale * unit, 0, type=INT16)
    low.graph.insert(RotateOp(out.label, node.op_type, [x, tables[0]], part, heads, halves, False, 1, 0))
    step = x.scale * unit / out.tensor.scale
    mult, c_mult, c_shift, shift = product_multipliers(step, step)
    operands = [x, tables[1], part]
    low.graph.insert(
        RotateOp(out.label, node.op_type, operands, out.tensor, heads, halves, True, mult, shift, c_mult, c_shift)
    )


def _largest(node: ir.Node, *, whole: bool) -> float:
    """The largest number that the tables are to hold; 1 where that is near, or where some channels stay as they are."""
    bounds = [bound_of(v) for v in node.inputs[1:3]]
    largest = max(1.0 if b is None else b for b in bounds)
    return largest if largest > 1 or (whole and 0 < largest < _NEAR) else 1.0


def _pairs(rotated: int, interleaved: bool) -> tuple[I64, I64]:
    """The channels of the first and second numbers of the pairs that are rotated."""
    numbers = np.arange(rotated)
    return (numbers[::2], numbers[1::2]) if interleaved else (numbers[: rotated // 2], numbers[rotated // 2 :])


def _constant_tables(node: ir.Node, x: Tensor, d: int, pairs: tuple[I64, I64], unit: float) -> list[Tensor]:
    """Cosines and signed sines of all channels of a head."""
    first, second = pairs
    cos, sin = (_rows(node, i, x.w) for i in (1, 2))
    whole_cos, whole_sin = np.ones((x.w, d)), np.zeros((x.w, d))
    whole_cos[:, first], whole_cos[:, second] = cos, cos
    whole_sin[:, first], whole_sin[:, second] = -sin, sin
    name = node.outputs[0].name
    return [_table(f"{name}:{what}", v, unit) for what, v in (("cos", whole_cos), ("sin", whole_sin))]


def _computed_table(
    low: LoweringContext, node: ir.Node, index: int, size: tuple[int, int], pairs: tuple[I64, I64], unit: float
) -> Tensor:
    """The same from the host: a product with a matrix that says which pair and sign a channel has."""
    rows, d = size
    value, count = node.inputs[index], len(pairs[0])
    assert value is not None
    key = ("angles", value, index, rows, d, unit, *(tuple(p.tolist()) for p in pairs))
    if key not in low.shared:
        host = low.host
        spread = np.zeros((count, d), np.float32)
        spread[np.arange(count), pairs[0]] = 1 if index == 1 else -1
        spread[np.arange(count), pairs[1]] = 1
        fixed = constant(value)
        given = host.numbers[value] if fixed is None else host.constant(fixed)
        flat = host.add("Reshape", (host.cast(given, "float32", host.shape(given)),), (rows, count), "float32")
        found = host.add("MatMul", (flat, host.constant(spread)), (rows, d), "float32")
        if index == 1 and 2 * count < d:  # channels that are not turned
            still = np.zeros(d, np.float32)
            still[np.setdiff1d(np.arange(d), np.concatenate(pairs))] = 1
            found = host.add("Add", (found, host.constant(still)), (rows, d), "float32")
        shape = (1, rows, d)
        name = f"{value.name}:{'cos' if index == 1 else 'sin'}"
        tensor = Tensor(name, name, shape, unit, 0)
        low.taken(tensor, host.add("Reshape", (found,), shape, "float32"), value.name)
        low.shared[key] = tensor
    return low.shared[key]


def _rows(node: ir.Node, index: int, length: int) -> NDArray[np.float64]:
    given = constant_input(node, index)
    assert given is not None
    rows = given.reshape(-1, given.shape[-1]).astype(np.float64)
    return np.tile(rows, (length // len(rows), 1))


def _table(name: str, values: NDArray[np.float64], unit: float) -> Tensor:
    """Numbers of at most 127 units as int8."""
    q = INT8.cast(np.rint(values / unit))
    return Tensor(name, name, (1, *q.shape), unit, 0, constant=q[None])


SPEC = OpSpec(
    "RotaryEmbedding",
    "Two ROW: a product with cosines, and one with sines of the exchanged halves, to which it is added; one, of pairs, "
    "where a Gemm makes heads of at most a channel block and the tables are constants. Tables are int8 and shared by "
    "all heads; the host computes them where they depend on the model's inputs.",
    rules=(of_rows_of_heads, angles_are_known),
    lower=_lower,
)
