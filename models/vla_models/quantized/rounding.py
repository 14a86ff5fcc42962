"""The places where the device rounds, as steps that gradients pass through (straight-through estimation).

Tensors hold the device's integers as floats. In evaluation what rounds is `vla_isa.numerics` itself, on sums that are
exact in float64; in training the same formula in float32, which may round a tie otherwise. The gradient of a rounding
is that of the function without it, and 0 where a result is clamped (Bengio et al., arXiv 1308.3432; Jacob et al.,
arXiv 1712.05877).

Not here: scales (`vlac.quantize.parameters`), which operator rounds where (`operators.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_isa.numerics import requantize

__all__ = ["integers_through", "looked_up", "requantized"]

I64 = NDArray[np.int64]


def requantized(
    total: torch.Tensor, mult: I64, shift: I64, zero_point: int, lo: int, hi: int, *, exact: bool
) -> torch.Tensor:
    """`clamp(round_shift(total * mult, shift) + zero_point, lo, hi)` of integers; mult and shift broadcast."""
    found: torch.Tensor = _Requantized.apply(total, mult, shift, zero_point, lo, hi, exact)
    return found


class _Requantized(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    @staticmethod
    def forward(
        ctx: Any, total: torch.Tensor, mult: I64, shift: I64, zero: int, lo: int, hi: int, exact: bool
    ) -> torch.Tensor:
        factor = torch.from_numpy(np.asarray(mult * np.exp2(-shift.astype(np.float64)))).to(total)
        real = total * factor + zero
        ctx.save_for_backward((real >= lo - 0.5) & (real <= hi + 0.5), factor)
        if not exact:
            return real.round().clamp(lo, hi).float()
        whole = total.detach().round().cpu().numpy().astype(np.int64)
        q = requantize(whole, 0, mult, shift, 0, zero, lo, hi)
        return torch.from_numpy(q.astype(np.float32)).to(total.device)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inside, factor = ctx.saved_tensors
        return gradient.to(factor.dtype) * inside * factor, None, None, None, None, None, None


def looked_up(q: torch.Tensor, table: NDArray[np.int8], slope: NDArray[np.float32]) -> torch.Tensor:
    """Entry q + 128 of a table; the gradient is entry q + 128 of `slope`."""
    found: torch.Tensor = _LookedUp.apply(q, table, slope)
    return found


class _LookedUp(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, table: NDArray[np.int8], slope: NDArray[np.float32]) -> torch.Tensor:
        index = q.detach().long() + 128
        ctx.save_for_backward(torch.from_numpy(slope).to(q.device)[index])
        return torch.from_numpy(table.astype(np.float32)).to(q.device)[index]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None


def integers_through(real: torch.Tensor, integers: NDArray[Any]) -> torch.Tensor:
    """Integers that a tensor was rounded to; the gradient is that of the tensor."""
    return real + (torch.from_numpy(integers).to(real) - real).detach()
