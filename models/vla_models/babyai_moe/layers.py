"""Choices by the mission that learn: one expert of several, and the units that are kept.

Both are hard in training as on the device, with gradients of their soft forms (straight through: Bengio et al., 2013).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ExpertConv", "Router", "UnitMask", "Unmodulated"]


class Router(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Logits of the experts of several layers; the largest of each layer is chosen."""

    def __init__(self, condition: int, layers: int, experts: int) -> None:
        super().__init__()
        self.logits = nn.Linear(condition, layers * experts)
        self.layers, self.experts = layers, experts

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """(N, layers, experts) of a condition (N, features)."""
        logits: torch.Tensor = self.logits(condition).unflatten(1, (self.layers, self.experts))
        return logits


class ExpertConv(nn.Module):  # type: ignore[misc]
    """A convolution 3x3, padding 1, with the weights of one of several experts; the others are not computed."""

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(inputs * 9)  # as nn.Conv2d
        self.weight = nn.Parameter(torch.empty(experts, outputs, inputs, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(experts, outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor, logits: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, H, W) of x (N, inputs, H, W) and logits (N, experts).

        Args:
            noise: (N, experts), added to the logits before the largest is chosen, and only then.
        """
        experts = len(self.weight)
        if experts == 1:
            return functional.conv2d(x, self.weight[0], self.bias[0], padding=1)
        chosen = (logits if noise is None else logits + noise).argmax(1)
        if len(x) == 1:
            y = functional.conv2d(x, self.weight[chosen[0]], self.bias[chosen[0]], padding=1)
        else:
            order = chosen.argsort(stable=True)
            parts = x[order].split(torch.bincount(chosen, minlength=experts).tolist())
            done = [
                functional.conv2d(part, weight, bias, padding=1)
                for part, weight, bias in zip(parts, self.weight, self.bias, strict=True)
                if len(part)
            ]
            y = torch.cat(done)[order.argsort()]
        if self.training:  # times p / p: one, with the gradient of log p
            share = logits.log_softmax(1).gather(1, chosen[:, None])
            y = y * (share - share.detach()).exp()[:, :, None, None]
        return y


class UnitMask(nn.Module):  # type: ignore[misc]
    """1 for the units with the largest scores, 0 for the others; the gradient is that of the scores' sigmoids."""

    def __init__(self, condition: int, units: int, kept: int) -> None:
        super().__init__()
        self.scores = nn.Linear(condition, units)
        self.units, self.kept = units, kept

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """(N, units) of a condition (N, features)."""
        scores: torch.Tensor = self.scores(condition)
        # The device knows the gates of a mixture: shares of the largest, zero elsewhere. Nearly equal shares, times
        # much and cut at 1, are a mask.
        values, units = (scores / 64.0).topk(self.kept, dim=1)
        shares = torch.zeros_like(scores).scatter(1, units, values.softmax(1))
        hard = (shares * 65536.0).clamp(0.0, 1.0)
        if not self.training:
            return hard
        soft = scores.sigmoid()
        return hard.detach() + (soft - soft.detach())  # exactly 0 or 1 in any precision


class Unmodulated(nn.Module):  # type: ignore[misc]
    """In the place of FiLM: x as it is."""

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """x (N, channels, H, W)."""
        return x
