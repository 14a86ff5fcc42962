"""LSTM, GRU and RNN as operators: which of them a rewrite of float models unrolls.

Not here: the nodes that take their place (`rewrite/recurrent.py`).
"""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute, input_name, is_constant, shape_of

__all__ = ["RECURRENT", "obstacles", "recurrent_spec"]

RECURRENT = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_MOST_STEPS = 128
_UNUSUAL = ((4, "sequence_lens"), (7, "P"))  # inputs


def obstacles(node: ir.Node) -> str:
    """What is in the way of unrolling a node, apart from quantization; empty where nothing is."""
    shape, layout = shape_of(node.inputs[0]), attribute(node, "layout", 0)
    found = (
        [] if len(shape) == 3 and shape[1] == 1 and shape[0] <= _MOST_STEPS and not layout else [f"input {list(shape)}"]
    )
    computed = [i for i in (1, 2, 3) if _given(node, i) and not is_constant(node.inputs[i])]
    found += [f"computed {input_name(node, i)}" for i in computed]
    found += [f"'{name}'" for i, name in _UNUSUAL if _given(node, i)]
    usual = [a.lower() for a in RECURRENT[node.op_type]]
    names = [a.lower() for a in attribute(node, "activations", None) or usual]
    if names != usual * (len(names) // len(usual)) and not (node.op_type == "RNN" and set(names) == {"relu"}):
        found.append(f"activations {', '.join(names)}")
    found += [f"{n} {attribute(node, n, 0):g}" for n in ("clip", "input_forget", "layout") if attribute(node, n, 0)]
    return ", ".join(found)


def _given(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def is_unrolled(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must be in a float model, of an input [steps, 1, size] with at most 128 steps, constant weights and bias, the
    usual activations (of RNN also Relu), and without sequence_lens, peepholes, clip, input_forget and layout 1.
    """
    return RuleResult(False, obstacles(node) or "a quantized model")


def recurrent_spec(name: str) -> OpSpec:
    """The spec of one of them."""
    summary = "Unrolled: GEMM for each step, VEC and tables for gates and state."
    return OpSpec(name, summary, rules=(is_unrolled,), quantize=False)
