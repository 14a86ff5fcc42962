"""Group lasso over what the accelerator can skip: tiles of output channels, and blocks of output x input channels.

The sum of the groups' Euclidean norms (Yuan and Lin 2006): its gradient pulls whole groups to zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from vla_models.babyai_moe.layers import ExpertConv

__all__ = ["GROUP", "block_norms", "conv_weight", "group_lasso", "live_blocks", "tile_norms"]

GROUP = 16  # channels


def conv_weight(module: nn.Module) -> torch.Tensor | None:
    """The weight (O, I, k, k) of a convolution without groups, None of any other module.

    Of a convolution with E experts it is (O, I, E k, k): a program leaves out what is zero in all of them.
    """
    if isinstance(module, nn.Conv2d) and module.groups == 1:
        return module.weight
    return module.weight.movedim(0, 2).flatten(2, 3) if isinstance(module, ExpertConv) else None


def live_blocks(weight: torch.Tensor) -> torch.Tensor:
    """Which blocks (O/16, I/16) of 16 x 16 channels have a weight that is not exactly zero."""
    return block_norms((weight != 0).float()) > 0.5


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
        weight = conv_weight(module)
        if weight is not None:
            total = total.to(weight.device)
            if tiles:
                total = total + tiles * tile_norms(weight).sum()
            if blocks:
                total = total + blocks * block_norms(weight).sum()
    return total
