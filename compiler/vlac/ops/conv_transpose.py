"""ConvTranspose: one convolution per phase of the output (sub-pixel convolution), put together by COPY.

Output row q * stride + r takes the taps k with (r + pad - k * dilation) divisible by the stride, each from input row
q + (r + pad - k * dilation) / stride: an ordinary convolution over the input for every r. No zeros are inserted.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.conv import CONV
from vlac.device.conv import ConvOp
from vlac.lowering.context import LoweringContext
from vlac.lowering.phases import interleaved, phase_tensors
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.weights import Weights, read_weights, requant_of
from vlac.model.reading import attribute, constant, input_name, is_constant, pair, shape_of

__all__ = ["SPEC"]

_Pair = tuple[int, int]


def is_two_dimensional(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The convolution must be 2-D with batch 1: input [1, C, H, W] of at most {CONV[in_h]} rows and {CONV[in_w]}
    pixels, also out.
    """
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    ok = len(shape) == 4 and shape[0] == 1 and max(shape[2], out[2]) <= CONV.limit("in_h")
    ok = ok and max(shape[3], out[3]) <= CONV.limit("in_w")
    return RuleResult(ok, f"input shape {list(shape)}, output shape {list(out)}")


def weights_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The weights must be constants."""
    return RuleResult(is_constant(node.inputs[1]), f"computed weights {input_name(node, 1)}")


def phases_fit(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The stride must not exceed 16, and in each phase the kernel {CONV[kernel_h]}x{CONV[kernel_w]} (about kernel /
    stride), its dilation {CONV[dilation_h]} and its padding {CONV[pad_top]}.
    """
    strides, dilations, pads = _geometry(node)
    kernel = shape_of(node.inputs[1])[2:]
    found = f"kernel {kernel[0]}x{kernel[1]}, stride {strides[0]}x{strides[1]}, dilation {dilations[0]}x{dilations[1]}"
    found += f", padding {pads[0]} and {pads[1]}"
    ok = max(strides) <= 16
    for n, s, d, p in zip(kernel, strides, dilations, pads, strict=True):
        for r in range(s if ok else 0):
            taps = _taps(n, s, d, p, r)
            ok = ok and taps.size <= CONV.limit("kernel_h") and taps.pad <= CONV.limit("pad_top")
            ok = ok and taps.dilation <= CONV.limit("dilation_h")
    return RuleResult(ok, found)


def one_out_block_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The weights of one phase of {block} channels must fit the {weight_words} words of the weight scratchpad."""
    i, _, *kernel = shape_of(node.inputs[1])
    strides, dilations, pads = _geometry(node)
    words = -(-i // int(attribute(node, "group", 1)) // hw.block)
    for n, s, d, p in zip(kernel, strides, dilations, pads, strict=True):
        words *= max(_taps(n, s, d, p, r).size for r in range(s))
    return RuleResult(words <= hw.weight_words, f"{words} words ({i} input channels, kernel {kernel[0]}x{kernel[1]})")


def _geometry(node: ir.Node) -> tuple[_Pair, _Pair, _Pair]:
    """Strides, dilations and padding (top, left); padding follows from the output's size where it is not given."""
    strides = pair(attribute(node, "strides", None), 1)
    dilations = pair(attribute(node, "dilations", None), 1)
    mode = attribute(node, "auto_pad", "NOTSET")
    given = attribute(node, "pads", None)
    if attribute(node, "output_shape", None) is None and mode in ("NOTSET", "", "VALID"):
        begin = (int(given[0]), int(given[1])) if given and mode != "VALID" else (0, 0)
        return strides, dilations, begin
    sizes, outs, kernel = (shape_of(v)[2:] for v in (node.inputs[0], node.outputs[0], node.inputs[1]))
    extra = pair(attribute(node, "output_padding", None), 0)
    pads = []
    for i in (0, 1):
        total = strides[i] * (sizes[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - outs[i]
        total = max(total, 0)
        pads.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
    return strides, dilations, (pads[0], pads[1])


class _Taps:
    """The taps of one output phase along one axis: which, from how far in front, and in what steps."""

    def __init__(self, taps: list[int], offsets: list[int]) -> None:
        first, last = min([*offsets, 0] if min(offsets, default=0) > 0 else offsets, default=0), max(offsets, default=0)
        steps = [o - first for o in offsets]
        self.dilation = math.gcd(*steps) or 1
        self.pad = -first
        self.size = (last - first) // self.dilation + 1
        self.at = [(k, s // self.dilation) for k, s in zip(taps, steps, strict=True)]


def _taps(kernel: int, stride: int, dilation: int, pad: int, phase: int) -> _Taps:
    taps = [k for k in range(kernel) if (phase + pad - k * dilation) % stride == 0]
    return _Taps(taps, [(phase + pad - k * dilation) // stride for k in taps])


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x = low.operand(node, 0)
    group = int(attribute(node, "group", 1))
    stored = read_weights(node, 1, axis=1)
    c, per_group, kh, kw = stored.values.shape
    by_group = stored.values.reshape(group, c // group, per_group, kh, kw).transpose(0, 2, 1, 3, 4)
    weight = by_group.reshape(group * per_group, c // group, kh, kw)  # as a Conv has it
    scales = np.tile(stored.scales, group)
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = None if bias is None else bias.astype(np.float32)
    out = low.result(node)
    strides, dilations, pads = _geometry(node)
    phases = min(strides[0], out.tensor.h), min(strides[1], out.tensor.w)
    parts = phase_tensors(out.tensor, phases)
    for (i, j), part in zip(product(range(phases[0]), range(phases[1])), parts, strict=True):
        rows, columns = _taps(kh, strides[0], dilations[0], pads[0], i), _taps(kw, strides[1], dilations[1], pads[1], j)
        taken = _phase_weight(weight, rows, columns)
        requant = requant_of(node, x, Weights(taken, scales), bias, out)
        taps = (rows.dilation, columns.dilation), (rows.pad, columns.pad)
        macs = c // group * len(rows.at) * len(columns.at)
        low.graph.insert(ConvOp(out.label, "ConvTranspose", [x], part, taken, requant, (1, 1), *taps, group, macs=macs))
    interleaved(low, node, parts, phases, out.tensor)


def _phase_weight(weight: NDArray[np.int8], rows: _Taps, columns: _Taps) -> NDArray[np.int8]:
    taken = np.zeros((*weight.shape[:2], rows.size, columns.size), np.int8)
    for (ky, y), (kx, x) in product(rows.at, columns.at):
        taken[:, :, y, x] = weight[:, :, ky, kx]
    return taken


SPEC = OpSpec(
    "ConvTranspose",
    "CONV per phase of the output, with only the taps that meet an input, put together by COPY.",
    rules=(is_two_dimensional, weights_are_constant, phases_fit, one_out_block_fits),
    lower=_lower,
)
