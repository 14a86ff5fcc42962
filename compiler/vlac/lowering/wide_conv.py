"""Convolutions whose kernel, stride or dilation exceeds the instruction's, made smaller exactly.

Along each axis `fold` neighbouring positions become channels, and every `phases`-th output is made by one
convolution of its own: output q * phases + r starts at (q * phases + r) * stride - pad, so with fold a divisor of
phases * stride all its taps are whole folded positions. The same products are summed, in one accumulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.instructions.conv import CONV
from vlac.device.conv import ConvOp
from vlac.ir.operation import Tensor
from vlac.ir.records import Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.phases import interleaved, phase_tensors
from vlac.lowering.quantized import Result
from vlac.model.labels import node_label

__all__ = ["AxisPlan", "axis_plan", "lower_wide"]

I8 = NDArray[np.int8]
_KERNEL, _STRIDE, _DILATION = (CONV.limit(f"{field}_h") for field in ("kernel", "stride", "dilation"))
_FOLD, _PHASES = 32, 8


@dataclass(frozen=True)
class AxisPlan:
    """How one axis is cut: positions per channel group, output phases, and the largest kernel that results."""

    fold: int
    phases: int
    kernel: int

    @property
    def is_folded(self) -> bool:
        """Whether anything changes."""
        return self.fold > 1 or self.phases > 1


def axis_plan(kernel: int, stride: int, dilation: int, pad: int) -> AxisPlan | None:
    """The plan with the fewest phases, then the fewest taps; None where the limits cannot be met."""
    if kernel <= _KERNEL and stride <= _STRIDE and dilation <= _DILATION:
        return AxisPlan(1, 1, kernel)
    for phases in range(1, _PHASES + 1):
        plans = []
        for fold in range(1, _FOLD + 1):
            step = phases * stride
            if step % fold or step // fold > _STRIDE:
                continue
            spans = [_span(kernel, dilation, r * stride - pad, fold) for r in range(phases)]
            largest = max(b - a for a, b in spans)
            if largest <= _KERNEL:
                plans.append(AxisPlan(fold, phases, largest))
        if plans:
            return min(plans, key=lambda p: (p.kernel * p.fold, p.fold))
    return None


def _span(kernel: int, dilation: int, start: int, fold: int) -> tuple[int, int]:
    """Folded positions [a, b) under a kernel that starts at `start`; a is at most 0, as padding cannot be negative."""
    return min(start // fold, 0), (start + (kernel - 1) * dilation) // fold + 1


def _folded(low: LoweringContext, node: ir.Node, x: Tensor, folds: tuple[int, int]) -> Tensor:
    """`x` with folds[0] x folds[1] pixels as channels (c, row, pixel); what lies beyond the image is zero."""
    fy, fx = folds
    h, w = -(-x.h // fy), -(-x.w // fx)
    numbers = np.full((x.c, h * fy, w * fx), -1, np.int64)
    numbers[:, : x.h, : x.w] = np.arange(x.c * x.h * x.w).reshape(x.c, x.h, x.w)
    numbers = numbers.reshape(x.c, h, fy, w, fx).transpose(0, 2, 4, 1, 3)
    shape = (1, x.c * fy * fx, h, w)
    target = x.like(f"{x.name}:folded{fy}x{fx}", shape=shape)
    return low.layout(node, [x], numbers.reshape(-1), target)


def lower_wide(
    low: LoweringContext,
    node: ir.Node,
    x: Tensor,
    out: Result,
    weight: I8,
    requant: Requant,
    group: int,
    plans: tuple[AxisPlan, AxisPlan],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> None:
    """A convolution per phase over the folded input, interleaved."""
    source = _folded(low, node, x, (plans[0].fold, plans[1].fold))
    phases = min(plans[0].phases, out.tensor.h), min(plans[1].phases, out.tensor.w)
    parts = phase_tensors(out.tensor, phases)
    for (i, j), part in zip(product(range(phases[0]), range(phases[1])), parts, strict=True):
        starts = i * strides[0] - pads[0], j * strides[1] - pads[1]
        rows, columns = (_taps(weight.shape[2 + a], dilations[a], starts[a], plans[a]) for a in (0, 1))
        taken = _phase_weight(weight, (plans[0].fold, plans[1].fold), rows, columns)
        steps = [p.phases * s // p.fold for p, s in zip(plans, strides, strict=True)]
        left = (rows.dilation, columns.dilation), (rows.pad, columns.pad)
        conv = (taken, requant, (steps[0], steps[1]), *left, group)
        low.graph.insert(ConvOp(out.label, "Conv", [source], part, *conv, macs=weight[0].size, gate=node_label(node)))
    interleaved(low, node, parts, phases, out.tensor)


@dataclass(frozen=True)
class _Taps:
    """The taps of one axis: (position, place in its fold) of each, positions, padding, dilation that is left."""

    at: list[tuple[int, int]]
    size: int
    pad: int
    dilation: int


def _taps(kernel: int, dilation: int, start: int, plan: AxisPlan) -> _Taps:
    if not plan.is_folded:
        return _Taps([(k, 0) for k in range(kernel)], kernel, -start, dilation)
    first, end = _span(kernel, dilation, start, plan.fold)
    at = [divmod(start + k * dilation, plan.fold) for k in range(kernel)]
    return _Taps([(group - first, place) for group, place in at], end - first, -first, 1)


def _phase_weight(weight: I8, folds: tuple[int, int], rows: _Taps, columns: _Taps) -> I8:
    """The weight of one phase over folded channels."""
    o, i, *_ = weight.shape
    large = np.zeros((o, i, *folds, rows.size, columns.size), np.int8)
    for (ky, (y, ry)), (kx, (x, rx)) in product(enumerate(rows.at), enumerate(columns.at)):
        large[:, :, ry, rx, y, x] = weight[:, :, ky, kx]
    return large.reshape(o, i * folds[0] * folds[1], rows.size, columns.size)
