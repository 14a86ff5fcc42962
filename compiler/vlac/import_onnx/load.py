"""Read an ONNX file and check what the rest relies on: validity, opset, static shapes, known types.

Output: an onnx_ir model with shapes inferred and constants folded, and its end without static shapes; QuantizeLinear
and DequantizeLinear are never folded. Not done here: rewrites for the machine (`rewrite/`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from vla_isa.check_signature import MAX_RANK
from vla_isa.host_functions import DTYPES
from vlac.errors import ModelError
from vlac.import_onnx.foreign import add_foreign_shapes
from vlac.import_onnx.half import without_halves
from vlac.import_onnx.loop_shapes import infer_shapes
from vlac.import_onnx.older import OLDEST_OPSET, drop_defaults, opset_of, plain_domain, raise_opset
from vlac.import_onnx.shapes import dims_of, fix_shapes, forget_claims, model_inputs
from vlac.import_onnx.simplify import simplify
from vlac.import_onnx.source import Source, read_small_data
from vlac.import_onnx.tail import Tail, split_tail
from vlac.options import CompileOptions

__all__ = ["MAX_OPSET", "MIN_OPSET", "load_model", "parse_model"]

MIN_OPSET, MAX_OPSET = 13, 24
_TYPES = tuple(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in DTYPES)
_MASKED = ("Add", "Sub", "Where", "Max", "Min", "Attention")  # where a constant may hold infinities
_MAX_NODES = 100_000
_MAX_ELEMENTS = 1 << 28  # of one tensor, 1 GB in float32


def load_model(model: str | Path | onnx.ModelProto, options: CompileOptions | None = None, origin: str = "") -> Source:
    """Read and validate a model, as one of opset 13 to 24 whose inputs are those that have no default.

    External data beside a file is read too; sizes that the options give are written into the inputs.

    Args:
        model: a file, or a model in memory, which stays as it is.
        origin: what errors call it; else the file's name.

    Raises:
        ModelError: missing, empty, truncated, not ONNX, invalid, an opset outside 7..24, or sizes that do not fit.
    """
    if isinstance(model, onnx.ModelProto):
        proto, path = onnx.ModelProto(), Path(origin or "model")
        proto.CopyFrom(model)
    else:
        path = Path(model)
        proto = _read(path)
    plain_domain(proto)
    _check_parts(proto, str(path))
    try:
        without_halves(proto)
    except (ValueError, TypeError) as e:
        raise ModelError(f"'{path}' is not a valid ONNX model: a constant of half floats: {e}") from e
    source = Source.of(proto, str(path))
    del proto
    _check_valid(source, str(path))
    drop_defaults(source.light)
    options = options or CompileOptions()
    fix_shapes(source.light, options.input_shapes, options.batch, str(path))
    if (opset_of(source.light) or 0) < MIN_OPSET:
        source = Source.of(raise_opset(source.whole, MIN_OPSET, str(path)), str(path))
        _check_valid(source, str(path))
    return source


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelError(f"ONNX model '{path}' does not exist or is not a file; check the path")
    if path.stat().st_size == 0:
        raise ModelError(f"ONNX model '{path}' is empty; export it again")
    try:
        proto = onnx.load(str(path), load_external_data=False)
        read_small_data(proto, str(path.parent))
        return proto
    except (DecodeError, ValueError, UnicodeDecodeError, OSError, onnx.checker.ValidationError) as e:
        raise ModelError(f"'{path}' is not a readable ONNX model (truncated, or another kind of file): {e}") from e


def _check_parts(proto: onnx.ModelProto, origin: str) -> None:
    """Refuse what is no model, what lacks inputs or outputs, and an opset outside 7..24."""
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"'{origin}' is not an ONNX model: it has no nodes and no outputs")
    if proto.graph.sparse_initializer:
        name = proto.graph.sparse_initializer[0].values.name
        raise ModelError(f"'{origin}': constant '{name}' is sparse; the compiler reads dense ones, export it without")
    for what, values in (("inputs", model_inputs(proto)), ("outputs", list(proto.graph.output))):
        if not values:
            raise ModelError(f"'{origin}' has no {what}; a policy needs at least one, export the model again")
        twice = [name for name, n in Counter(v.name for v in values).items() if n > 1]
        if twice:
            raise ModelError(f"'{origin}' names {', '.join(twice)} twice among its {what}; give each its own name")
    if _node_count(proto) > _MAX_NODES:
        raise ModelError(
            f"'{origin}' has more than {_MAX_NODES} nodes, its functions written out; export a model that has fewer"
        )
    opset = opset_of(proto)
    if opset is None or not OLDEST_OPSET <= opset <= MAX_OPSET:
        raise ModelError(
            f"'{origin}' uses ONNX opset {opset}; the compiler reads {OLDEST_OPSET} to {MAX_OPSET}, "
            "export it with opset_version=17 or another of these"
        )


def _node_count(proto: onnx.ModelProto) -> int:
    """Nodes of the model where each call of a function is its nodes; a function that calls itself counts as endless."""
    functions = {(f.domain, f.name): f for f in proto.functions}
    known: dict[tuple[str, str], int] = {}

    def count(nodes: Iterable[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            total += called(node.domain, node.op_type)
            for attribute in node.attribute:
                total += sum(count(g.node) for g in (attribute.g, *attribute.graphs))
        return total

    def called(domain: str, name: str) -> int:
        key = (domain, name)
        if key in functions and key not in known:
            known[key] = _MAX_NODES + 1  # until it is known that it ends
            known[key] = count(functions[key].node)
        return known.get(key, 1)

    return count(proto.graph.node)


def _check_valid(source: Source, origin: str) -> None:
    try:
        onnx.checker.check_model(source.opened)
    except (onnx.checker.ValidationError, ValueError) as e:
        raise ModelError(f"'{origin}' is not a valid ONNX model: {str(e).strip()}") from e


def parse_model(
    model: Source | onnx.ModelProto, origin: str, *, merge_convs: bool = True
) -> tuple[ir.Model, Tail | None]:
    """Infer shapes and fold constants; what has no static shape is cut off as the model's tail.

    Raises:
        ModelError: an input without a static shape, or inconsistent shapes.
        UnsupportedError: nothing has a static shape.
    """
    source = model if isinstance(model, Source) else Source(model)
    _check_inputs(source.light, origin)
    _check_outputs(source.light, origin)
    try:
        parsed = source.closed(ir.from_proto(_inferred(source, origin)))
    except ir.serde.SerdeError as e:
        raise ModelError(f"'{origin}' is not a valid ONNX model: {e.__cause__ or e}") from e
    _check_sizes(parsed, origin, lowest=0)  # before constants are computed; parts of shapes may be empty until then
    simplify(parsed, merge_convs=merge_convs)
    head, tail = split_tail(parsed)
    _check_sizes(head, origin)
    _check_constants(head, origin)
    return head, tail


def _inferred(source: Source, origin: str) -> onnx.ModelProto:
    """The model with all shapes that follow from its inputs'; where the file states others, those are not believed."""
    proto = source.opened
    forget_claims(proto, static=False)
    try:
        add_foreign_shapes(proto, source.large, origin)
        return infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as e:
        forget_claims(proto, static=True)
        try:
            add_foreign_shapes(proto, source.large, origin)
            return infer_shapes(proto)
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
            raise ModelError(f"'{origin}' has inconsistent shapes: {str(e).strip()}") from e


