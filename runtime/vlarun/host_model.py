"""Check the ONNX model of a host partition before ONNX Runtime sees it: anybody may have made the file.

Refused are models that are none, that name files outside the program (external data), whose inputs and outputs are
not the part's, or whose tensors claim more memory than the limit. Not here: what the nodes do; ONNX Runtime has no
operator that reads files or starts programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import onnx
from google.protobuf.message import DecodeError

from vla_isa.package import HostPartition
from vlarun.errors import BackendError

__all__ = ["MAX_ELEMENTS", "check_host_model"]

MAX_ELEMENTS = 1 << 28  # of one tensor, as in the compiler


def check_host_model(part: HostPartition) -> None:
    """Refuse a host partition that the compiler cannot have made.

    Raises:
        BackendError: what is wrong with it.
    """
    try:
        model = onnx.load_model_from_string(part.model)
    except (DecodeError, ValueError) as e:
        raise BackendError(f"a host partition is no ONNX model: {e}") from e
    names = tuple(v.name for v in model.graph.input), tuple(v.name for v in model.graph.output)
    if names != (part.inputs, part.outputs):
        raise BackendError(
            f"a host partition's model takes {', '.join(names[0]) or 'nothing'} and makes {', '.join(names[1])}; the "
            f"file says {', '.join(part.inputs) or 'nothing'} and {', '.join(part.outputs)}"
        )
    for value in model.graph.output:
        if value.type.WhichOneof("value") != "tensor_type":
            raise BackendError(f"a host partition makes '{value.name}', which is no tensor; partitions pass on tensors")
    graphs = [model.graph, *_bodies(model.graph.node)]
    nodes = [n for g in graphs for n in g.node] + [n for f in model.functions for n in f.node]
    for tensor in (*_initializers(graphs), *_attributes(nodes)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BackendError(
                f"a host partition's constant '{tensor.name}' is in another file, which is not read; compile "
                "the model again"
            )
        _check_size(tensor.name, tensor.dims)
    for value in (v for g in graphs for v in (*g.input, *g.output, *g.value_info)):
        _check_size(value.name, [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")])


def _check_size(name: str, shape: Iterable[int]) -> None:
    sizes = list(shape)
    if min(sizes, default=0) < 0 or math.prod(sizes) > MAX_ELEMENTS:
        raise BackendError(f"a host partition's value '{name}' has shape {sizes}; the limit is {MAX_ELEMENTS} values")


def _bodies(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    """The subgraphs of nodes, at any depth."""
    for attribute in (a for n in nodes for a in n.attribute):
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            yield from _bodies(graph.node)


def _initializers(graphs: Iterable[onnx.GraphProto]) -> Iterator[onnx.TensorProto]:
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def _attributes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (a for n in nodes for a in n.attribute):
        yield from attribute.tensors
        if attribute.HasField("t"):
            yield attribute.t
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        for sparse in attribute.sparse_tensors:
            yield from (sparse.values, sparse.indices)
