"""Hidden values that are wider than a tensor of the machine become several, whose layers' results are added up.

matches: layers (MatMul, Gemm) with constant weights and more outputs than a tensor has channels, elementwise functions,
sums and products of what they make, reshapes of rows alone (in front of a Gemm and behind it), and layers that read the
result; nothing else reads what is between.
rewrite: for each part of the channels the same nodes with those columns of the first layers' weights and those rows of
the last ones'; the last layers' results are added up, a bias is the first part's.

Gemma's gated hidden values (16,384 channels) are such. Not here: wide values that are read as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from vlac.ir.geometry import geometry
from vlac.model.reading import attribute, constant, shape_of
from vlac.ops import BY_NAME
from vlac.rewrite.nodes import Nodes

__all__ = ["split_wide"]

_DOMAINS = ("", "ai.onnx")
_SUMS = ("Add", "Sub", "Mul", "Div")


@dataclass(frozen=True)
class _Region:
    """Layers that make wide values, nodes between in order, and layers that read the last of them."""

    sources: list[ir.Node]
    between: list[ir.Node]
    ends: list[ir.Node]


def split_wide(model: ir.Model, most: int, block: int) -> None:
    """Rewrite a float model in place.

    Args:
        most: channels of a tensor.
        block: parts are of whole blocks of so many, where there are enough.
    """
    known: set[ir.Node] = set()
    for node in list(model.graph):
        h, w, width = geometry(shape_of(node.outputs[0])) if _is_layer(node) else (1, 1, 0)
        if node in known or width <= most or h == w == 1:  # the words of one vector may be more
            continue
        region = _region(node, width)
        if region is not None:
            known |= {*region.sources, *region.ends}
            size = -(-width // (-(-width // most) * block)) * block
            _split(model.graph, region, [(at, min(at + size, width)) for at in range(0, width, size)])


def _is_layer(node: ir.Node) -> bool:
    if node.op_type not in ("MatMul", "Gemm") or node.domain not in _DOMAINS or attribute(node, "transA", 0):
        return False
    weight = constant(node.inputs[1])
    rest = all(v is None or constant(v) is not None for v in node.inputs[2:])
    return weight is not None and weight.ndim == 2 and constant(node.inputs[0]) is None and rest


def _is_elementwise(node: ir.Node) -> bool:
    if node.domain not in _DOMAINS or len(node.outputs) != 1:
        return False
    spec = BY_NAME.get(node.op_type)
    alone = all(v is None or constant(v) is not None for v in node.inputs[1:])
    return node.op_type in _SUMS or (spec is not None and spec.function is not None and alone)


def _is_reshape(node: ir.Node) -> bool:
    """Whether it only counts rows in another way."""
    if node.op_type != "Reshape" or node.domain not in _DOMAINS or constant(node.inputs[1]) is None:
        return False
    return shape_of(node.inputs[0])[-1:] == shape_of(node.outputs[0])[-1:]


def _values(node: ir.Node) -> list[ir.Value]:
    """What it computes with: not the shape of a reshape."""
    return [v for v in (node.inputs[:1] if _is_reshape(node) else node.inputs) if v is not None]


def _region(first: ir.Node, width: int) -> _Region | None:
    """What hangs together with a wide layer; None where something else reads a value of it."""
    sources, between, ends = {first: None}, dict[ir.Node, None](), dict[ir.Node, None]()
    waiting = [first]
    while waiting:
        value = waiting.pop().outputs[0]
        if value.is_graph_output() or not value.uses():
            return None
        for reader, index in value.uses():
            if _is_layer(reader) and index == 0:
                ends[reader] = None
                continue
            if not (_is_elementwise(reader) or _is_reshape(reader)) or shape_of(reader.outputs[0])[-1:] != (width,):
                return None
            if reader in between:
                continue
            between[reader] = None
            waiting.append(reader)
            for other in _values(reader):
                if _is_constant_row(other, width):
                    continue
                made = other.producer()
                if made is None or shape_of(other)[-1:] != (width,):
                    return None
                if made in sources or made in between:
                    continue
                if not (_is_layer(made) or _is_elementwise(made) or _is_reshape(made)):
                    return None
                (sources if _is_layer(made) else between)[made] = None
                waiting.append(made)
    if not all(_is_closed(node, sources, between, width) for node in between):
        return None
    graph = first.graph
    assert graph is not None
    inside = [node for node in graph if node in sources or node in between or node in ends]
    if any(node not in ends for node in inside[-len(ends) :]):  # what stands behind a last layer may read its result
        return None
    return _Region(*([node for node in inside if node in nodes] for nodes in (sources, between, ends)))


def _is_closed(node: ir.Node, sources: dict[ir.Node, None], between: dict[ir.Node, None], width: int) -> bool:
    """Whether all that it reads is made inside, or is a constant."""
    makers = [v.producer() for v in _values(node) if not _is_constant_row(v, width)]
    return all(made in sources or made in between for made in makers)


def _is_constant_row(value: ir.Value, width: int) -> bool:
    """Whether it is a constant of one number, or of one for each channel."""
    array = constant(value)
    return array is not None and array.size == (array.shape[-1] if array.ndim else 1) and array.size in (1, width)


def _split(graph: ir.Graph, region: _Region, parts: list[tuple[int, int]]) -> None:
    """Part by part, in front of the first of the last layers: the wide values of one part are there at a time."""
    first = region.ends[0]
    read = {v for node in (*region.sources, *region.between, *region.ends) for v in node.inputs if v is not None}
    sums: dict[ir.Node, list[ir.Value]] = {end: [] for end in region.ends}
    for number, part in enumerate(parts):
        values: dict[ir.Value | None, ir.Value] = {}
        for node in (*region.sources, *region.between, *region.ends):
            made, shape = Nodes(graph, node), shape_of(node.outputs[0])
            inputs = [values.get(v, v) for v in node.inputs]
            if node in sums:
                inputs = [inputs[0], _rows(made, node, part), *(inputs[2:] if number == 0 else [])]
                sums[node].append(made.add(node.op_type, inputs, shape, node.attributes))
            else:
                shape = (*shape[:-1], part[1] - part[0])
                if node in region.sources:
                    cut = [inputs[0], *(_columns(made, node, i, part) for i in range(1, len(inputs)))]
                elif _is_reshape(node):
                    cut = [inputs[0], made.constant(np.array(shape, np.int64))]
                else:
                    cut = [_cut(made, v, part) for v in inputs]
                values[node.outputs[0]] = made.add(node.op_type, cut, shape, node.attributes)
            graph.insert_before(first, made.made)
    for end, results in sums.items():
        total, nodes = results[0], Nodes(graph, end)
        for more in results[1:]:
            total = nodes.add("Add", [total, more], shape_of(total))
        nodes.replace(total)
    for node in reversed([*region.sources, *region.between]):
        graph.remove(node, safe=True)
    for value in read:
        if value.is_initializer() and not value.uses() and not value.is_graph_output():
            del graph.initializers[value.name or ""]  # large models have no room for both


def _columns(nodes: Nodes, layer: ir.Node, index: int, part: tuple[int, int]) -> ir.Value | None:
    """Some outputs of a layer's weights or bias."""
    array = constant(layer.inputs[index])
    if array is None:
        return None
    turned = index == 1 and layer.op_type == "Gemm" and attribute(layer, "transB", 0)
    if turned:
        return nodes.constant(array[slice(*part)])
    return nodes.constant(array if array.size == 1 else array[..., slice(*part)])


def _rows(nodes: Nodes, layer: ir.Node, part: tuple[int, int]) -> ir.Value:
    """Some inputs of a layer's weights."""
    array = constant(layer.inputs[1])
    assert array is not None
    turned = layer.op_type == "Gemm" and attribute(layer, "transB", 0)
    return nodes.constant(array[:, slice(*part)] if turned else array[slice(*part)])


def _cut(nodes: Nodes, value: ir.Value | None, part: tuple[int, int]) -> ir.Value | None:
    """Of a constant of one number for each channel, some channels; anything else as it is."""
    array = constant(value)
    return value if array is None or array.size == 1 else nodes.constant(array[..., slice(*part)])
