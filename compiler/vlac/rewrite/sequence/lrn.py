"""Local response normalization as PyTorch exports it becomes LRN.

matches: x / (k + alpha * mean of x * x over `size` channels around) ** beta, where the mean is an AveragePool of
[N, 1, C, ...] padded with zeros. Not matched: an even size, whose window PyTorch and ONNX place differently.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from vlac.model.reading import attribute, constant_input, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, made_by, operands, pairs, scalar
from vlac.rewrite.sequence.views import view_of

__all__ = ["recover_lrn"]


def recover_lrn(model: ir.Model) -> None:
    """Rewrite every such normalization of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "Div") and node.graph is model.graph:
            x, divisor = operands(node)
            found = _parameters(x, divisor)
            if found is not None:
                new = Nodes(model.graph, node)
                new.replace(new.add("LRN", [x], shape_of(x), found))


def _parameters(x: ir.Value, divisor: ir.Value) -> dict[str, float | int] | None:
    """Attributes of the LRN that x / divisor is."""
    power = made_by(divisor, "Pow")
    beta = None if power is None else scalar(operands(power)[1])
    if power is None or beta is None or len(shape_of(x)) < 3:
        return None
    for scaled, k in pairs(made_by(operands(power)[0], "Add")):
        for mean, alpha in pairs(made_by(scaled, "Mul")):
            bias, factor, size = scalar(k), scalar(alpha), _window(mean, x)
            if bias is not None and factor is not None and size is not None:
                return {"size": size, "alpha": factor, "beta": beta, "bias": bias}
    return None


def _window(mean: ir.Value, x: ir.Value) -> int | None:
    """Over how many channels of x * x a value is the mean."""
    view = view_of(mean)
    pool = made_by(view.root, "AveragePool")
    if pool is None or not view.is_whole or shape_of(mean) != shape_of(x):
        return None
    pad, channels = made_by(pool.inputs[0], "Pad"), shape_of(x)[1]
    kernel = [int(n) for n in attribute(pool, "kernel_shape", ())]
    plain = not any(attribute(pool, "pads", None) or ()) and set(attribute(pool, "strides", None) or (1,)) == {1}
    if pad is None or not plain or kernel[0] % 2 == 0 or set(kernel[1:]) > {1} or attribute(pool, "ceil_mode", 0):
        return None
    pads, rank, half = constant_input(pad, 1), len(kernel) + 2, kernel[0] // 2
    wanted = [half if i % rank == 2 else 0 for i in range(2 * rank)]
    fill = constant_input(pad, 2)
    if pads is None or pads.tolist() != wanted or (fill is not None and fill.any()) or len(pad.inputs) > 3:
        return None
    if attribute(pad, "mode", "constant") != "constant":
        return None
    source = pad.inputs[0]
    rest = math.prod(shape_of(x)[2:])
    shape = shape_of(source)
    if source is None or shape[:3] != (shape_of(x)[0], 1, channels) or math.prod(shape[3:]) != rest:
        return None
    squares = view_of(source)
    square = made_by(squares.root, "Mul")
    if square is None or not squares.is_whole or set(operands(square)) != {x}:
        return None
    return kernel[0]
