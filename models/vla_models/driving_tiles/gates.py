"""Gates over tiles of 16 output channels, chosen by the command alone.

The forward pass of training uses the very mask that is deployed, 0 or 1; the gradient is that of the sigmoid (straight
through; Bengio et al. 2013, arXiv 1308.3432). So there is no soft network whose hard one was never trained, and a gate
that is off can come on again. The first tile of each convolution is always on. Not here: the budget
(`vla_training.objectives.driving`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from vla_models.driving.names import BRANCHES
from vla_models.driving_tiles.config import TILE

__all__ = ["TileGates", "live_share", "live_tiles"]

_OPEN = 2.0  # logit of every gate before training: all are on


class TileGates(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Command -> per convolution which of its tiles are on.

    Args:
        channels: of each convolution, multiples of 16.
        hidden: width of the layer in between.
    """

    def __init__(self, channels: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.tiles = tuple(count // TILE for count in channels)
        self.hidden = nn.Linear(len(BRANCHES), hidden)
        self.logits = nn.Linear(hidden, sum(self.tiles) - len(self.tiles))
        nn.init.constant_(self.logits.bias, _OPEN)

    def forward(self, command: torch.Tensor) -> list[torch.Tensor]:
        """Per convolution (N, tiles), 0 or 1, with the gradient of the sigmoid.

        Args:
            command: (N, 6) one-hot.
        """
        logits = self.logits(torch.relu(self.hidden(command)))
        soft = torch.sigmoid(logits)
        masks = (logits > 0).to(soft.dtype) + (soft - soft.detach())
        always = torch.ones(len(command), 1, dtype=soft.dtype, device=soft.device)
        parts = masks.split([count - 1 for count in self.tiles], dim=1)
        return [torch.cat([always, part], dim=1) for part in parts]

    def table(self) -> list[torch.Tensor]:
        """Per convolution (6, tiles), exactly 0 or 1: the masks of all commands, as they are deployed."""
        commands = torch.eye(len(BRANCHES), device=self.logits.weight.device)
        with torch.no_grad():
            return [mask.round() for mask in self(commands)]


def live_share(masks: Sequence[torch.Tensor], macs: Sequence[int]) -> torch.Tensor:
    """Multiply-accumulates of the convolutions that are left, of 1: (N,). A tile that is off is not read either.

    Args:
        masks: per convolution (N, tiles).
        macs: per convolution, with everything on.
    """
    outs = [mask.mean(dim=1) for mask in masks]
    ins = [torch.ones_like(outs[0]), *outs[:-1]]
    return sum((o * i * count for o, i, count in zip(outs, ins, macs, strict=True)), torch.zeros_like(outs[0])) / sum(
        macs
    )


def live_tiles(table: Sequence[torch.Tensor]) -> dict[str, list[list[int]]]:
    """By task: per convolution the numbers of its tiles that are on."""
    return {
        task: [[int(n) for n in torch.nonzero(mask[number]).flatten()] for mask in table]
        for number, task in enumerate(BRANCHES)
    }
