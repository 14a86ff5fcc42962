"""The network of Diffusion Policy (Chi et al. 2023, arXiv 2303.04137): a U-Net over the steps of a chunk.

Each block is modulated (FiLM, Perez et al. 2017, arXiv 1709.07871) by what is seen and by the time. Its linear layer
takes both side by side; here they are two that are added, so that one is computed once a chunk, and the other is a
constant of each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from vla_models.lerobot_diffusion.config import LAST_GROUPS

__all__ = ["UNet"]


class ConvBlock(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A convolution over the steps, a group norm, Mish."""

    def __init__(self, given: int, channels: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(given, channels, kernel, padding=kernel // 2)
        self.norm = nn.GroupNorm(groups, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, given, T) to (N, channels, T)."""
        return nn.functional.mish(self.norm(self.conv(x)))


class FilmBlock(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Two of them, modulated in between, and what comes in added.

    Args:
        given: channels that come in.
        channels: that go out.
        seen: width of what is seen.
        time: width of the time.
        scales: whether channels are scaled, too.
    """

    def __init__(self, given: int, channels: int, kernel: int, groups: int, seen: int, time: int, scales: bool) -> None:
        super().__init__()
        self.scales = scales
        self.first, self.second = (
            ConvBlock(given, channels, kernel, groups),
            ConvBlock(channels, channels, kernel, groups),
        )
        self.seen = nn.Linear(seen, (1 + scales) * channels)
        self.time = nn.Linear(time, (1 + scales) * channels, bias=False)
        self.short: nn.Module = nn.Identity() if given == channels else nn.Conv1d(given, channels, 1)

    def forward(self, x: torch.Tensor, film: torch.Tensor) -> torch.Tensor:
        """(N, given, T) to (N, channels, T).

        Args:
            x: what comes in.
            film: (N, channels) to be added, or (N, 2 channels), first what is multiplied.
        """
        y = self.first(x)
        if self.scales:
            scale, shift = film[..., None].chunk(2, dim=1)
            y = scale * y + shift
        else:
            y = y + film[..., None]
        return self.second(y) + self.short(x)


class UNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Stages with fewer and fewer steps and back again.

    Args:
        actions: values of an action.
        channels: of each stage.
        kernel: of the convolutions.
        groups: of the norms.
        seen: width of what is seen.
        time: width of the time.
        scales: whether the condition scales channels, too.
    """

    def __init__(
        self, actions: int, channels: Sequence[int], kernel: int, groups: int, seen: int, time: int, scales: bool
    ) -> None:
        super().__init__()

        def pair(given: int, width: int) -> nn.ModuleList:
            shape = (kernel, groups, seen, time, scales)
            return nn.ModuleList([FilmBlock(given, width, *shape), FilmBlock(width, width, *shape)])

        stages = list(zip((actions, *channels[:-1]), channels, strict=True))
        self.down = nn.ModuleList(pair(given, width) for given, width in stages)
        self.shorten = nn.ModuleList(nn.Conv1d(width, width, 3, 2, 1) for width in channels[:-1])
        self.middle = pair(channels[-1], channels[-1])
        self.up = nn.ModuleList(pair(2 * width, given) for given, width in reversed(stages[1:]))
        self.lengthen = nn.ModuleList(nn.ConvTranspose1d(given, given, 4, 2, 1) for given, _ in reversed(stages[1:]))
        self.last = ConvBlock(channels[0], channels[0], kernel, LAST_GROUPS)
        self.out = nn.Conv1d(channels[0], actions, 1)

    def blocks(self) -> Iterator[FilmBlock]:
        """In the order in which they run."""
        for part in (*self.down, self.middle, *self.up):
            yield from part

    def forward(self, chunk: torch.Tensor, films: Sequence[torch.Tensor]) -> torch.Tensor:
        """Of a chunk (N, T, actions) on its way the noise or the action.

        Args:
            chunk: normalized.
            films: of each block.
        """
        film = iter(films)
        x, kept = chunk.transpose(1, 2), []
        for number, pair in enumerate(self.down):
            x = self._both(pair, x, film)
            kept.append(x)
            x = self.shorten[number](x) if number < len(self.shorten) else x
        x = self._both(self.middle, x, film)
        for pair, lengthen in zip(self.up, self.lengthen, strict=True):
            x = lengthen(self._both(pair, torch.cat([x, kept.pop()], dim=1), film))
        said: torch.Tensor = self.out(self.last(x)).transpose(1, 2)
        return said

    @staticmethod
    def _both(pair: nn.ModuleList, x: torch.Tensor, film: Iterator[torch.Tensor]) -> torch.Tensor:
        for block in pair:
            x = block(x, next(film))
        return x
