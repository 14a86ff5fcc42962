"""Windows and records of pooling, shared by MaxPool, AveragePool, GlobalAveragePool and ReduceMean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.ir.graph import PoolOp, PoolPiece, Tensor
from vlac.ops.quantized import Result, node_label
from vlac.ops.spec import RuleResult, attribute, pads4, pair, shape_of
from vlac.ops.weights import multipliers

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["WINDOW_RULES", "average_records", "is_image", "lower_global_average", "window"]


def is_image(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The input must be an image with batch 1: [1, C, H, W], at most 2047 rows of 16383 pixels."""
    shape = shape_of(node.inputs[0])
    ok = len(shape) == 4 and shape[0] == 1 and shape[2] <= 2047 and shape[3] <= 16383
    return RuleResult(ok, f"input shape {list(shape)}")


def window_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The stride must not exceed 15, the kernel 2047 and the padding 255."""
    kernel, strides, pads = window(node)
    ok = max(strides) <= 15 and max(kernel) <= 2047 and max(pads) <= 255
    return RuleResult(ok, f"kernel {kernel[0]}x{kernel[1]}, stride {strides[0]}x{strides[1]}, padding {list(pads)}")


def is_not_dilated(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The dilation must be 1."""
    dilations = pair(attribute(node, "dilations", None), 1)
    return RuleResult(dilations == (1, 1), f"dilation {dilations[0]}x{dilations[1]}")


def windows_touch_the_input(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """No window may lie in the padding only (ceil_mode with much padding makes such windows)."""
    _, strides, pads = window(node)
    sizes, outputs = shape_of(node.inputs[0])[2:], shape_of(node.outputs[0])[2:]
    starts = [(o - 1) * s - p for o, s, p in zip(outputs, strides, pads[:2], strict=True)]
    return RuleResult(
        all(a < n for a, n in zip(starts, sizes, strict=True)),
        f"last window from {starts} in an input of {list(sizes)}",
    )


WINDOW_RULES = (is_image, window_fits, is_not_dilated, windows_touch_the_input)


def window(node: ir.Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Kernel, strides and padding (top, left, bottom, right) of a pooling node."""
    kernel = pair(attribute(node, "kernel_shape", None), 1)
    strides = pair(attribute(node, "strides", None), 1)
    return kernel, strides, pads4(node, kernel, strides)


def average_records(
    x: Tensor, out: Tensor, divisors: NDArray[np.int64], where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(mult, shift) of `s_x / (s_y * n)` for each divisor n, rounded to float32 once."""
    scales = (np.float64(x.scale) / (np.float64(out.scale) * divisors.astype(np.float64))).astype(np.float32)
    return multipliers(scales, where)


def lower_global_average(low: Lowering, node: ir.Node, x: Tensor, out: Result) -> None:
    """One POOL whose window is the whole map. x: an image [1, C, H, W]; the result has one pixel."""
    records = average_records(x, out.tensor, np.array([x.h * x.w]), f"{node.op_type} '{node_label(node)}'")
    piece = PoolPiece(0, 1, 0, 1, (x.h, x.w), 0)
    low.graph.ops.append(
        PoolOp(
            out.label,
            node.op_type,
            [x],
            out.tensor,
            "average",
            (x.h, x.w),
            (1, 1),
            (0, 0),
            [piece],
            "fixed",
            records,
            out.tensor.zero_point,
            out.lo,
            out.hi,
        )
    )
