"""Quantized weights and biases as the machine takes them: int8 around zero, int32 around the accumulator.

Used by the lowering of Conv, Gemm and MatMul.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.generated.codes import Rounding
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.gemm import GEMM
from vla_isa.integer import INT8
from vla_isa.numerics import requantize_scale, scales_to_multipliers
from vlac.errors import UnsupportedError
from vlac.ir.operation import Tensor
from vlac.ir.records import Requant
from vlac.lowering.quantized import Result, unquantized
from vlac.lowering.spec import RuleResult
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant_input, shape_of

__all__ = ["Weights", "multipliers", "prove_no_wrap", "read_experts", "read_weights", "requant_of", "weights_fit"]

I64 = NDArray[np.int64]


@dataclass
class Weights:
    """int8 values (zero point subtracted) and one float32 scale per index of `axis`."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def read_weights(node: ir.Node, index: int, axis: int) -> Weights:
    """The quantized weights of input `index`, with scales along `axis`.

    Raises:
        UnsupportedError: float weights, another axis, or values that do not fit int8 around their zero point.
    """
    value = node.inputs[index]
    producer = value.producer() if value is not None else None
    if value is None or producer is None or producer.op_type != "DequantizeLinear":
        raise unquantized(node, value if value is not None else node.outputs[0], "weight")
    return _weights(node, value, producer, axis, axis)


def read_experts(node: ir.Node, choice: ir.Node, axis: int) -> list[Weights]:
    """The quantized weights of each expert that `choice` chooses among for input 1; see `read_weights`."""
    value = choice.inputs[0]
    producer = value.producer() if value is not None else None
    if value is None or producer is None or producer.op_type != "DequantizeLinear":
        raise unquantized(node, value if value is not None else node.outputs[0], "weight")
    whole = _weights(node, value, producer, axis, axis + 1)
    return [Weights(values, whole.scales) for values in whole.values]


def _weights(node: ir.Node, value: ir.Value, producer: ir.Node, shown: int, axis: int) -> Weights:
    """Of a DequantizeLinear, with scales along `axis`, which messages call `shown`."""
    q, scale, zero = (constant_input(producer, i) for i in range(3))
    if q is None or scale is None:
        raise unquantized(node, value, "weight")
    where = f"{node.op_type} '{node_label(node)}'"
    if q.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise UnsupportedError([f"{where}: its weight '{value.name}' is {q.dtype}; quantize weights to int8 or uint8"])
    if scale.ndim > 1:
        raise UnsupportedError(
            [f"{where}: its weight '{value.name}' is quantized in blocks; use one scale per tensor or output channel"]
        )
    if scale.size > 1 and attribute(producer, "axis", 1) % q.ndim != axis:
        raise UnsupportedError(
            [
                f"{where}: weight scales run along axis {attribute(producer, 'axis', 1)}; "
                f"the machine scales output channels, axis {shown}"
            ]
        )
    shift = np.zeros(1, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    shape = [-1 if i == axis else 1 for i in range(q.ndim)]
    plain = q.dtype == np.int8 and not shift.any()
    centred = q if plain else q.astype(np.int16) - shift.reshape(shape).astype(np.int16)
    if centred.min() < INT8.lo or centred.max() > INT8.hi:
        raise UnsupportedError(
            [
                f"{where}: weights less their zero point reach {centred.min()}..{centred.max()}, outside "
                "int8; quantize weights symmetrically"
            ]
        )
    scales = np.broadcast_to(scale.reshape(-1).astype(np.float32), (q.shape[axis],)).copy()
    return Weights(INT8.cast(centred), scales)


def multipliers(scales: NDArray[np.float32], where: str) -> tuple[I64, I64]:
    """(mult, shift) of each float32 scale.

    Raises:
        UnsupportedError: a scale of 2^24 or more, or not finite.
    """
    try:
        return scales_to_multipliers(np.atleast_1d(scales))
    except EncodingError as e:
        raise UnsupportedError([f"{where}: {e}"]) from e


def requant_of(
    node: ir.Node,
    x: Tensor,
    w: Weights,
    bias: NDArray[np.float32] | None,
    out: Result,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Requant:
    """The records of `alpha * x @ w + beta * bias`; `w.values` has the output channel first.

    The integer bias is round(beta * b / (alpha * s_x * s_w)), less the input zero point times the channel's weights;
    where results are not rounded to nearest even, floor(...), as floor((acc + b) >> s) is floor((acc + floor(b)) >> s).
    """
    where = f"{node.op_type} '{node_label(node)}'"
    scales = (w.scales * np.float32(alpha)).astype(np.float32)
    mult, shift = multipliers(requantize_scale(x.scale, scales, out.tensor.scale), where)
    per_channel = w.values.reshape(len(w.values), -1)
    total = np.zeros(len(scales), np.int64)
    if bias is not None:
        # the scale a quantizer gives the bias is float32(s_x * s_w): the division recovers its integers exactly
        unit = (np.float32(x.scale) * scales).astype(np.float32).astype(np.float64)
        whole = np.rint if out.rounding == Rounding.NEAREST_EVEN else np.floor
        total = whole(np.broadcast_to(bias.reshape(-1), total.shape).astype(np.float64) * beta / unit).astype(np.int64)
    prove_no_wrap(per_channel, total, where)
    total = total - x.zero_point * per_channel.sum(axis=1, dtype=np.int64)
    return Requant(total, mult, shift, out.tensor.zero_point, out.lo, out.hi)


def prove_no_wrap(weights: NDArray[np.int8], bias: I64, where: str) -> None:
    """Refuse a layer whose int32 accumulator or bias could wrap for some input.

    weights: int8 [O, K]; bias: int64 [O].

    Raises:
        UnsupportedError: naming the largest possible sum.
    """
    above = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    below = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    low, high = above * INT8.lo + below * INT8.hi, above * INT8.hi + below * INT8.lo
    worst = int(max(high.max(), -low.min(), np.abs(bias).max() + 128 * np.abs(above + below).max()))
    if worst > np.iinfo(np.int32).max:
        raise UnsupportedError(
            [
                f"{where}: its sums or bias can reach {worst}, more than the int32 accumulator's "
                f"{np.iinfo(np.int32).max}; scale the weights or split the layer"
            ]
        )


def weights_fit(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The weights of one block of {block} columns must fit the {weight_words} words of the weight scratchpad, and K
    {GEMM[k_blocks]} channel blocks.
    """
    b = shape_of(node.inputs[1])
    k = b[-1] if attribute(node, "transB", 0) or len(b) == 1 else b[-2]
    words = -(-k // hw.block)
    return RuleResult(words <= min(hw.weight_words, GEMM.limit("k_blocks")), f"{words} words (K = {k})")
