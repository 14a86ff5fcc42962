"""A model as it was read, with its large constants beside the protobuf instead of inside.

A protobuf of 500 MB is copied whole by every check and every inference. Here the constants stay numpy arrays, read
once, those in files beside the model straight from there; checks see them as inputs of their type and shape, sessions
of ONNX Runtime are fed with them.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import external_data_helper, helper, numpy_helper

from vlac.errors import ModelError

__all__ = ["Source", "read_small_data"]

_LARGE = 1024  # elements: shapes, axes and the like stay where checks and inference can read them
_DATA = (
    *("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"),
    *("external_data", "data_location"),
)


@dataclass(frozen=True)
class Source:
    """`light` is the model with empty tensors in place of the constants that `large` holds by name."""

    light: onnx.ModelProto
    large: dict[str, NDArray[Any]] = field(default_factory=dict)

    @staticmethod
    def of(proto: onnx.ModelProto, origin: str) -> Source:
        """Take a model apart; `proto` has no constants afterwards.

        Args:
            origin: the file's path, beside which the constants lie that are not in `proto`.

        Raises:
            ModelError: a constant that has not as many values as its shape says, or that cannot be read.
        """
        large: dict[str, NDArray[Any]] = {}
        for tensor in proto.graph.initializer:
            if _is_large(tensor):
                try:
                    large[tensor.name] = numpy_helper.to_array(tensor, os.path.dirname(origin))
                except (ValueError, TypeError, OSError, onnx.checker.ValidationError) as e:
                    raise ModelError(f"'{origin}' is not a valid ONNX model: constant '{tensor.name}': {e}") from e
                for name in _DATA:
                    tensor.ClearField(name)
        light = onnx.ModelProto()
        light.CopyFrom(proto)  # the memory of what was cleared goes with `proto` only
        return Source(light, large)

    @property
    def whole(self) -> onnx.ModelProto:
        """The model as one protobuf, as large as its constants."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.light)
        for tensor in proto.graph.initializer:
            if tensor.name in self.large:
                tensor.CopyFrom(numpy_helper.from_array(self.large[tensor.name], tensor.name))
        return proto

    @property
    def opened(self) -> onnx.ModelProto:
        """The model with the large constants as further inputs: what checks, inference and sessions take.

        Made each time, as `light` may have changed.
        """
        proto = onnx.ModelProto()
        proto.CopyFrom(self.light)
        kept = [t for t in self.light.graph.initializer if t.name not in self.large]
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(kept)
        listed = {v.name for v in proto.graph.input}
        for tensor in self.light.graph.initializer:
            if tensor.name in self.large and tensor.name not in listed:
                proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        return proto

    def closed(self, model: ir.Model) -> ir.Model:
        """A model made from `opened`, with its constants in place; they are shared, not copied."""
        graph = model.graph
        for value in [v for v in graph.inputs if v.name in self.large]:
            array = ir.tensor(self.large[value.name or ""], name=value.name)
            # another value: the list of a graph's inputs keeps those that were removed, and would keep the array
            constant = ir.Value(name=value.name, type=value.type, shape=value.shape, const_value=array)
            value.replace_all_uses_with(constant, replace_graph_outputs=True)
            graph.inputs.remove(value)
            graph.register_initializer(constant)
        return model


def read_small_data(proto: onnx.ModelProto, folder: str) -> None:
    """Read constants that are in files beside the model into it, but the large ones of float32, which stay there until
    `Source.of`.

    Raises:
        ValueError, OSError, onnx.checker.ValidationError: they cannot be read.
    """
    later = [t for t in proto.graph.initializer if _is_large(t) and t.data_type == onnx.TensorProto.FLOAT]
    later = [t for t in later if external_data_helper.uses_external_data(t)]
    for tensor in later:  # passed over, as if it were here
        tensor.data_location = onnx.TensorProto.DEFAULT
    external_data_helper.load_external_data_for_model(proto, folder)
    for tensor in later:
        tensor.data_location = onnx.TensorProto.EXTERNAL


def _is_large(tensor: onnx.TensorProto) -> bool:
    kinds = (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED)
    return math.prod(tensor.dims) > _LARGE and tensor.data_type not in kinds
