"""Read an ONNX file and check what the rest relies on: validity, opset, static shapes, known types.

Output: an onnx_ir model with shapes inferred and constants folded; QuantizeLinear and
DequantizeLinear are never folded. Not done here: rewrites for the machine (`rewrite/`).
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from vlac.errors import ModelError
from vlac.import_onnx.foreign import with_foreign_shapes
from vlac.import_onnx.loop_shapes import infer_shapes
from vlac.import_onnx.simplify import simplify
from vlac.import_onnx.tail import Tail, split_tail

__all__ = ["MAX_OPSET", "MIN_OPSET", "check_model", "load_model", "parse_model", "parse_open_model"]

MIN_OPSET, MAX_OPSET = 13, 24
_NO_NUMBERS = tuple(onnx.TensorProto.DataType.Value(n) for n in ("UNDEFINED", "STRING", "COMPLEX64", "COMPLEX128"))
_MAX_ELEMENTS = 1 << 28  # of one tensor, 1 GB in float32


def load_model(path: str | Path) -> onnx.ModelProto:
    """Read and validate a file; external data beside it is read too.

    Raises:
        ModelError: missing, empty, truncated, not ONNX, invalid, or an opset outside 13..24.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"ONNX model '{path}' does not exist or is not a file; check the path")
    if path.stat().st_size == 0:
        raise ModelError(f"ONNX model '{path}' is empty; export it again")
    try:
        proto = onnx.load(str(path))
    except (DecodeError, ValueError, UnicodeDecodeError, OSError, onnx.checker.ValidationError) as e:
        raise ModelError(f"'{path}' is not a readable ONNX model (truncated, or another kind of file): {e}") from e
    check_model(proto, str(path))
    return proto


def check_model(proto: onnx.ModelProto, origin: str) -> None:
    """Refuse an invalid model or an opset outside 13..24; `origin` is named in errors.

    Raises:
        ModelError: see above.
    """
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"'{origin}' is not an ONNX model: it has no nodes and no outputs")
    constants = {t.name for t in proto.graph.initializer}
    inputs = [i for i in proto.graph.input if i.name not in constants]
    for what, values in (("inputs", inputs), ("outputs", list(proto.graph.output))):
        if not values:
            raise ModelError(f"'{origin}' has no {what}; a policy needs at least one, export the model again")
        twice = [name for name, n in Counter(v.name for v in values).items() if n > 1]
        if twice:
            raise ModelError(f"'{origin}' names {', '.join(twice)} twice among its {what}; give each its own name")
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is None or not MIN_OPSET <= opset <= MAX_OPSET:
        raise ModelError(
            f"'{origin}' uses ONNX opset {opset}; the compiler reads {MIN_OPSET} to {MAX_OPSET}, "
            "export it with opset_version=17 or another of these"
        )
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, ValueError) as e:
        raise ModelError(f"'{origin}' is not a valid ONNX model: {str(e).strip()}") from e


def parse_model(proto: onnx.ModelProto, origin: str) -> ir.Model:
    """Infer shapes, refuse dynamic ones, fold constants; every value then has a static shape.

    Raises:
        ModelError: an input or an inner value without a static shape, or inconsistent shapes.
    """
    return _checked(_inferred(proto, origin), origin)


def parse_open_model(proto: onnx.ModelProto, origin: str) -> tuple[ir.Model, Tail | None]:
    """As `parse_model`, but what has no static shape is cut off as the model's tail.

    Raises:
        ModelError: an input without a static shape, or inconsistent shapes.
        UnsupportedError: nothing has a static shape.
    """
    model, tail = split_tail(_inferred(proto, origin))
    return _checked(model, origin), tail


def _checked(model: ir.Model, origin: str) -> ir.Model:
    _check_shapes(model, origin)
    _check_constants(model, origin)
    return model


def _inferred(proto: onnx.ModelProto, origin: str) -> ir.Model:
    _check_inputs(proto, origin)
    proto = with_foreign_shapes(proto, origin)
    try:
        inferred = infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as e:
        raise ModelError(f"'{origin}' has inconsistent shapes: {str(e).strip()}") from e
    model = ir.from_proto(inferred)
    simplify(model)
    return model


def _check_inputs(proto: onnx.ModelProto, origin: str) -> None:
    constants = {t.name for t in proto.graph.initializer}
    for value in proto.graph.input:
        if value.name in constants:
            continue
        if value.type.WhichOneof("value") != "tensor_type":
            raise ModelError(f"'{origin}': input '{value.name}' is not a tensor; the compiler reads tensors only")
        kind = value.type.tensor_type.elem_type
        if kind in _NO_NUMBERS:
            found = onnx.TensorProto.DataType.Name(kind).lower()
            raise ModelError(f"'{origin}': input '{value.name}' is {found}; the compiler reads inputs of numbers")
        dims = [
            d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in value.type.tensor_type.shape.dim
        ]
        sizes = [d for d in dims if isinstance(d, int)]
        if len(sizes) < len(dims):
            raise ModelError(
                f"'{origin}': input '{value.name}' has a dynamic shape {dims}; the compiler needs static "
                "shapes, export the model with fixed sizes (no dynamic_axes, batch 1)"
            )
        _check_size(origin, f"input '{value.name}'", sizes)


def _check_size(origin: str, what: str, shape: list[int]) -> None:
    """Refuse empty tensors and those no machine here could hold."""
    if min(shape, default=1) < 1:
        raise ModelError(f"'{origin}': {what} has shape {shape}; every size must be at least 1")
    if math.prod(shape) > _MAX_ELEMENTS:
        raise ModelError(
            f"'{origin}': {what} has shape {shape}, {math.prod(shape)} values; the limit is {_MAX_ELEMENTS}, "
            "use a smaller input"
        )


def _check_shapes(model: ir.Model, origin: str) -> None:
    for node in model.graph:
        for value in node.outputs:
            if value.name and not (value.shape is not None and value.shape.is_static()):
                raise ModelError(
                    f"'{origin}': {node.op_type} '{node.name or value.name}' makes '{value.name}' with a shape "
                    f"that is not static ({value.shape}); export the model with fixed sizes"
                )
            if value.name:
                where = f"the result '{value.name}' of {node.op_type} '{node.name or value.name}'"
                _check_size(origin, where, [int(d) for d in value.shape or ()])


def _check_constants(model: ir.Model, origin: str) -> None:
    """Refuse weights that are not numbers; a lone infinity may be the open end of a Clip."""
    for value in model.graph.initializers.values():
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if array.dtype.kind == "f" and array.size > 1 and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ModelError(
                f"'{origin}': constant '{value.name}' has {bad} of {array.size} values that are not finite; "
                "train or export the model again"
            )