def _check_kind(value: onnx.ValueInfoProto, what: str, origin: str) -> None:
    """Refuse an input or output that is no array of numpy, or whose name no file or terminal shows as it is."""
    if not value.name.isprintable():
        raise ModelError(f"'{origin}': {what} {value.name!r} has a name that cannot be printed; give it another one")
    if value.type.WhichOneof("value") != "tensor_type":
        raise ModelError(f"'{origin}': {what} '{value.name}' is not a tensor; the compiler reads tensors only")
    kind = value.type.tensor_type.elem_type
    if kind not in _TYPES:
        found = onnx.TensorProto.DataType.Name(kind).lower()
        raise ModelError(
            f"'{origin}': {what} '{value.name}' is {found}; the compiler reads numbers and truth values of numpy, "
            "export the model with another type"
        )


def _check_outputs(proto: onnx.ModelProto, origin: str) -> None:
    for value in proto.graph.output:
        _check_kind(value, "output", origin)


def _check_inputs(proto: onnx.ModelProto, origin: str) -> None:
    for value in model_inputs(proto):
        _check_kind(value, "input", origin)
        dims = dims_of(value)
        sizes = [d for d in dims if isinstance(d, int)]
        if len(sizes) < len(dims):
            example = ",".join(str(d) if isinstance(d, int) else "N" for d in dims)
            raise ModelError(
                f"'{origin}': input '{value.name}' has a dynamic shape {dims}; the compiler needs static "
                f"shapes, give --input-shape {value.name}={example} with a number for each N, or --batch 1 for the "
                "first size"
            )
        _check_size(origin, f"input '{value.name}'", sizes)


def _check_size(origin: str, what: str, shape: list[int], lowest: int = 1) -> None:
    """Refuse empty tensors and those no machine here could hold."""
    if min(shape, default=1) < lowest:
        raise ModelError(f"'{origin}': {what} has shape {shape}; every size must be at least 1")
    if len(shape) > MAX_RANK:
        raise ModelError(f"'{origin}': {what} has {len(shape)} axes; the limit is {MAX_RANK}, reshape it")
    if math.prod(shape) > _MAX_ELEMENTS:
        raise ModelError(
            f"'{origin}': {what} has shape {shape}, {math.prod(shape)} values; the limit is {_MAX_ELEMENTS}, "
            "use a smaller input"
        )


def _check_sizes(model: ir.Model, origin: str, lowest: int = 1) -> None:
    for node in model.graph:
        for value in node.outputs:
            if value.shape is not None and value.shape.is_static():
                where = f"the result '{value.name}' of {node.op_type} '{node.name or value.name}'"
                _check_size(origin, where, [int(d) for d in value.shape], lowest)


def _check_constants(model: ir.Model, origin: str) -> None:
    """Refuse weights that are not numbers; an infinity may be the open end of a Clip, or "never" in a mask."""
    for value in model.graph.initializers.values():
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        mask = array.size == 1 or all(user.op_type in _MASKED for user in value.consumers())
        wrong = np.isnan(array) if mask else ~np.isfinite(array)
        if wrong.any():
            bad = int(wrong.sum())
            raise ModelError(
                f"'{origin}': constant '{value.name}' has {bad} of {array.size} values that are not finite; "
                "train or export the model again"
            )
