"""A time in [0, 1] as sines and cosines of many periods (Vaswani et al. 2017, arXiv 1706.03762)."""

from __future__ import annotations

import math

import torch

__all__ = ["waves"]

_LONGEST, _SHORTEST = 4.0, 4e-3  # periods, as openpi has them


def waves(times: torch.Tensor, width: int) -> torch.Tensor:
    """Of times (T,): (T, width), first the sines."""
    exponents = torch.linspace(0, 1, width // 2, device=times.device)
    periods = _SHORTEST * (_LONGEST / _SHORTEST) ** exponents
    angles = times[:, None] * (2 * math.pi / periods)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
