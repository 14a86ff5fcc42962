"""Group lasso over what the accelerator can skip: tiles of output channels, and blocks of output x input channels.

The sum of the groups' Euclidean norms (Yuan and Lin 2006): its gradient pulls whole groups to zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["GROUP", "block_norms", "group_lasso", "tile_norms"]

GROUP = 16  # channels


def tile_norms(weight: torch.Tensor) -> torch.Tensor:
    """Norms (O/16,) of the tiles of 16 output channels of a convolution (O, I, k, k); the last tile may be smaller."""
    return block_norms(weight).square().sum(dim=1).sqrt()


def block_norms(weight: torch.Tensor) -> torch.Tensor:
    """Norms (O/16, I/16) of the blocks of 16 x 16 channels of a convolution (O, I, k, k)."""
    outs, ins = weight.shape[:2]
    squares = weight.square().flatten(2).sum(dim=2)
    padded = nn.functional.pad(squares, (0, -ins % GROUP, 0, -outs % GROUP))
    rows, columns = padded.shape[0] // GROUP, padded.shape[1] // GROUP
    sums = padded.reshape(rows, GROUP, columns, GROUP).sum(dim=(1, 3))
    return (sums + torch.finfo(sums.dtype).tiny).sqrt()  # a gradient at zero, too


def group_lasso(modules: Iterable[nn.Module], tiles: float, blocks: float) -> torch.Tensor:
    """The penalty of all convolutions, with a weight for each kind of group."""
    total = torch.zeros(())
    for module in modules:
        if isinstance(module, nn.Conv2d):
            total = total.to(module.weight.device)
            if tiles:
                total = total + tiles * tile_norms(module.weight).sum()
            if blocks:
                total = total + blocks * block_norms(module.weight).sum()
    return total
