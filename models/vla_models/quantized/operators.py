"""The operators that a quantized policy computes and learns through, as the compiler lowers them.

Layers, sums and products of two tensors, averages, maxima, moves, and every operator that works element by element on
one tensor (a table). The batch is axis 0, which is 1 in the graph.

Not here: where values are rounded and in which scales (`graph.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vla_isa.numerics import requantize_scale, scales_to_multipliers
from vla_models.errors import PolicyError
from vla_models.quantized.rounding import integers_through, requantized
from vla_models.quantized.values import Codes, Function, Unrounded, Value, function_of, rounded
from vlac.ir.operation import Tensor
from vlac.lowering.elementwise import add_multipliers, product_multiplier
from vlac.lowering.pooling import average_records, window
from vlac.model.clamps import clamp_bounds
from vlac.model.labels import node_label, value_label
from vlac.model.reading import attribute, constant, constant_input, pads4, pair, shape_of
from vlac.ops import BY_NAME
from vlac.quantize.parameters import Scale, least_weight_scale, quantize_bias, quantize_weight

__all__ = ["Weights", "compute", "refusal", "refuse"]

F32 = NDArray[np.float32]
Weights = Mapping[str, torch.Tensor]
_IMAGE = 4  # axes of [1, C, H, W]


@dataclass(frozen=True)
class _Context:
    """One node with its computed operands, while it is computed; `exact` as in `rounding.py`."""

    node: ir.Node
    operands: Sequence[Value | None]  # None: a constant
    weights: Weights
    exact: bool

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.exact else torch.float32

    def codes(self, index: int) -> Codes:
        value = self.operands[index]
        assert isinstance(value, Codes), f"{node_label(self.node)} reads what is not rounded"
        return value

    def shaped(self, x: torch.Tensor) -> torch.Tensor:
        """With the result's shape behind the batch."""
        return x.reshape(len(x), *shape_of(self.node.outputs[0])[1:])

    def rescaled(self, total: torch.Tensor, records: Callable[[Scale], tuple[Any, Any]]) -> Unrounded:
        """A sum that is multiplied by (mult, shift) of the result's scale when it is rounded."""

        def round_to(scale: Scale, lo: int, hi: int) -> torch.Tensor:
            mult, shift = (np.asarray(v, np.int64) for v in records(scale))
            return requantized(total, mult, shift, scale.zero_point, lo, hi, exact=self.exact)

        return Unrounded(round_to)


def compute(node: ir.Node, operands: Sequence[Value | None], weights: Weights, *, exact: bool) -> Value:
    """The result of a node from its operands, None for a constant."""
    context = _Context(node, operands, weights, exact)
    bounds = clamp_bounds(node)
    if bounds is not None and isinstance(operands[0], Unrounded):
        return operands[0].clamped(*bounds)
    found = _function(context)
    return found if found is not None else _OPERATORS[node.op_type](context)


def refusal(node: ir.Node) -> str | None:
    """Why a node cannot be learned through, or None."""
    spec = BY_NAME.get(node.op_type)
    batch = [shape_of(v)[:1] for v in (*node.inputs, *node.outputs) if v is not None and constant(v) is None]
    if any(first != (1,) for first in batch):
        return "its batch, axis 0, is not 1"
    if node.op_type in _OPERATORS:
        return _LIMITS[node.op_type](node) if node.op_type in _LIMITS else None
    if spec is None or spec.function is None:
        return "there is no gradient for it"
    return None if _is_unary(node) else "it is no function of one tensor"


def _is_unary(node: ir.Node) -> bool:
    values = node.inputs[:1] if node.op_type == "Clip" else node.inputs
    computed = {v for v in values if v is not None and constant(v) is None}
    others = [constant(v) for v in values if v is not None and constant(v) is not None]
    return len(computed) == 1 and all(c is not None and c.size == 1 for c in others)


# --- functions of one tensor ----------------------------------------------------------------------------


def _function(c: _Context) -> Function | None:
    """A table, where a node works element by element on one tensor and scalars."""
    spec = BY_NAME[c.node.op_type]
    if spec.function is None:
        return None
    inputs = list(c.node.inputs)[: 1 if c.node.op_type in ("Relu", "Clip") else None]
    sources: list[Codes] = []
    arrays: list[Any] = []
    for value, operand in zip(inputs, c.operands, strict=False):
        known = constant(value)
        found = None if operand is None else function_of(operand)
        if found is not None:
            sources.append(found.x)
            arrays.append(found.values)
        elif known is not None and known.size == 1:
            arrays.append(np.float32(known.reshape(-1)[0]))
        else:
            return None
    if len({id(x) for x in sources}) != 1:
        return None
    return Function(sources[0], np.broadcast_to(np.asarray(spec.function(c.node, *arrays), np.float32), (256,)))


