"""What a value of the graph is while a quantized policy computes: integers, or what they will be rounded from.

As in the compiler's lowering, an operator's result stays unrounded until it meets the place where the quantizer put a
pair of Q/DQ, through a Relu or Clip, which becomes the clamp of the integers. Not here: the operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from vla_isa.numerics import quantize
from vla_models.quantized.rounding import looked_up
from vlac.lowering.unary import defined
from vlac.quantize.parameters import Scale

__all__ = ["Codes", "Function", "Unrounded", "Value", "function_of", "rounded"]

F32 = NDArray[np.float32]
_REACH = 384  # integers from zero, beyond which a table's slope is not followed: it may be infinite there


@dataclass(frozen=True)
class Codes:
    """Integers as a float tensor (N, ...): real = (q - zero_point) * scale."""

    q: torch.Tensor
    scale: Scale

    @property
    def centred(self) -> torch.Tensor:
        """q - zero_point."""
        return self.q - self.scale.zero_point

    @property
    def real(self) -> torch.Tensor:
        """What the integers stand for, in float32 as DequantizeLinear computes it."""
        return self.centred.float() * float(self.scale.scale)


@dataclass(frozen=True)
class Unrounded:
    """A result between two real bounds; `round_to` makes its integers in a scale, between two integers."""

    round_to: Callable[[Scale, int, int], torch.Tensor]
    low: float = -np.inf
    high: float = np.inf

    def clamped(self, low: float, high: float) -> Unrounded:
        """Between other bounds too; the later ones win where they contradict."""
        return replace(self, low=min(max(self.low, low), high), high=min(max(self.high, low), high))


@dataclass(frozen=True)
class Function:
    """A function of integers: entry q + 128 of `values`, float32 [256], is its real value."""

    x: Codes
    values: F32


Value: TypeAlias = Codes | Unrounded | Function


def function_of(value: Value) -> Function | None:
    """A value as a function of integers; integers are what they stand for."""
    if isinstance(value, Codes):
        q = np.arange(-128, 128, dtype=np.float32)
        return Function(value, (q - np.float32(value.scale.zero_point)) * value.scale.scale)
    return value if isinstance(value, Function) else None


def rounded(value: Value, scale: Scale) -> Codes:
    """The integers of a value in a scale."""
    if isinstance(value, Codes) and value.scale == scale:
        return value
    if isinstance(value, Unrounded):
        lo, hi = (_bound(x, scale, free) for x, free in ((value.low, -128), (value.high, 127)))
        return Codes(value.round_to(scale, lo, hi), scale)
    found = function_of(value)
    assert found is not None
    values = defined(found.values, found.x.scale.zero_point)
    table = quantize(values, float(scale.scale), scale.zero_point)
    steps = values.astype(np.float64) / float(scale.scale) + scale.zero_point
    inside = (steps >= -128.5) & (steps <= 127.5)
    slope = (np.gradient(steps.clip(-_REACH, _REACH)) * inside).astype(np.float32)
    return Codes(looked_up(found.x.q, table, slope), scale)


def _bound(x: float, scale: Scale, free: int) -> int:
    return int(quantize(np.array([x]), float(scale.scale), scale.zero_point)[0]) if np.isfinite(x) else free
