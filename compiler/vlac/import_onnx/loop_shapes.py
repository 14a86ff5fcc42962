"""Shapes of what a Loop carries from round to round, which ONNX leaves open: a body may return another shape.

Where the body returns the shape that it takes, and starts with it, every round has that shape. Not here: what a Loop
collects, one row per round, whose number is known to no inference.
"""

from __future__ import annotations

import onnx

__all__ = ["infer_shapes"]


def infer_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX's own inference, strict, and again behind each Loop whose shapes are settled.

    Raises:
        InferenceError: as ONNX's.
    """
    while True:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
        settled = [v for n in inferred.graph.node if n.op_type == "Loop" for v in _carried(inferred.graph, n)]
        if not settled:
            return inferred
        proto = onnx.ModelProto()
        proto.CopyFrom(inferred)
        names = {v.name for v in settled}
        kept = [v for v in proto.graph.value_info if v.name not in names]
        del proto.graph.value_info[:]
        proto.graph.value_info.extend([*kept, *settled])


def _carried(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.ValueInfoProto]:
    """Results of a Loop without a shape that have the shape they start with."""
    known = {v.name: _shape(v) for v in (*graph.input, *graph.value_info, *graph.output)}
    known |= {t.name: tuple(t.dims) for t in graph.initializer}
    outputs = {o.name for o in graph.output}
    body = next(a.g for a in node.attribute if a.name == "body")
    found = []
    for index, start in enumerate(node.input[2:]):
        name = node.output[index]
        taken, given = body.input[index + 2], body.output[index + 1]
        shape = known.get(start)
        same = shape is not None and _shape(given) == shape and _shape(taken) in (shape, None)
        if name and name not in outputs and known.get(name) is None and same:
            found.append(onnx.helper.make_tensor_value_info(name, given.type.tensor_type.elem_type, shape))
    return found


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """The static shape of a value, or None."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(d.HasField("dim_value") for d in kind.shape.dim):
        return None
    return tuple(d.dim_value for d in kind.shape.dim)
