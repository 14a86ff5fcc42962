"""ResNet-18 and -34 (He et al. 2015, arXiv 1512.03385) without their head: images to features of 1/32 of their size.

A norm behind each convolution is folded into it at the import where it is a batch norm, whose numbers do not change; a
group norm stays. Names of weights are torchvision's.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["CHANNELS", "DEPTHS", "ResNet", "feature_size"]

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}  # blocks of each stage
CHANNELS = (64, 128, 256, 512)
_GROUP = 16  # channels of a group norm's group


def feature_size(size: tuple[int, ...]) -> tuple[int, ...]:
    """Rows and columns of the features of an image: five times halved, rounded up."""
    return tuple(-(-n // 32) for n in size)


def _norm(channels: int, grouped: bool) -> nn.Module:
    return nn.GroupNorm(channels // _GROUP, channels) if grouped else nn.Identity()


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Two convolutions 3 x 3, and what comes in added to them."""

    def __init__(self, given: int, channels: int, stride: int, grouped: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, channels, 3, stride, 1, bias=not grouped)
        self.bn1 = _norm(channels, grouped)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=not grouped)
        self.bn2 = _norm(channels, grouped)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or given != channels:
            short = nn.Conv2d(given, channels, 1, stride, bias=not grouped)
            self.downsample = nn.Sequential(short, _norm(channels, grouped))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, given, H, W) to (N, channels, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` gives the features behind the last stage.

    Args:
        name: of `DEPTHS`.
        grouped: group norms behind the convolutions; otherwise nothing, and they have a bias.
    """

    def __init__(self, name: str, grouped: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 7, 2, 3, bias=not grouped)
        self.bn1 = _norm(CHANNELS[0], grouped)
        self.pool = nn.MaxPool2d(3, 2, 1)
        given = CHANNELS[0]
        for stage, (channels, depth) in enumerate(zip(CHANNELS, DEPTHS[name], strict=True)):
            blocks = [Block(given, channels, 2 if stage else 1, grouped)]
            blocks += [Block(channels, channels, 1, grouped) for _ in range(depth - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            given = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, H, W) to (N, 512, H / 32, W / 32), sizes rounded up."""
        x = self.pool(torch.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 1 + len(CHANNELS)):
            x = getattr(self, f"layer{stage}")(x)
        return x
