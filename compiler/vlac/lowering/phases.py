"""Outputs made in phases: every a-th row and b-th pixel by one operation, then put together by COPY.

Shared by ConvTranspose, large convolutions, dilated pools and linear Resize.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext

__all__ = ["interleaved", "phase_tensors"]


def phase_tensors(out: Tensor, phases: tuple[int, int]) -> list[Tensor]:
    """A tensor for each phase (row phases outside) with the scale of `out`, or `out` itself for one phase."""
    if phases == (1, 1):
        return [out]
    found = []
    for i in range(phases[0]):
        for j in range(phases[1]):
            size = (-(-(out.h - i) // phases[0]), -(-(out.w - j) // phases[1]))
            name = f"{out.name}:{i}:{j}"
            found.append(out.like(name, shape=(1, out.c, *size)))
    return found


def interleaved(low: LoweringContext, node: ir.Node, parts: list[Tensor], phases: tuple[int, int], out: Tensor) -> None:
    """Let `out` hold the rows i, i + phases[0], ... and pixels j, j + phases[1], ... of part (i, j)."""
    if phases == (1, 1):
        return
    numbers = np.zeros((out.c, out.h, out.w), np.int64)
    start = 0
    for k, part in enumerate(parts):
        i, j = divmod(k, phases[1])
        size = math.prod(part.shape)
        numbers[:, i :: phases[0], j :: phases[1]] = start + np.arange(size).reshape(part.c, part.h, part.w)
        start += size
    low.layout(node, parts, numbers.reshape(-1), out)