# --- layers ---------------------------------------------------------------------------------------------


def _layer(c: _Context, axis: int) -> tuple[torch.Tensor, torch.Tensor | None, F32]:
    """Integers of weight and bias, and the scales of the weight along `axis`."""
    scale, inputs = c.codes(0).scale.scale, c.node.inputs
    weight = c.weights[inputs[1].name or ""]
    bias = c.weights[inputs[2].name or ""] if len(inputs) > 2 and inputs[2] is not None else None
    array = weight.detach().cpu().numpy()
    least = None if bias is None else least_weight_scale(bias.detach().cpu().numpy(), scale)
    q, scales = quantize_weight(array, axis, least)
    unit = torch.from_numpy(scales).to(weight).reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    integers = integers_through(weight / unit, q).to(c.dtype)
    if bias is None:
        return integers, None, scales
    whole, units = quantize_bias(bias.detach().cpu().numpy(), scale, scales)
    # the compiler reads the bias as DequantizeLinear gives it, and divides it by the same float32
    whole = np.rint((whole.astype(np.float32) * units).astype(np.float64) / units.astype(np.float64))
    real = bias.to(torch.float64) / torch.from_numpy(units.astype(np.float64)).to(bias.device)
    return integers, integers_through(real, whole).to(c.dtype), scales


def _conv(c: _Context) -> Value:
    x, (weight, bias, scales) = c.codes(0), _layer(c, 0)
    kernel = weight.shape[2], weight.shape[3]
    strides, dilations = (pair(attribute(c.node, name, None), 1) for name in ("strides", "dilations"))
    top, left, bottom, right = pads4(c.node, kernel, strides, dilations)
    seen = functional.pad(x.centred.to(c.dtype), (left, right, top, bottom))
    total = functional.conv2d(seen, weight, bias, strides, 0, dilations, int(attribute(c.node, "group", 1)))
    return c.rescaled(total, lambda out: _records(x, scales, out, (-1, 1, 1)))


def _product(c: _Context) -> Value:
    axis = 0 if c.node.op_type == "Gemm" and attribute(c.node, "transB", 0) else 1
    x, (weight, bias, scales) = c.codes(0), _layer(c, axis)
    total = x.centred.to(c.dtype) @ (weight if axis else weight.T)
    total = total if bias is None else total + bias
    return c.rescaled(total, lambda out: _records(x, scales, out, (-1,)))


def _records(x: Codes, scales: F32, out: Scale, shape: tuple[int, ...]) -> tuple[Any, Any]:
    mult, shift = scales_to_multipliers(requantize_scale(float(x.scale.scale), scales, float(out.scale)))
    return mult.reshape(shape), shift.reshape(shape)


# --- two tensors ----------------------------------------------------------------------------------------


def _tensor(scale: Scale) -> Tensor:
    """A scale as the compiler's functions take it."""
    return Tensor("", "", (1,), float(scale.scale), scale.zero_point)


def _add(c: _Context) -> Value:
    a, b = c.codes(0), c.codes(1)

    def round_to(scale: Scale, lo: int, hi: int) -> torch.Tensor:
        ma, mb, shift = add_multipliers(_tensor(a.scale), _tensor(b.scale), _tensor(scale), node_label(c.node))
        total = a.centred.to(c.dtype) * ma + b.centred.to(c.dtype) * mb
        one, shifts = np.ones((), np.int64), np.asarray(shift, np.int64)
        return requantized(total, one, shifts, scale.zero_point, lo, hi, exact=c.exact)

    return Unrounded(round_to)


def _mul(c: _Context) -> Value:
    a, b = c.codes(0), c.codes(1)
    total = a.centred.to(c.dtype) * b.centred.to(c.dtype)
    operands = _tensor(a.scale), _tensor(b.scale)
    return c.rescaled(total, lambda out: product_multiplier(*operands, _tensor(out), node_label(c.node)))


def _concat(c: _Context) -> Value:
    axis = attribute(c.node, "axis", 0)

    def round_to(scale: Scale, lo: int, hi: int) -> torch.Tensor:
        parts = [rounded(c.codes(i), scale).q for i in range(len(c.operands))]
        return torch.cat(parts, dim=axis).clamp(lo, hi)

    return Unrounded(round_to)


# --- windows --------------------------------------------------------------------------------------------


def _windows(c: _Context, fill: float) -> tuple[torch.Tensor, tuple[int, int], tuple[int, int]]:
    """The padded operand, kernel and strides of a pool."""
    kernel, strides, (top, left, bottom, right), _ = window(c.node)
    x = c.codes(0)
    source = x.q if np.isinf(fill) else x.centred
    return functional.pad(source.to(c.dtype), (left, right, top, bottom), value=fill), kernel, strides


