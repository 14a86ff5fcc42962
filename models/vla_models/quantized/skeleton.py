"""The compiler's float graph without its weights, as text: what a saved quantized policy is built from.

Weights are the constants of layers (Conv, Gemm, MatMul); others, such as shapes and bounds of Clip, stay in the graph.
The graph says which weights training leaves alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Collection

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from vla_models.errors import PolicyError

__all__ = ["LAYERS", "decode", "encode", "fixed_weights", "set_fixed_weights", "weights_of"]

LAYERS = ("Conv", "Gemm", "MatMul")
_FIXED = "vla_models.fixed_weights"


def weights_of(model: ir.Model) -> dict[str, ir.Value]:
    """Weights and biases of the layers by name, in the order of the nodes; two layers may share one."""
    found = (v for node in model.graph if node.op_type in LAYERS for v in node.inputs[1:] if v is not None)
    return {v.name or "": v for v in found if v.const_value is not None}


def fixed_weights(model: ir.Model) -> list[str]:
    """The names of weights that are constants of the float policy, such as masks: they are not trained."""
    found: list[str] = json.loads(model.metadata_props.get(_FIXED, "[]"))
    return found


def set_fixed_weights(model: ir.Model, names: Collection[str]) -> None:
    """Write into a model which weights are not trained; none takes the note out."""
    model.metadata_props.pop(_FIXED, None)
    if names:
        model.metadata_props[_FIXED] = json.dumps(sorted(names))


def encode(model: ir.Model) -> str:
    """A graph as text; the numbers of its weights are left out."""
    proto = ir.to_proto(model)
    names = weights_of(model)
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            empty = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(empty)
    return base64.b64encode(zlib.compress(proto.SerializeToString(deterministic=True), 9)).decode("ascii")


def decode(text: str) -> ir.Model:
    """The graph of a text, with weights of zero.

    Raises:
        PolicyError: the text is damaged.
    """
    try:
        proto = onnx.ModelProto.FromString(zlib.decompress(base64.b64decode(text, validate=True)))
    except (binascii.Error, zlib.error, DecodeError) as error:
        raise PolicyError(f"the graph of a quantized policy is damaged: {error}.") from error
    names = {name for node in proto.graph.node if node.op_type in LAYERS for name in node.input[1:]}
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
    return ir.from_proto(proto)
