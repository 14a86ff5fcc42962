"""First convolution with few channels and a stride: fold stride x stride pixels into channels.

The host packs the input that way for nothing, and a 3x3 stride 2 kernel on 3 channels becomes 2x2 stride 1
on 12. Exact: pixel groups outside the image are whole groups of padding, and taps inside a group that the
kernel does not reach get zero weights. Done only where it saves cycles and the input feeds nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from vla_isa.hardware import HardwareConfig
from vlac.device.conv import ConvOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor
from vlac.legalize.match import axis_order

__all__ = ["space_to_depth"]

Shape = tuple[int, ...]


def space_to_depth(graph: Graph, hw: HardwareConfig) -> None:
    """Rewrite every model input that feeds exactly one such convolution."""
    for tensor in graph.inputs:
        conv = tensor.consumers[0] if len(tensor.consumers) == 1 else None
        if isinstance(conv, ConvOp) and conv.inputs[0] is tensor and not graph.is_output(tensor):
            _fold(graph, tensor, conv, hw)


def _taps(kernel: int, stride: int, pad: int) -> tuple[int, int]:
    """First group and number of groups of pixels under a kernel, relative to the output position."""
    first = -(-pad // stride)
    return -first, (kernel - 1 - pad) // stride + first + 1


def _layout(graph: Graph, tensor: Tensor, view: tuple[int, ...]) -> tuple[Shape, Shape, Shape] | None:
    """How the host packs the folded input, which it may have packed in another order before; None if it cannot."""
    order = (1, 3, 2, 4, 0)
    if tensor not in graph.input_layouts:
        return tensor.shape, view, order
    numbers = np.arange(math.prod(view)).reshape(view).transpose(order).reshape(-1)
    found = axis_order(graph.input_orders[tensor][numbers])
    return None if found is None else (graph.input_layouts[tensor][0], *found)


def _fold(graph: Graph, tensor: Tensor, conv: ConvOp, hw: HardwareConfig) -> None:
    (sh, sw), (ph, pw), (kh, kw) = conv.strides, conv.pads, conv.kernel
    possible = (
        conv.group == 1
        and conv.dilations == (1, 1)
        and tensor.h % sh == 0
        and tensor.w % sw == 0
        and sh * sw > 1
        and conv.residual is None
    )
    if not possible:
        return
    (first_y, rows), (first_x, columns) = _taps(kh, sh, ph), _taps(kw, sw, pw)
    channels = conv.weight.shape[1]
    before = kh * kw * -(-channels // hw.block)
    after = rows * columns * -(-channels * sh * sw // hw.block)
    if after >= before:
        return
    view = (channels, tensor.h // sh, sh, tensor.w // sw, sw)
    layout = _layout(graph, tensor, view)
    if layout is None:
        return
    folded = np.zeros((conv.weight.shape[0], sh, sw, channels, rows, columns), np.int8)
    for ky in range(kh):
        for kx in range(kw):
            (gy, ry), (gx, rx) = divmod(ky - ph, sh), divmod(kx - pw, sw)
            folded[:, ry, rx, :, gy - first_y, gx - first_x] = conv.weight[:, :, ky, kx]
    conv.weight = folded.reshape(conv.weight.shape[0], sh * sw * channels, rows, columns)
    conv.strides, conv.pads = (1, 1), (-first_y, -first_x)
    graph.input_layouts[tensor] = layout
    tensor.h, tensor.w, tensor.c = tensor.h // sh, tensor.w // sw, channels * sh * sw
