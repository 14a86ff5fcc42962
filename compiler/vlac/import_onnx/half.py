"""float16 and bfloat16 become float32: types, constants, and what nodes are told to make.

The numbers of the weights stay as they are, all of them being float32 numbers too; what lies between is rounded to
float32 instead. The program is quantized from that. Inputs and outputs of float16 stay such, with a Cast beside them;
numpy has no bfloat16, so those become float32. float64 stays, and is refused where a device would have to compute it.
Not here: quantized types, which are not floats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

__all__ = ["has_bfloat16", "without_halves"]

_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# attributes that name a type: Cast's, that of random numbers and of Eye, and in what precision a Softmax is computed
_TYPE_ATTRIBUTES = ("to", "dtype", "softmax_precision", "stash_type", "output_dtype")


def without_halves(proto: onnx.ModelProto) -> None:
    """Rewrite the model in place; one without such types stays as it is."""
    constants = {t.name for t in proto.graph.initializer}
    inputs, outputs = (
        [v.name for v in values if _is_float16(v) and v.name not in constants]
        for values in (proto.graph.input, proto.graph.output)
    )
    _graph(proto.graph, {*inputs, *outputs})
    if inputs or outputs:
        _cast_at_the_ends(proto.graph, inputs, [name for name in outputs if name not in inputs])
    for function in proto.functions:
        _nodes(function.node)
        _values(function.value_info)


def has_bfloat16(proto: onnx.ModelProto) -> bool:
    """Whether inputs, outputs or constants of the model are bfloat16, which ONNX Runtime does not compute on a CPU."""
    graph = proto.graph
    kinds = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)} | {
        t.data_type for t in graph.initializer
    }
    return TensorProto.BFLOAT16 in kinds


def _is_float16(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT16)


def _cast_at_the_ends(graph: onnx.GraphProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Everything within reads and makes a float32 beside each float16 input and output."""
    inside = {name: f"{name}_as_float32" for name in (*inputs, *outputs)}
    _rename(graph.node, inside)
    before = [helper.make_node("Cast", [name], [inside[name]], to=TensorProto.FLOAT) for name in inputs]
    behind = [helper.make_node("Cast", [inside[name]], [name], to=TensorProto.FLOAT16) for name in outputs]
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Other names for values; within a node's graphs too, where no value may have the name of one outside."""
    for node in nodes:
        for found in (node.input, node.output):
            for number, name in enumerate(found):
                found[number] = names.get(name, name)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                _rename(graph.node, names)
                for value in graph.output:
                    value.name = names.get(value.name, value.name)


def _graph(graph: onnx.GraphProto, kept: Collection[str] = ()) -> None:
    """All values but the `kept` ones, all constants, and the graphs of nodes."""
    _values(v for v in (*graph.input, *graph.output, *graph.value_info) if v.name not in kept)
    for tensor in graph.initializer:
        _constant(tensor)
    _nodes(graph.node)


def _values(values: Iterable[onnx.ValueInfoProto]) -> None:
    for value in values:
        _type(value.type)


def _type(found: onnx.TypeProto) -> None:
    kind = found.WhichOneof("value")
    if kind == "tensor_type" and found.tensor_type.elem_type in _HALVES:
        found.tensor_type.elem_type = TensorProto.FLOAT
    elif kind == "sequence_type":
        _type(found.sequence_type.elem_type)
    elif kind == "optional_type":
        _type(found.optional_type.elem_type)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.INT and attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALVES:
                attribute.i = TensorProto.FLOAT
            for tensor in (attribute.t, *attribute.tensors):
                _constant(tensor)
            for graph in (attribute.g, *attribute.graphs):
                _graph(graph)
            for found in (attribute.tp, *attribute.type_protos):
                _type(found)


def _constant(tensor: onnx.TensorProto) -> None:
    """The same numbers as float32; infinities and values that are no numbers stay such."""
    if tensor.data_type not in _HALVES:
        return
    numbers = numpy_helper.to_array(tensor).astype(np.float32)
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(numbers, name))
