"""Networks written for pixels x channels, with a Transpose in front of and behind every layer: most of these go.

Functions of each element, Pad and Concat do not care about the order of axes. A region of them, connected by values of
the same number of axes, is turned into the order that its surroundings have where that needs fewer Transposes; what
reduces over axes at its end is turned with it. Transposes at the model's inputs and outputs count nothing: any order
is free there; and so is one that moves channels behind their pixels for a Reshape that joins these: rows of a matrix
lie so in memory. Not here: Transposes that one instruction takes (`ops/transpose.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as onnx_passes

from vlac.import_onnx.names import unique_name
from vlac.model.reading import attribute, constant_input, shape_of
from vlac.ops import BY_NAME
from vlac.rewrite.nodes import initializer

__all__ = ["turn_regions"]

_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
_OTHERS = ("Identity", "Pad", "Concat")  # beside functions of each element
_SCALARS = {"Clip": 1, "Pad": 1}  # their inputs from here on are numbers of the operator itself

Order = tuple[int, ...]


def turn_regions(model: ir.Model) -> None:
    """Turn, in place, every region that needs fewer Transposes in another order, until none does."""
    graph = model.graph
    while any(_turned(graph, region) for region in _regions(graph)):
        onnx_passes.RemoveUnusedNodesPass()(model)


def _turned(graph: ir.Graph, region: _Region) -> bool:
    best = max(sorted(region.orders), key=region.gain, default=None)
    if best is None or region.gain(best) <= 0:
        return False
    region.turn(graph, best)
    return True


def _regions(graph: ir.Graph) -> list[_Region]:
    """Connected sets of nodes that any order of axes suits."""
    owner: dict[ir.Node, _Region] = {}
    for node in graph:
        if not _suits(node):
            continue
        joined = {id(r): r for v in _operands(node) if (p := v.producer()) is not None and (r := owner.get(p))}
        joined |= {id(r): r for v in _operands(node) for u in v.consumers() if (r := owner.get(u))}
        region = _Region([n for r in joined.values() for n in r.nodes] + [node])
        owner |= dict.fromkeys(region.nodes, region)
    return list({id(r): r for r in owner.values()}.values())


def _suits(node: ir.Node) -> bool:
    spec = BY_NAME.get(node.op_type)
    if node.domain not in ("", "ai.onnx") or len(node.outputs) != 1 or spec is None:
        return False
    rank = len(shape_of(node.outputs[0]))
    if rank < 3 or (spec.function is None and node.op_type not in _OTHERS):
        return False
    if node.op_type == "Pad" and (len(node.inputs) > 3 or constant_input(node, 1) is None):
        return False
    operands = _operands(node)
    return bool(operands) and all(len(shape_of(v)) == rank for v in operands)


def _operands(node: ir.Node) -> list[ir.Value]:
    """Computed inputs that are data."""
    inputs = node.inputs[: _SCALARS.get(node.op_type)]
    return [v for v in inputs if v is not None and v.const_value is None]


def _order(value: ir.Value) -> Order | None:
    """The order of the Transpose that makes a value."""
    node = value.producer()
    return None if node is None or node.op_type != "Transpose" else tuple(node.attributes["perm"].value)


def _inverse(order: Order) -> Order:
    return tuple(int(i) for i in np.argsort(order))


@dataclass
class _Region:
    """Nodes and the values around them."""

    nodes: list[ir.Node]
    sources: list[ir.Value] = field(init=False)
    results: list[ir.Value] = field(init=False)

    def __post_init__(self) -> None:
        inside = set(self.nodes)
        self.sources = list(dict.fromkeys(v for n in self.nodes for v in _operands(n) if v.producer() not in inside))
        self.results = [n.outputs[0] for n in self.nodes]

    @property
    def orders(self) -> set[Order]:
        """What is worth trying: with order p, value v becomes v' where v = Transpose(v', p)."""
        found = {order for v in self.sources if (order := _order(v)) is not None}
        behind = {_order(n.outputs[0]) for v in self.results for n in self._readers(v) if n.op_type == "Transpose"}
        return found | {_inverse(order) for order in behind if order is not None}

    def gain(self, order: Order) -> int:
        """By how many Transposes the model gets shorter."""
        found = 0
        inside = set(self.nodes)
        for value in self.sources:
            producer = value.producer()
            if len(order) != len(shape_of(value)):
                return 0
            if _order(value) == order:
                assert producer is not None and producer.inputs[0] is not None
                free = producer.inputs[0].producer() is None or not inside.issuperset(value.consumers())
                found += not (free or value.is_graph_output())
            elif producer is not None:
                found -= 1
        for value in self.results:
            behind, others = self._around(value, order)
            found += sum(not _makes_rows(n, _inverse(order)) for n in behind)
            found -= any(not _joins_pixels(n, order) for n in others)
        return found

    def _readers(self, value: ir.Value) -> list[ir.Node]:
        inside = set(self.nodes)
        return [n for n in dict.fromkeys(value.consumers()) if n not in inside]

    def _around(self, value: ir.Value, order: Order) -> tuple[list[ir.Node], list[ir.Node]]:
        """Readers outside that are the opposite Transpose; and those that need the old order."""
        readers = self._readers(value)
        behind = [n for n in readers if _order(n.outputs[0]) == _inverse(order) and not n.outputs[0].is_graph_output()]
        return behind, [n for n in readers if n not in behind and not _reduces(n, order)]

    # --- turning --------------------------------------------------------------------------------------

    def turn(self, graph: ir.Graph, order: Order) -> None:
        """Let the region compute in the other order."""
        around = {value: self._around(value, order) for value in self.results}
        ends = {value: self._readers(value) for value in self.results}
        for value in self.sources:
            self._replace(value, self._turned_source(graph, value, order), self.nodes)
        for node in self.nodes:
            _turn_node(graph, node, order)
        for value, (behind, others) in around.items():
            for node in behind:
                node.outputs[0].replace_all_uses_with(value)
            for node in ends[value]:
                if node not in behind and node not in others:
                    _turn_axes(graph, node, order)
            name, value.name = value.name, unique_name(graph, f"{value.name}.turned")
            if others or value.is_graph_output():
                back = _transpose(graph, value, order, value.producer())
                back.name = name
                self._replace(value, back, others)
                _replace_output(graph, value, back)

    @staticmethod
    def _replace(old: ir.Value, new: ir.Value, nodes: Iterable[ir.Node]) -> None:
        for node in nodes:
            for index, value in enumerate(node.inputs):
                if value is old:
                    node.replace_input_with(index, new)

    @staticmethod
    def _turned_source(graph: ir.Graph, value: ir.Value, order: Order) -> ir.Value:
        producer = value.producer()
        if _order(value) == order and producer is not None and producer.inputs[0] is not None:
            return producer.inputs[0]
        return _transpose(graph, value, _inverse(order), producer)


def _makes_rows(transpose: ir.Node, order: Order) -> bool:
    """Whether a Transpose is there for Reshapes to rows of channels."""
    readers = transpose.outputs[0].consumers()
    return bool(readers) and all(_joins_pixels(n, order) for n in readers)


def _joins_pixels(node: ir.Node, order: Order) -> bool:
    """Whether a Reshape of values with channels last, brought there by `order`, keeps these as they are."""
    if node.op_type != "Reshape" or order != (0, *range(2, len(order)), 1):
        return False
    return shape_of(node.outputs[0])[-1:] == shape_of(node.inputs[0])[-1:]


def _reduces(node: ir.Node, order: Order) -> bool:
    """Whether a reduction drops its axes, and leaves the others in the order that they would have."""
    if node.op_type not in _REDUCTIONS or attribute(node, "keepdims", 1):
        return False
    axes = _axes(node, len(order))
    kept = [order[a] for a in range(len(order)) if a not in axes]
    return bool(axes) and kept == sorted(kept)


def _axes(node: ir.Node, rank: int) -> list[int]:
    given = constant_input(node, 1)
    axes = attribute(node, "axes", ()) if given is None else given.reshape(-1).tolist()
    return [int(a) % rank for a in axes]


def _turn_node(graph: ir.Graph, node: ir.Node, order: Order) -> None:
    """Constants and attributes of a node in the other order, and its result's shape."""
    out, rank = node.outputs[0], len(order)
    shape = shape_of(out)
    out.shape = ir.Shape([shape[a] for a in _inverse(order)])
    for index, value in enumerate(node.inputs[: _SCALARS.get(node.op_type)]):
        array = constant_input(node, index)
        if value is not None and array is not None:
            whole = array.reshape((1,) * (rank - array.ndim) + array.shape)
            node.replace_input_with(index, initializer(graph, f"{value.name}.turned", whole.transpose(_inverse(order))))
    if node.op_type == "Concat":
        node.attributes["axis"] = ir.AttrInt64("axis", order[int(node.attributes["axis"].value) % rank])
    if node.op_type == "Pad":
        pads = constant_input(node, 1)
        assert pads is not None
        turned = pads.reshape(2, rank)[:, list(_inverse(order))].reshape(-1)
        node.replace_input_with(1, initializer(graph, f"{out.name}.pads", turned))


def _turn_axes(graph: ir.Graph, node: ir.Node, order: Order) -> None:
    axes = sorted(order[a] for a in _axes(node, len(order)))
    if constant_input(node, 1) is None:
        node.attributes["axes"] = ir.AttrInt64s("axes", axes)
    else:
        node.replace_input_with(1, initializer(graph, f"{node.outputs[0].name}.axes", np.array(axes, np.int64)))


def _transpose(graph: ir.Graph, value: ir.Value, order: Order, behind: ir.Node | None) -> ir.Value:
    """A Transpose of a value, just behind what makes it."""
    node = ir.node("Transpose", [value], {"perm": order}, name=unique_name(graph, f"{value.name}.transpose"))
    out, shape = node.outputs[0], shape_of(value)
    out.name, out.dtype = unique_name(graph, f"{value.name}.transposed"), value.dtype
    out.shape = ir.Shape([shape[a] for a in order])
    if behind is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(behind, node)
    return out


def _replace_output(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    for index, out in enumerate(graph.outputs):
        if out is old:
            graph.outputs[index] = new
