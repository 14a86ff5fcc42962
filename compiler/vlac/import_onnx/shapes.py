"""Fix the dynamic sizes of model inputs as the user asked: `--input-shape NAME=1,3,320,320` and `--batch N`.

Sizes of the same name become the same number everywhere. Not here: what follows from them (shape inference, `load`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from vlac.errors import ModelError

__all__ = ["dims_of", "fix_shapes", "forget_claims", "model_inputs", "shape_argument"]

Dims = list[int | str]


def shape_argument(text: str) -> tuple[str, tuple[int, ...]]:
    """The argument of --input-shape; argparse shows the message.

    Raises:
        ValueError: not NAME=N,N,...
    """
    name, equals, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not equals or not name or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise ValueError(f"'{text}' is not NAME=N,N,... with sizes of at least 1, as in x=1,3,320,320")
    return name, tuple(int(p) for p in parts)


def model_inputs(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that have no default value."""
    constants = {t.name for t in (*proto.graph.initializer, *(s.values for s in proto.graph.sparse_initializer))}
    return [v for v in proto.graph.input if v.name not in constants]


def dims_of(value: onnx.ValueInfoProto) -> Dims:
    """Sizes as numbers, dynamic ones as their names or "?"."""
    return [_size(d) for d in value.type.tensor_type.shape.dim]


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    """Some exporters write -1 where a size is dynamic."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value != -1 else dim.dim_param or "?"


def fix_shapes(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], batch: int | None, origin: str) -> None:
    """Write the sizes into the model's inputs, and wherever a size of the same name stands.

    Raises:
        ModelError: no such input, another number of axes, or a size that contradicts the model.
    """
    inputs = {v.name: v for v in model_inputs(proto)}
    unknown = [name for name in shapes if name not in inputs]
    if unknown:
        raise ModelError(
            f"'{origin}' has no input '{unknown[0]}' for --input-shape; its inputs are {', '.join(inputs)}"
        )
    named: dict[str, int] = {}
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            continue
        found = dims_of(value)
        wanted: Dims = list(shapes.get(name, found))
        if len(wanted) != len(found):
            raise ModelError(
                f"'{origin}': --input-shape {name}={_text(wanted)} has {len(wanted)} sizes; the model's input has "
                f"{len(found)}, {found}"
            )
        if batch is not None and name not in shapes and wanted:
            wanted[0] = batch
        for size, given in zip(wanted, found, strict=True):
            if not isinstance(size, int):
                continue
            known = given if isinstance(given, int) else size if given == "?" else named.setdefault(given, size)
            if known != size:
                flag = f"--input-shape {name}={_text(wanted)}" if name in shapes else f"--batch {batch}"
                named_so = f" for '{given}'" if isinstance(given, str) else ""
                raise ModelError(f"'{origin}': {flag} says {size} where input '{name}' has {known}{named_so}, {found}")
        _set(value, wanted)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        _set(value, [named.get(d, d) if isinstance(d, str) else d for d in dims_of(value)])


def _text(dims: Dims) -> str:
    return ",".join(map(str, dims))


def _set(value: onnx.ValueInfoProto, dims: Dims) -> None:
    for dim, size in _pairs(value, dims):
        if isinstance(size, int):
            dim.dim_value = size
        elif size == "?":
            dim.Clear()


def _pairs(value: onnx.ValueInfoProto, dims: Dims) -> Iterator[tuple[onnx.TensorShapeProto.Dimension, int | str]]:
    if value.type.HasField("tensor_type"):
        yield from zip(value.type.tensor_type.shape.dim, dims, strict=True)


def forget_claims(proto: onnx.ModelProto, *, static: bool) -> None:
    """Drop shapes that a file states for what it computes: exporters get them wrong, and they follow from the inputs.

    Args:
        static: also those that are numbers, which may be all that is known of a foreign operator's result.
    """
    constants = {tensor.name for tensor in proto.graph.initializer}  # whose shapes are no claims
    for value in (*proto.graph.output, *proto.graph.value_info):
        if (
            value.name not in constants
            and value.type.HasField("tensor_type")
            and (static or any(isinstance(d, str) for d in dims_of(value)))
        ):
            value.type.tensor_type.ClearField("shape")
