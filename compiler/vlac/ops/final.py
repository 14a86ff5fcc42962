"""Functions at the end of a model that the host does when it dequantizes the output: Softmax, ArgMax and the like.

The device stops at the tensor in front of them; the program file names the steps (`vla_isa.program.Finish`), and
`vlac info` and the report show them. A reshape there is only a matter of the output's layout. Not here: the steps
themselves (`vlarun.finish`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.program import Finish
from vlac.ir.graph import Tensor
from vlac.ops.quantized import activation_parameters
from vlac.ops.spec import OpSpec, RuleResult, attribute, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["Finished", "final", "finish", "is_final"]

Finished = tuple[Tensor, tuple[Finish, ...]]

_FUNCTIONS = {"Softmax": -1, "LogSoftmax": -1, "ArgMax": 0, "ArgMin": 0}  # with the default axis
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
_SUMMARY = "On the host with the dequantization of the output: the device stops in front of it."


def is_final(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Its result must be a model output, at most reshaped, quantized or passed to ArgMax on the way: the device has
    no such function in the middle of a model.
    """
    waiting = list(node.outputs)
    while waiting:
        value = waiting.pop()
        for user in value.consumers():
            if user.inputs[0] is not value or user.op_type not in (
                *_FUNCTIONS,
                *_VIEWS,
                "QuantizeLinear",
                "DequantizeLinear",
            ):
                return RuleResult(False, f"{user.op_type} '{user.name or user.outputs[0].name}' behind it")
            waiting += user.outputs
    return RuleResult(True, "")


def final(name: str) -> OpSpec:
    """The spec of such a function."""

    def lower(low: Lowering, node: ir.Node) -> None:
        tensor, shape = low.operand(node, 0), shape_of(node.inputs[0])
        finish(low, node, (tensor, () if tensor.shape == shape else (Finish("Reshape", shape),)))

    return OpSpec(name, _SUMMARY, rules=(is_final,), lower=lower, quantize_result=False)


def finish(low: Lowering, node: ir.Node, before: Finished) -> None:
    """Add the step of a node; `before` is what its input is: a tensor of the device and the steps behind it."""
    source, out = node.inputs[0], node.outputs[0]
    tensor, steps = before
    shape = shape_of(out)
    if node.op_type in _FUNCTIONS:
        rank = len(shape_of(source))
        axis = int(attribute(node, "axis", _FUNCTIONS[node.op_type])) % max(rank, 1)
        steps += (Finish(node.op_type, shape, axis, int(attribute(node, "select_last_index", 0))),)
    elif node.op_type == "QuantizeLinear":
        scale, zero, _ = activation_parameters(node)
        if steps or (scale, zero) != (tensor.scale, tensor.zero_point):
            steps += (Finish("Quantize", shape, scale=scale, zero_point=zero),)
    elif node.op_type in _VIEWS and steps:
        steps += (Finish("Reshape", shape),)
    low.finished[out] = (tensor, steps)
