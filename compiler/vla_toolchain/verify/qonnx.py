"""QONNX's Quant as standard operators in float, word by word as it is defined: a reference that converts nothing.

Definition: https://github.com/fastmachinelearning/qonnx/blob/main/docs/qonnx-custom-ops/quant_op.md
Not here: what the compiler makes of it (`quantize/dialects/qonnx.py`).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vlac.errors import ModelError

__all__ = ["expanded"]

_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_ROUNDING = {"ROUND": "Round", "HALF_EVEN": "Round", "FLOOR": "Floor", "CEIL": "Ceil"}


def expanded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every Quant node spelled out; models without any as they are.

    Raises:
        ModelError: a rounding mode that standard operators have no word for.
    """
    if not any(_is_quant(node) for node in model.graph.node):
        return model
    out = onnx.ModelProto()
    out.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _spelled_out(node, out.graph) if _is_quant(node) else [node]
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    for domain in [o for o in out.opset_import if o.domain in _DOMAINS]:
        out.opset_import.remove(domain)
    return out


def _is_quant(node: onnx.NodeProto) -> bool:
    return node.domain in _DOMAINS and node.op_type in ("Quant", "IntQuant")


def _spelled_out(node: onnx.NodeProto, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    x, scale, zero, bits = node.input
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    mode = attributes.get("rounding_mode", b"ROUND").decode().upper()
    if mode not in _ROUNDING:
        raise ModelError(f"Quant '{node.name or node.output[0]}' rounds by {mode}, which the comparison cannot do")
    made: list[onnx.NodeProto] = []

    def constant(name: str, value: float) -> str:
        graph.initializer.append(numpy_helper.from_array(np.float32(value), f"{node.output[0]}//{name}"))
        return f"{node.output[0]}//{name}"

    def then(op: str, *inputs: str, out: str = "") -> str:
        out = out or f"{node.output[0]}//{len(made)}"
        made.append(helper.make_node(op, list(inputs), [out]))
        return out

    levels = then("Pow", constant("two", 2), then("Sub", bits, constant("sign", signed)))
    highest = then("Sub", levels, constant("last", 1 + (narrow and not signed)))
    lowest = then("Sub", constant("narrow", narrow), levels) if signed else constant("lowest", 0)
    steps = then("Add", then("Div", x, scale), zero)
    inside = then("Max", then("Min", steps, highest), lowest)
    then("Mul", then("Sub", then(_ROUNDING[mode], inside), zero), scale, out=node.output[0])
    return made
