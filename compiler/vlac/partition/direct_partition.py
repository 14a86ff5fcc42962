"""Outputs that need no computing, in a program with host partitions: one more host partition makes them.

An input that is an output under its own name needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vla_isa.package import HostNode, HostPartition, Package
from vla_isa.signature import Value
from vlac.import_onnx.direct_outputs import DirectOutputs

__all__ = ["add_direct_outputs"]

_OPSET, _IR_VERSION = 13, 8
_REASON = "an output that needs no computing: a constant, or an input under another name"


def add_direct_outputs(package: Package, direct: DirectOutputs, order: Sequence[str]) -> None:
    """Add the outputs, and what makes them, to a package, in place; `order` has the names of all outputs."""
    inputs = {v.name: v for v in package.inputs}
    outputs = {v.name: v for v in package.outputs}
    nodes, made = list[onnx.NodeProto](), list[Value]()
    for name, source in direct.items():
        if isinstance(source, str):
            value = Value(name, inputs[source].shape, inputs[source].dtype)
            node = helper.make_node("Identity", [source], [name], name=name)
        else:
            value = Value(name, source.shape, str(source.dtype))
            node = helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(source))
        outputs[name] = value
        if not isinstance(source, str) or name != source:
            nodes.append(node)
            made.append(value)
    package.outputs = [outputs[name] for name in order if name in outputs]
    if nodes:
        read = [inputs[name] for name in dict.fromkeys(name for n in nodes for name in n.input)]
        graph = helper.make_graph(nodes, "direct", [_info(v) for v in read], [_info(v) for v in made])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        hosted = tuple(HostNode(n.name, n.op_type, f"{n.op_type} '{n.name}': {_REASON}") for n in nodes)
        names = tuple(v.name for v in read), tuple(v.name for v in made)
        package.partitions.append(HostPartition(model.SerializeToString(), *names, hosted))


def _info(value: Value) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
    return helper.make_tensor_value_info(value.name, kind, value.shape)
