"""How an ONNX shape lies on the device, and which rows a window reads. Pure arithmetic."""

from __future__ import annotations

import math

__all__ = ["geometry", "is_image", "window_rows"]


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this ONNX shape lies on the device as an image: [1, C, H, W]."""
    return len(shape) == 4 and shape[0] == 1


def geometry(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(h, w, c) of an ONNX shape: rank 4 is [1, C, H, W]; else the last axis is channels, the rest pixels."""
    if is_image(shape):
        return shape[2], shape[3], shape[1]
    return 1, math.prod(shape[:-1]), shape[-1] if shape else 1


def window_rows(h: int, y0: int, y1: int, stride: int, extent: int, pad: int) -> tuple[int, int]:
    """Input rows [a, b) under output rows [y0, y1), inside 0..h; at least one row."""
    a = min(max(y0 * stride - pad, 0), h - 1)
    b = min(max((y1 - 1) * stride - pad + extent, a + 1), h)
    return a, b
