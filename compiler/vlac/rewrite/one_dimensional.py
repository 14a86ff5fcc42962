"""Layers over one axis become layers over images of one row: [1, C, L] as [1, C, 1, L].

That starts at convolutions, pools and batch norms over L, and at a Reshape of an image's pixels to L, as the heads of
detectors do. What follows (functions of each element, Concat, Split and Slice, reductions over L) is rewritten too, so
that pixels stay pixels. Every result gets a Squeeze back to its own shape, which falls away where nobody reads it.
Not here: operators that are 2-D already; layers of quantized models, where only a Reshape starts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.import_onnx.names import unique_name
from vlac.ir.geometry import is_image
from vlac.model.reading import attribute, constant, constant_input, shape_of
from vlac.ops import BY_NAME
from vlac.rewrite.nodes import initializer

__all__ = ["widen"]

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax")
_BY_ELEMENT = ("Identity", "Dropout", "QuantizeLinear", "DequantizeLinear")  # and what has a function of numbers
# what each attribute is for the row axis
_ROW = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}
_PLACES = (0, 1, 3)  # of the axes of [1, C, L] in [1, C, 1, L]

_Inputs = list[ir.Value | None]


def widen(model: ir.Model, *, layers: bool = True) -> None:
    """Rewrite every such node, in place; without `layers`, only what follows a Reshape of an image."""
    widener = _Widener(model.graph, layers)
    for node in list(model.graph):
        if node.domain in ("", "ai.onnx") and node.inputs and node.inputs[0] is not None:
            inputs = widener.inputs(node, node.inputs[0])
            if inputs is not None:
                widener.replace(node, inputs)


class _Widener:
    """A graph, and the image form of the values that have one."""

    def __init__(self, graph: ir.Graph, layers: bool) -> None:
        self.graph, self.layers = graph, layers
        self.wide: dict[ir.Value, ir.Value] = {}

    def inputs(self, node: ir.Node, x: ir.Value) -> _Inputs | None:
        """The inputs of the image form of a node, or None where it stays as it is."""
        shape, out = shape_of(x), shape_of(node.outputs[0])
        if node.op_type == "Reshape":
            pixels = is_image(shape) and out == (1, shape[1], shape[2] * shape[3])
            return [x, self._sizes(node, _with_row(out))] if pixels else None
        if self.layers and (node.op_type in _WINDOWS or node.op_type == "BatchNormalization") and len(shape) == 3:
            return self._layer(node, x)
        if node.op_type in _REDUCTIONS and x in self.wide and _axes(node, 1) == [2]:
            return self._reduction(node, x)
        if node.op_type == "Slice" and x in self.wide and constant_input(node, 3) is not None:
            places = [_PLACES[a] for a in _axes(node, 3)]
            return [self.wide[x], *node.inputs[1:3], self._sizes(node, places), *node.inputs[4:]]
        if node.op_type == "Split" and x in self.wide:
            return [self.wide[x], *node.inputs[1:]]
        joins = node.op_type == "Concat" and int(node.attributes["axis"].value) % 3 > 0
        if len(out) != 3 or not (joins or _is_by_element(node)):
            return None
        found = [self._operand(v) for v in node.inputs]
        known = [f is not None or v is None for f, v in zip(found, node.inputs, strict=True)]
        return found if all(known) and any(v in self.wide for v in node.inputs) else None

    def _layer(self, node: ir.Node, x: ir.Value) -> _Inputs | None:
        rest = list(node.inputs[1:])
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = constant(rest[0])
            if weight is None:
                return None
            rest[0] = initializer(self.graph, f"{node.name or node.outputs[0].name}.weight2d", weight[:, :, None])
        return [self.wide.get(x) or self._unsqueezed(x), *rest]

    def _reduction(self, node: ir.Node, x: ir.Value) -> _Inputs:
        axes = [] if constant_input(node, 1) is None else [self._sizes(node, [2, 3])]
        return [self.wide[x], *axes]

    def _operand(self, value: ir.Value | None) -> ir.Value | None:
        """An operand of a function of each element in its image form; constants broadcast as before."""
        if value is None or value in self.wide:
            return self.wide[value] if value is not None else None
        array = constant(value)
        if array is not None and array.ndim < 2:
            return value  # a scalar, or one value per position of L
        if array is None or value.const_value is None:
            return None
        return initializer(self.graph, f"{value.name}.2d", np.expand_dims(array, -2))

    def _sizes(self, node: ir.Node, numbers: list[int] | tuple[int, ...]) -> ir.Value:
        return initializer(self.graph, f"{node.outputs[0].name}.sizes", np.array(numbers, np.int64))

    def _unsqueezed(self, x: ir.Value) -> ir.Value:
        """`x` with its row axis added, just behind the node that makes it."""
        axes = initializer(self.graph, f"{x.name}.row", np.array([2], np.int64))
        node = ir.node("Unsqueeze", [x, axes], name=unique_name(self.graph, f"{x.name}.unsqueeze"))
        out = node.outputs[0]
        out.name, out.dtype = unique_name(self.graph, f"{x.name}.2d"), x.dtype
        out.shape = ir.Shape(_with_row(shape_of(x)))
        producer = x.producer()
        if producer is not None:
            self.graph.insert_after(producer, node)
        else:
            self.graph.insert_before(self.graph[0], node)
        return out

    def replace(self, node: ir.Node, inputs: _Inputs) -> None:
        """Put the image form in the place of a node, with a Squeeze behind each result of three axes."""
        made = ir.node(node.op_type, inputs, _wide_attributes(node), num_outputs=len(node.outputs), name=node.name)
        new, results = [made], []
        for old, out in zip(node.outputs, made.outputs, strict=True):
            out.dtype, out.shape, result = old.dtype, old.shape, out
            if len(shape_of(old)) == 3:
                out.shape, out.name = ir.Shape(_with_row(shape_of(old))), unique_name(self.graph, f"{old.name}.2d")
                axis = initializer(self.graph, f"{old.name}.row", np.array([2], np.int64))
                back = ir.node("Squeeze", [out, axis], name=unique_name(self.graph, f"{node.name or old.name}.squeeze"))
                result = back.outputs[0]
                result.dtype, result.shape = old.dtype, old.shape
                new.append(back)
                self.wide[result] = out
            results.append(result)
        ir.convenience.replace_nodes_and_values(self.graph, node, [node], new, node.outputs, results)


def _is_by_element(node: ir.Node) -> bool:
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        scale = constant_input(node, 1)
        return scale is not None and scale.size == 1
    spec = BY_NAME.get(node.op_type)
    return (spec is not None and spec.function is not None) or node.op_type in _BY_ELEMENT


def _axes(node: ir.Node, index: int) -> list[int]:
    """The axes of a reduction or Slice over [1, C, L], from input `index` or the attribute."""
    given = constant_input(node, index)
    axes = attribute(node, "axes", ()) if given is None else given.reshape(-1).tolist()
    return [int(a) % 3 for a in axes]


def _wide_attributes(node: ir.Node) -> Mapping[str, Any]:
    attributes: dict[str, Any] = {}
    for name, found in node.attributes.items():
        if name in _ROW:
            attributes[name] = [_ROW[name], *found.value]
        elif name == "pads":
            attributes[name] = [0, found.value[0], 0, found.value[1]]
        elif name == "axis" and node.op_type in ("Concat", "Split"):
            attributes[name] = _PLACES[int(found.value) % 3]
        elif name == "axes":
            attributes[name] = [2, 3]  # of a reduction
        elif name != "axis":
            attributes[name] = found.value
    return attributes


def _with_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], 1, shape[2])
