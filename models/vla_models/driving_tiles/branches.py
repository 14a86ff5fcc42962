"""All branches at once, as convolutions: masks of tasks are of convolutions, and a task uses one branch alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from vla_models.driving.names import BRANCHES
from vla_models.driving_tiles.config import TILE

__all__ = ["BranchConvs", "branch_tiles"]


class BranchConvs(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The layers of all branches beside each other, 1x1; weights between two branches are 0, which are not stored.

    Args:
        branches: of equal sizes, each linear layers with ReLU between.
    """

    def __init__(self, branches: Iterable[nn.Sequential]) -> None:
        super().__init__()
        depths = zip(*([layer for layer in b if isinstance(layer, nn.Linear)] for b in branches), strict=True)
        self.convs = nn.ModuleList(_beside(layers, first=number == 0) for number, layers in enumerate(depths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of (N, fused) all controls before tanh, (N, branches * columns)."""
        x = x[:, :, None, None]
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x))
        controls: torch.Tensor = self.convs[-1](x).flatten(1)
        return controls


def _beside(layers: Sequence[nn.Linear], first: bool) -> nn.Conv2d:
    """Layers that read the same (`first`), or each its own part of what is there."""
    weights = [layer.weight.detach() for layer in layers]
    whole = torch.cat(weights) if first else torch.block_diag(*weights)
    conv = nn.Conv2d(whole.shape[1], whole.shape[0], 1)
    with torch.no_grad():
        conv.weight.copy_(whole[:, :, None, None])
        conv.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return conv


def branch_tiles(widths: Sequence[int]) -> dict[str, list[list[int]]]:
    """By task: for each hidden layer of `BranchConvs` the tiles of the task's branch.

    Args:
        widths: of a branch's hidden layers, multiples of 16.
    """
    counts = [width // TILE for width in widths]
    return {
        task: [list(range(number * count, (number + 1) * count)) for count in counts]
        for number, task in enumerate(BRANCHES)
    }
