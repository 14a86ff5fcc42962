"""Weights of files from outside, as they must be to be taken for real numbers."""

from __future__ import annotations

import torch

__all__ = ["finite_floats"]


def finite_floats(name: str, weight: torch.Tensor) -> torch.Tensor:
    """The weight as float32.

    Raises:
        ValueError: it is of integers, whose scale would be elsewhere, or has values that are not finite.
    """
    if not weight.is_floating_point():
        raise ValueError(f"{name} is {weight.dtype}; it must be of floats, as integers have their scale elsewhere")
    if bad := int((~weight.isfinite()).sum()):
        raise ValueError(f"{name} has {bad} of {weight.numel()} values that are not finite")
    return weight.float()
