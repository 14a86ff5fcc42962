"""Unique names for nodes and values: a name that the compiler makes never meets one of the user's.

`unique_name` is for what our own rewrites add; `settle_names` repairs what passes of a library made, which name
their constants after others without looking whether the name is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes import common as onnx_passes

__all__ = ["name_all", "name_printably", "settle_names", "settle_outputs", "unique_name", "untaken"]

_TAKEN = "vlac.taken_names"  # a graph's names while rewrites are at work


class _Generator:
    """An unnamed node is called like its first output."""

    def generate_node_name(self, node: ir.Node) -> str:
        """The node's own name, or its output's."""
        return str(node.name or node.outputs[0].name or node.op_type)

    def generate_value_name(self, value: ir.Value) -> str:
        """The value's own name, or "value"."""
        return str(value.name or "value")


def name_all(model: ir.Model) -> None:
    """Give every node and value a name of its own; names that are unique stay, inputs and outputs come first."""
    onnx_passes.NameFixPass(_Generator())(model)
    model.graph.meta.pop(_TAKEN, None)


def name_printably(model: ir.Model) -> None:
    """Give other names to nodes and inner values whose own would steer the terminal that they are printed on."""
    graph = model.graph
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for named in (node, *(v for v in (*node.inputs, *node.outputs) if v is not None)):
            if named.name and not named.name.isprintable():
                shown = "".join(c if c.isprintable() else "_" for c in named.name)
                named.name = unique_name(graph, shown)
    graph.meta.pop(_TAKEN, None)


def unique_name(graph: ir.Graph, wanted: str) -> str:
    """`wanted`, with a number behind it where a value or node of the graph is called so."""
    taken: set[str] | None = graph.meta.get(_TAKEN)
    if taken is None:
        taken = graph.meta[_TAKEN] = _names(graph)
    return untaken(wanted, taken)


def untaken(wanted: str, taken: set[str]) -> str:
    """`wanted`, with a number behind it where it is taken; it is afterwards."""
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}.{count}"
    taken.add(name)
    return name


def _names(graph: ir.Graph) -> set[str]:
    found = {v.name for v in (*graph.inputs, *graph.outputs, *graph.initializers.values())}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        found.add(node.name)
        found |= {v.name for v in (*node.inputs, *node.outputs) if v is not None}
    return {name for name in found if name}


def settle_names(model: ir.Model) -> None:
    """Make all names unique, also of constants that another one of the same name has put out of the graph."""
    graph = model.graph
    graph.meta.pop(_TAKEN, None)
    read = [v for node in ir.traversal.RecursiveGraphIterator(graph) for v in node.inputs if v is not None]
    for value in dict.fromkeys([*read, *graph.outputs]):
        lone = value.producer() is None and not value.is_graph_input() and not value.is_initializer()
        if lone and value.const_value is not None:
            value.name = unique_name(graph, value.name or "constant")
            graph.register_initializer(value)
    name_all(model)


def settle_outputs(model: ir.Model, names: Sequence[str | None]) -> None:
    """Give the outputs these names again: values of their own, but for an input that is an output under its own name.

    Of two outputs that passes found to be one value, and of an output that is an input of another name, an Identity
    makes a value with that name.
    """
    graph = model.graph
    seen: set[ir.Value] = set()
    for index, (value, name) in enumerate(zip(list(graph.outputs), names, strict=True)):
        if value in seen or (value.is_graph_input() and value.name != name):
            node = ir.node("Identity", [value])
            made = node.outputs[0]
            made.shape, made.type = value.shape, value.type
            graph.append(node)
            graph.outputs[index] = value = made
        seen.add(value)
        if value.name != name:
            _free(graph, name)
            value.name = name
    name_all(model)


def _free(graph: ir.Graph, name: str | None) -> None:
    """Let the constant of this name have another; other values get theirs from `name_all`, which asks outputs first."""
    if name in graph.initializers:
        value = graph.initializers[name]
        value.name = unique_name(graph, str(name))
