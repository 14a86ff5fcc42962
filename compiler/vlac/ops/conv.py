"""Conv: the CONV instruction, with groups as a tile mask and depthwise as the diagonal one.

Kernels over 15 and strides over 4 are folded exactly (`wide_conv`).
"""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.conv import CONV
from vlac.device.conv import ConvOp
from vlac.lowering.context import LoweringContext
from vlac.lowering.experts import insert_layer
from vlac.lowering.spec import F32, OpSpec, RuleResult
from vlac.lowering.weights import Weights, read_weights, requant_of
from vlac.lowering.wide_conv import AxisPlan, axis_plan, lower_wide
from vlac.model.labels import node_label
from vlac.model.reading import (
    attribute,
    constant_input,
    expert_choice,
    input_name,
    is_constant,
    pads4,
    pair,
    shape_of,
)

__all__ = ["SPEC"]

_Pads = tuple[int, int, int, int]


def is_two_dimensional(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The convolution must be 2-D with batch 1: input [1, C, H, W] (1-D in a float model is made 2-D)."""
    shape = shape_of(node.inputs[0])
    return RuleResult(len(shape) == 4 and shape[0] == 1, f"input shape {list(shape)}")


def weights_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The weights must be constants, or of constants [experts, ...] those that a Gather chooses by one number; then the
    kernel must need no folding.
    """
    weight = node.inputs[1]
    expert = expert_choice(weight) is not None and not any(p.is_folded for p in _plans(node))
    return RuleResult(is_constant(weight) or expert, f"computed weights {input_name(node, 1)}")


def channels_match(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The input's channels must be the weights' channels times the groups, which divide the output channels."""
    found, (out, per_group) = shape_of(node.inputs[0])[1], shape_of(node.inputs[1])[:2]
    group = int(attribute(node, "group", 1))
    return RuleResult(
        found == per_group * group and out % group == 0,
        f"{found} input and {out} output channels, {group} groups of {per_group}",
    )


def kernel_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The kernel must not exceed {CONV[kernel_h]}x{CONV[kernel_w]}, the stride {CONV[stride_h]} and the dilation
    {CONV[dilation_h]}, or come below by folding up to 32 rows or pixels into channels and making at most 8 rows or
    pixels in turn (stride 1: a kernel up to 113).
    """
    strides, dilations, pads = _geometry(node)
    kernel = shape_of(node.inputs[1])[2:]
    ok = all(axis_plan(k, s, d, p) for k, s, d, p in zip(kernel, strides, dilations, pads, strict=False))
    found = f"kernel {kernel[0]}x{kernel[1]}, stride {strides[0]}x{strides[1]}, dilation {dilations[0]}x{dilations[1]}"
    return RuleResult(ok, found)


def size_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Input and output must have at most {CONV[in_h]} rows and {CONV[in_w]} pixels per row, and padding at most
    {CONV[pad_top]}.
    """
    h = max(shape_of(node.inputs[0])[2], shape_of(node.outputs[0])[2])
    w = max(shape_of(node.inputs[0])[3], shape_of(node.outputs[0])[3])
    pad = max(_geometry(node)[2])
    ok = h <= CONV.limit("in_h") and w <= CONV.limit("in_w") and pad <= CONV.limit("pad_top")
    return RuleResult(ok, f"{h}x{w} with padding {pad}")


def one_out_block_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The weights of one block of {block} channels must fit the {weight_words} words of the weight scratchpad."""
    out, i, kh, kw = shape_of(node.inputs[1])
    group, (rows, columns) = int(attribute(node, "group", 1)), _plans(node)
    blocks = _input_blocks(out, i * rows.fold * columns.fold, group, hw.block)
    words = blocks * rows.kernel * columns.kernel
    return RuleResult(words <= hw.weight_words, f"{words} words ({i} input channels, kernel {kh}x{kw})")


def _input_blocks(out: int, per_group: int, group: int, block: int) -> int:
    """The most channel blocks that one block of output channels reads; it may lie across several groups."""
    each, most = out // group, 1
    for first in range(0, out, block):
        channels = first // each * per_group, ((min(first + block, out) - 1) // each + 1) * per_group
        most = max(most, -(-channels[1] // block) - channels[0] // block)
    return most


def _geometry(node: ir.Node) -> tuple[tuple[int, int], tuple[int, int], _Pads]:
    kernel = shape_of(node.inputs[1])[2:]
    strides = pair(attribute(node, "strides", None), 1)
    dilations = pair(attribute(node, "dilations", None), 1)
    return strides, dilations, pads4(node, (kernel[0], kernel[1]), strides, dilations)


def _plans(node: ir.Node) -> tuple[AxisPlan, AxisPlan]:
    strides, dilations, pads = _geometry(node)
    kernel = shape_of(node.inputs[1])[2:]
    rows, columns = (axis_plan(kernel[i], strides[i], dilations[i], pads[i]) for i in (0, 1))
    assert rows is not None and columns is not None
    return rows, columns


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x = low.operand(node, 0)
    out = low.result(node)
    strides, dilations, pads = _geometry(node)
    group = int(attribute(node, "group", 1))
    plans = _plans(node)
    if any(p.is_folded for p in plans):
        weights, c = read_weights(node, 1, axis=0), constant_input(node, 2)
        requant = requant_of(node, x, weights, None if c is None else c.astype("float32"), out)
        lower_wide(low, node, x, out, weights.values, requant, group, plans, strides, dilations, pads)
        return

    def layer(weights: Weights, bias: F32 | None) -> ConvOp:
        requant, begin = requant_of(node, x, weights, bias, out), (pads[0], pads[1])
        steps = strides, dilations, begin
        return ConvOp(out.label, "Conv", [x], out.tensor, weights.values, requant, *steps, group, gate=node_label(node))

    insert_layer(low, node, 0, layer)


SPEC = OpSpec(
    "Conv",
    "CONV: any stride, dilation and padding; groups by tile mask, depthwise by the diagonal mask; large kernels and "
    "strides by folding rows and pixels into channels.",
    rules=(
        is_two_dimensional,
        weights_are_constant,
        channels_match,
        kernel_fits,
        size_fits,
        one_out_block_fits,
    ),
    lower=_lower,
)
