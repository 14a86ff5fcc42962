"""Reading small pieces of a float graph for the rewrites of sequence models: producers, scalars, operands.

Not here: moves (`views.py`), what the pieces mean (the rewrites).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, constant_input, shape_of

__all__ = ["is_op", "made_by", "operands", "pairs", "reduced_axes", "scalar", "uncast"]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)


def is_op(node: ir.Node | None, *names: str) -> bool:
    """Whether it is one of ONNX's own operators of these names."""
    return node is not None and node.op_type in names and node.domain in ("", "ai.onnx")


def made_by(value: ir.Value | None, *names: str) -> ir.Node | None:
    """The node that makes a value, where it is one of these operators."""
    value = uncast(value)
    node = None if value is None or value.const_value is not None else value.producer()
    return node if is_op(node, *names) else None


def uncast(value: ir.Value | None) -> ir.Value | None:
    """The value in front of Casts between float types and of Dropouts, which inference leaves out."""
    while value is not None and is_op(node := value.producer(), "Cast", "Dropout"):
        assert node is not None
        source = node.inputs[0]
        if source is None or source.dtype not in _FLOATS or value.dtype not in _FLOATS or value.index():
            break
        value = source
    return value


def scalar(value: ir.Value | None) -> float | None:
    """The number of a constant of one element."""
    array = constant(value)
    if array is None or array.size != 1 or array.dtype.kind not in "fiu":
        return None
    return float(array.reshape(-1)[0])


def operands(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    """Both inputs of a node of two operands."""
    first, second = node.inputs
    assert first is not None and second is not None
    return first, second


def pairs(node: ir.Node | None) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Both orders of the operands of a node; nothing where there is no node."""
    if node is not None and len(node.inputs) == 2 and None not in node.inputs:
        a, b = operands(node)
        yield a, b
        yield b, a


def reduced_axes(node: ir.Node) -> list[int] | None:
    """The axes that a reduction reduces, from zero on, in order; None where they are computed."""
    rank = len(shape_of(node.inputs[0]))
    given: NDArray[np.int64] | None = None
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        given = constant_input(node, 1)
        if given is None:
            return None
    axes = attribute(node, "axes", None) if given is None else given.reshape(-1).tolist()
    return sorted(int(a) % rank for a in axes) if axes else list(range(rank))
