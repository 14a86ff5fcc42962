"""Rearranging channels exactly by a convolution or product with a matrix of zeros and ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.ir.operation import Op, Tensor
from vlac.ir.records import UNIT, Requant

__all__ = ["REORDER", "zero_one"]

REORDER = "Reorder"  # op_type of a 0/1 matrix that changes the order of channels


def zero_one(node: str, op_type: str, x: Tensor, out: Tensor, channels: NDArray[np.int64], fill: int = 0) -> Op:
    """Output channel i = input channel `channels[i]` (-1: fill), exactly, as a convolution or product."""
    n = len(channels)
    weight = np.zeros((n, x.c), np.int8)
    rows = np.flatnonzero(channels >= 0)
    weight[rows, channels[rows]] = 1
    bias = np.where(channels >= 0, 0, fill) - x.zero_point
    mult, shift = (np.full(n, v, np.int64) for v in UNIT)
    requant = Requant(bias, mult, shift, x.zero_point)
    if x.h == 1:
        return GemmOp(node, op_type, [x], out, weight, requant)
    return ConvOp(node, op_type, [x], out, weight.reshape(n, x.c, 1, 1), requant, (1, 1), (1, 1), (0, 0))
