"""Scales, zero points and integers of 8-bit quantization, from ranges and float arrays.

    activation  real = (q - zero) * scale, q in -128..127, 0 exact; asymmetric, so that Relu costs no bit
    weight      one scale per output channel, zero point 0, q in -127..127
    bias        int32 in the accumulator's scale s_x * s_w

Weights are rounded a few rows at a time: no float copy of a large layer is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8, IntType

__all__ = [
    "Scale",
    "activation_scale",
    "least_weight_scale",
    "quantize_array",
    "quantize_bias",
    "quantize_weight",
]

F32 = NDArray[np.float32]
_WEIGHT_MAX = 127
_BIAS_MAX = float(1 << 30)  # half of int32: the other half is left to the sum
_CHUNK = 1 << 20  # elements
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scale:
    """How a tensor of integers stands for real numbers."""

    scale: np.float32
    zero_point: int
    kind: IntType = INT8

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest real number."""
        scale = float(self.scale)
        return (self.kind.lo - self.zero_point) * scale, (self.kind.hi - self.zero_point) * scale


def activation_scale(low: float, high: float) -> Scale:
    """The scale of a range, widened to hold 0; of the range [0, 0] it is 1."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = np.float32(high / (INT8.hi - INT8.lo) - low / (INT8.hi - INT8.lo))  # the difference may overflow
    if scale < _TINY:
        return Scale(np.float32(1), 0)
    zero = INT8.lo - low / float(scale)
    return Scale(scale, int(np.clip(np.rint(zero), INT8.lo, INT8.hi)))


def quantize_array(array: NDArray[Any], scale: Scale) -> NDArray[Any]:
    """A constant operand in the scale of an activation; values outside its range saturate."""
    q = np.rint(array.astype(np.float64) / float(scale.scale)) + scale.zero_point
    return scale.kind.clip(q)


def quantize_weight(weight: F32, axis: int, least: F32 | None = None) -> tuple[NDArray[np.int8], F32]:
    """Integers of the weight's shape, and a scale per index of `axis`.

    Args:
        least: per index the smallest scale that keeps the bias inside int32 (see `least_weight_scale`).
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.maximum(weight.max(axis=others, initial=0), -weight.min(axis=others, initial=0))
    scales = (largest / np.float32(_WEIGHT_MAX)).astype(np.float32)
    if least is not None:
        scales = np.maximum(scales, least)
    scales = np.where(scales < _TINY, np.float32(1), scales)
    q = np.empty(weight.shape, np.int8)
    rows = max(1, _CHUNK * len(weight) // max(weight.size, 1))
    for first in range(0, len(weight), rows):
        part = slice(first, first + rows)
        divisor = scales[part] if axis == 0 else scales
        scaled = weight[part] / divisor.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
        np.clip(np.rint(scaled, out=scaled), -_WEIGHT_MAX, _WEIGHT_MAX, out=scaled)
        q[part] = scaled
    return q, scales


def least_weight_scale(bias: NDArray[Any], input_scale: np.float32) -> F32:
    """Per channel the smallest weight scale with which the bias fits int32 and s_x * s_w is a normal number.

    Only tiny weights beside a larger bias need it; what they add to the result is less than the bias's own step.
    """
    least = np.maximum(np.abs(bias.astype(np.float64)) / _BIAS_MAX, 2 * _TINY) / float(input_scale)
    return np.minimum(least, np.finfo(np.float32).max).astype(np.float32)


def quantize_bias(bias: NDArray[Any], input_scale: np.float32, weight_scales: F32) -> tuple[NDArray[np.int32], F32]:
    """Integers and scales of a bias; the scale is float32(s_x * s_w), as the accumulator's."""
    scales = (np.float32(input_scale) * weight_scales).astype(np.float32)
    q = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    return np.clip(q, -_BIAS_MAX, _BIAS_MAX).astype(np.int32), scales
