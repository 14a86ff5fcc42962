"""Windows and records of pooling, shared by the pools and by reductions over rows and pixels.

A dilated window reads every d-th row: outputs that start in the same of the d classes of rows form one plain pool
over the rows of that class, picked by COPY, and the results are put together by COPY.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.pool import POOL
from vlac.device.pool import PoolOp
from vlac.ir.operation import Tensor
from vlac.ir.records import PoolPiece
from vlac.lowering.context import LoweringContext
from vlac.lowering.phases import interleaved, phase_tensors
from vlac.lowering.quantized import Result
from vlac.lowering.spec import RuleResult
from vlac.lowering.weights import multipliers
from vlac.model.labels import node_label
from vlac.model.reading import attribute, pads4, pair, shape_of

__all__ = [
    "WINDOW_RULES",
    "Axis",
    "average_records",
    "by_phases",
    "is_image",
    "lower_average",
    "lower_max",
    "max_pool",
    "window",
]

Pads = tuple[int, int, int, int]


def is_image(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The input must be [1, C, H, W] (float: also 1-D and 3-D), batch 1, at most {POOL[in_h]} rows of {POOL[in_w]}
    pixels.
    """
    shape = shape_of(node.inputs[0])
    ok = len(shape) == 4 and shape[0] == 1 and shape[2] <= POOL.limit("in_h") and shape[3] <= POOL.limit("in_w")
    return RuleResult(ok, f"input shape {list(shape)}")


def window_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The stride must not exceed {POOL[stride_h]}, the kernel {POOL[kernel_h]} and the padding {POOL[pad_top]}."""
    kernel, strides, pads, _ = window(node)
    ok = max(strides) <= POOL.limit("stride_h") and max(kernel) <= POOL.limit("kernel_h")
    ok = ok and max(pads) <= POOL.limit("pad_top")
    return RuleResult(ok, f"kernel {kernel[0]}x{kernel[1]}, stride {strides[0]}x{strides[1]}, padding {list(pads)}")


def windows_touch_the_input(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """No window may lie in the padding only (much padding with ceil_mode or dilation makes such windows)."""
    kernel, strides, pads, dilations = window(node)
    sizes, outputs = shape_of(node.inputs[0])[2:], shape_of(node.outputs[0])[2:]
    # the first tap at or after 0 of each window; with dilation a window may also step over the whole input
    outside = [
        f"{size} taps from {o * s - p} in steps of {d} along axis {axis} of {n} elements"
        for axis, (n, count, size, s, p, d) in enumerate(
            zip(sizes, outputs, kernel, strides, pads[:2], dilations, strict=True), start=2
        )
        for o in (range(count) if d > 1 else (0, count - 1))
        if not any(0 <= o * s - p + k * d < n for k in range(size))
    ]
    return RuleResult(not outside, "".join(outside[:1]))


WINDOW_RULES = (is_image, window_fits, windows_touch_the_input)


def window(node: ir.Node) -> tuple[tuple[int, int], tuple[int, int], Pads, tuple[int, int]]:
    """Kernel, strides, padding (top, left, bottom, right) and dilations of a pooling node."""
    kernel = pair(attribute(node, "kernel_shape", None), 1)
    strides = pair(attribute(node, "strides", None), 1)
    dilations = pair(attribute(node, "dilations", None), 1)
    return kernel, strides, pads4(node, kernel, strides, dilations), dilations


# --- dilation -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """One axis of a pool without dilation: sizes in and out, kernel, stride, padding in front and behind."""

    size: int
    out: int
    kernel: int
    stride: int
    pad: int
    behind: int


def _phases(axis: Axis, dilation: int) -> list[tuple[slice, Axis]]:
    """Output phases of a dilated axis: the input positions each reads, and the plain pool over them."""
    common = math.gcd(axis.stride, dilation)
    count = min(dilation // common, axis.out)
    found = []
    for j in range(count):
        start = j * axis.stride - axis.pad
        rest = start % dilation
        size = -(-(axis.size - rest) // dilation)
        out = -(-(axis.out - j) // count)
        stride = axis.stride // common
        pad = -((start - rest) // dilation)
        end = (out - 1) * stride - pad + axis.kernel
        found.append((slice(rest, None, dilation), Axis(size, out, axis.kernel, stride, pad, max(end - size, 0))))
    return found


def by_phases(
    low: LoweringContext, node: ir.Node, x: Tensor, out: Tensor, make: Callable[[Tensor, Tensor, Axis, Axis], None]
) -> None:
    """Let `make` add plain pools (input, output, rows, pixels) that together are the node's pool."""
    kernel, strides, pads, dilations = window(node)
    sizes = ((x.h, out.h), (x.w, out.w))
    axes = [Axis(*sizes[i], kernel[i], strides[i], pads[i], pads[i + 2]) for i in (0, 1)]
    if dilations == (1, 1):
        make(x, out, axes[0], axes[1])
        return
    numbers = np.arange(math.prod(x.shape)).reshape(x.c, x.h, x.w)
    rows, columns = (_phases(a, d) for a, d in zip(axes, dilations, strict=True))
    phases = len(rows), len(columns)
    results = phase_tensors(out, phases)
    for ((ys, row), (xs, column)), made in zip(product(rows, columns), results, strict=True):
        taken = numbers[:, ys, xs]
        name = f"{made.name}:in"
        part = x.like(name, label=out.label, shape=(1, *taken.shape))
        make(low.layout(node, [x], taken.reshape(-1), part), made, row, column)
    interleaved(low, node, results, phases, out)