def _max_pool(c: _Context) -> Value:
    padded, kernel, strides = _windows(c, -np.inf)
    return Codes(c.shaped(functional.max_pool2d(padded, kernel, strides)).float(), c.codes(0).scale)


def _average_pool(c: _Context) -> Value:
    padded, kernel, strides = _windows(c, 0.0)
    total = functional.avg_pool2d(padded, kernel, strides, divisor_override=1)
    counts = np.full((1, 1), kernel[0] * kernel[1])
    if not attribute(c.node, "count_include_pad", 0):
        _, _, (top, left, bottom, right), _ = window(c.node)
        ones = functional.pad(torch.ones(1, 1, *c.codes(0).q.shape[2:]), (left, right, top, bottom))
        counts = functional.avg_pool2d(ones, kernel, strides, divisor_override=1)[0, 0].numpy()
    return _average(c, total, np.rint(counts).astype(np.int64))


def _global_average(c: _Context) -> Value:
    x = c.codes(0)
    return _average(c, c.shaped(x.centred.to(c.dtype).sum(dim=(2, 3))), np.array(x.q[0, 0].numel()))


def _average(c: _Context, total: torch.Tensor, counts: NDArray[np.int64]) -> Value:
    def records(out: Scale) -> tuple[Any, Any]:
        divisors = counts.reshape(-1)
        found = average_records(_tensor(c.codes(0).scale), _tensor(out), divisors, node_label(c.node))
        mult, shift = (v.reshape(counts.shape) for v in found)
        return mult, shift

    return c.rescaled(total, records)


# --- moves ----------------------------------------------------------------------------------------------


def _view(c: _Context) -> Value:
    x = c.codes(0)
    return Codes(c.shaped(x.q), x.scale)


def _transpose(c: _Context) -> Value:
    x = c.codes(0)
    return Codes(x.q.permute(*attribute(c.node, "perm", range(x.q.ndim)[::-1])), x.scale)


_OPERATORS: dict[str, Callable[[_Context], Value]] = {
    "Conv": _conv,
    "Gemm": _product,
    "MatMul": _product,
    "Add": _add,
    "Mul": _mul,
    "Concat": _concat,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _global_average,
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"), _view),
}


# --- what is refused ------------------------------------------------------------------------------------


def _layer_limit(node: ir.Node) -> str | None:
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0)
    weight = constant_input(node, 1)
    return None if plain and weight is not None and weight.ndim >= 2 else "its weight is computed, a vector or scaled"


def _pair_limit(node: ir.Node) -> str | None:
    if _is_unary(node):
        return None
    out, shapes = shape_of(node.outputs[0]), [shape_of(v) for v in node.inputs]
    spread = out in shapes and {len(shape) for shape in shapes} == {len(out)}
    computed = all(constant(v) is None for v in node.inputs)
    return None if spread and computed else "one operand is constant, or none has the shape of the result"


def _pool_limit(node: ir.Node) -> str | None:
    plain = not attribute(node, "ceil_mode", 0) and set(window(node)[3]) == {1}
    return None if plain and len(shape_of(node.inputs[0])) == _IMAGE else "it is dilated, rounds up, or is no image's"


def _mean_limit(node: ir.Node) -> str | None:
    axes = constant_input(node, 1)
    given = attribute(node, "axes", ()) if axes is None else axes.reshape(-1).tolist()
    whole = len(shape_of(node.inputs[0])) == _IMAGE and {a % _IMAGE for a in given} == {2, 3}
    return None if whole else "it is not over all rows and pixels of an image"


def _concat_limit(node: ir.Node) -> str | None:
    constants = [value_label(v) for v in node.inputs if constant(v) is not None]
    return f"its operand '{constants[0]}' is constant" if constants else None


def _transpose_limit(node: ir.Node) -> str | None:
    return None if next(iter(attribute(node, "perm", (1,)))) == 0 else "it moves the batch"


_LIMITS: dict[str, Callable[[ir.Node], str | None]] = {
    **dict.fromkeys(("Conv", "Gemm", "MatMul"), _layer_limit),
    **dict.fromkeys(("Add", "Mul"), _pair_limit),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool_limit),
    "ReduceMean": _mean_limit,
    "Concat": _concat_limit,
    "Transpose": _transpose_limit,
}


def refuse(node: ir.Node, reason: str) -> PolicyError:
    """The message of a refused node."""
    return PolicyError(f"{node.op_type} '{node_label(node)}' cannot be trained as the device computes it: {reason}.")
