"""Pad with a constant or with the input's own values: into the convolution behind it, or COPY."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.context import LoweringContext
from vlac.lowering.layout import arguments_are_constant, lower_layout
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute, constant_input
from vlac.model.rearranged import evaluated

__all__ = ["NEVER", "SPEC"]

NEVER = 1e4  # a number so far below zero stands for "never": no activation comes near it


def mode_is_known(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The mode must be constant, edge, reflect or wrap."""
    mode = attribute(node, "mode", "constant")
    return RuleResult(mode in ("constant", "edge", "reflect", "wrap"), f"mode {mode}")


def only_adds(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Padding must be at least 0; a Slice takes values away."""
    pads = constant_input(node, 1)
    return RuleResult(pads is not None and pads.min(initial=0) >= 0, f"pads {None if pads is None else pads.tolist()}")


def never_is_folded(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """A number of -1e4 or less, in front of a MaxPool of a float model, must be that pool's padding: rows and pixels
    only, with an input value in every window.
    """
    value = constant_input(node, 2)
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    quantized = source is not None and source.op_type == "DequantizeLinear"
    ok = value is None or quantized or float(value.reshape(-1)[0]) > -NEVER
    ok = ok or not any(user.op_type == "MaxPool" for user in node.outputs[0].consumers())
    pads = constant_input(node, 1)
    return RuleResult(ok, f"pads {None if pads is None else pads.tolist()} with {value}")


def _lower(low: LoweringContext, node: ir.Node) -> None:
    value = constant_input(node, 2)
    fill = 0.0 if value is None else float(value.reshape(-1)[0])
    lower_layout(low, node, evaluated(node, fill_input=2), fill)


SPEC = OpSpec(
    "Pad",
    "Into the padding of the convolution or pool behind it; else COPY (fill, then move).",
    rules=(arguments_are_constant, mode_is_known, only_adds, never_is_folded),
    lower=_lower,
    keeps_scale=True,
)