# --- the pools ------------------------------------------------------------------------------------------


def average_records(
    x: Tensor, out: Tensor, divisors: NDArray[np.int64], where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(mult, shift) of `s_x / (s_y * n)` for each divisor n, rounded to float32 once."""
    scales = (np.float64(x.scale) / (np.float64(out.scale) * divisors.astype(np.float64))).astype(np.float32)
    return multipliers(scales, where)


def lower_average(
    low: LoweringContext, node: ir.Node, x: Tensor, out: Result, kernel: tuple[int, int], divisor: int | None = None
) -> None:
    """Sums over windows of `kernel` that cover an axis whole or one position of it, by `divisor` (else the taps)."""
    taps = kernel[0] * kernel[1]
    records = average_records(x, out.tensor, np.array([divisor or taps]), f"{node.op_type} '{node_label(node)}'")
    piece = PoolPiece(0, out.tensor.h, 0, out.tensor.w, kernel, 0)
    zero = out.tensor.zero_point
    low.graph.insert(
        PoolOp(
            out.label,
            node.op_type,
            [x],
            out.tensor,
            "average",
            kernel,
            (1, 1),
            (0, 0),
            [piece],
            "fixed",
            records,
            zero,
            out.lo,
            out.hi,
        )
    )


def lower_max(
    low: LoweringContext,
    node: ir.Node,
    x: Tensor,
    shape: tuple[int, ...],
    make: Callable[[Tensor], None],
    index: NDArray[np.int64] | None = None,
) -> None:
    """A maximum of `x` in its own scale, made by `make` in a shape of its own; a table where the scale changes.

    `index` is the element of it that each element of the node's result is, where that is another order.
    """
    target, label = low.passthrough(node)
    value = node.outputs[0]
    name = f"{value.name}:pooled"
    pooled = x.like(name, label=value.name or name, shape=shape)
    index = np.arange(math.prod(shape)) if index is None else index
    plain = np.array_equal(index, np.arange(len(index)))
    same = target is not None and target.same_scale(x)
    if target is not None and same and plain and target.same_order(pooled):
        make(target)
        return
    make(pooled)
    name = f"{value.name}:moved"
    out = x.like(name, label=value.name or name, shape=shape_of(value))
    found = low.layout(node, [pooled], index, out)
    if target is None:
        low.values[value] = found
    else:
        low.requantized(found, target, label, node.op_type)


def max_pool(op_type: str, label: str, x: Tensor, out: Tensor, rows: Axis, columns: Axis) -> PoolOp:
    """One POOL without dilation."""
    none = np.zeros(0, np.int64)
    kernel, strides = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
    pieces = [PoolPiece(0, out.h, 0, out.w, kernel, 0)]
    pads = (rows.pad, columns.pad)
    return PoolOp(label, op_type, [x], out, "max", kernel, strides, pads, pieces, "fixed", (none, none), x.zero_point)
