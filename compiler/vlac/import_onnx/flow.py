"""What depends on what in a model: which nodes compute, what each reads, and which values are the same for every input.

A node with subgraphs (If, Loop, Scan) also reads what their bodies take from outside. A value that no model input
reaches is made again wherever it is read, so it never passes between parts. QuantizeLinear and DequantizeLinear are
no nodes that compute: they belong to the value they are applied to.

Not here: where a node runs (`partition/stages.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.analysis import analyze_implicit_usage

__all__ = ["Flow", "is_quantizer", "subgraphs"]

_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


def is_quantizer(node: ir.Node | None) -> bool:
    """Whether a node is QuantizeLinear or DequantizeLinear."""
    return node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear") and not node.domain


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The bodies of a node."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


class Flow:
    """A model whose nodes and values have names of their own.

    Attributes:
        compute: the nodes that compute something from a model input, in order.
    """

    def __init__(self, model: ir.Model) -> None:
        """Index the model, whose nodes are put in an order in which each runs behind what it or its bodies read."""
        self.model, self.graph = model, model.graph
        self.graph.sort()
        captured = analyze_implicit_usage(self.graph)
        self._reads: dict[ir.Node, list[ir.Value]] = {}
        self._moving: set[ir.Value] = set(self.graph.inputs)
        for node in self.graph:
            inner = {v for body in subgraphs(node) for v in captured[body] if v.graph is self.graph}
            own = [v for v in node.inputs if v is not None]
            self._reads[node] = list(dict.fromkeys([*own, *sorted(inner, key=lambda v: v.name or "")]))
            if node.op_type in _RANDOM or not self._moving.isdisjoint(self._reads[node]):
                self._moving.update(node.outputs)
        self.compute = [n for n in self.graph if n.outputs[0] in self._moving and not is_quantizer(n)]

    def is_moving(self, value: ir.Value) -> bool:
        """Whether the value differs between runs."""
        return value in self._moving

    def all_reads(self, node: ir.Node) -> list[ir.Value]:
        """The values that a node or its bodies read, constants too."""
        return self._reads[node]

    def reads(self, node: ir.Node) -> list[ir.Value]:
        """The values that a node or its bodies read and that differ between runs."""
        return [v for v in self._reads[node] if v in self._moving]

    def behind(self, value: ir.Value) -> ir.Value:
        """The value in front of the Q and DQ that lead to `value`."""
        node = value.producer()
        while node is not None and is_quantizer(node) and node.inputs[0] is not None:
            value = node.inputs[0]
            node = value.producer()
        return value

    def source(self, value: ir.Value) -> ir.Node | None:
        """The node that computed a value, behind any Q and DQ; None for model inputs."""
        return self.behind(value).producer()

    def responsible(self, label: str) -> set[str]:
        """The nodes that compute and that a refusal of `label` is about.

        A label is a node's name or several joined ("conv+relu"), or the name of a Q, a DQ or a constant node or of its
        first output; these stand for what made their value and what reads it.
        """
        found = {str(n.name) for n in self.compute if n.name in (label, *label.split("+"))}
        computing = set(self.compute)
        for node in self.graph:
            if node in computing or label not in (node.name, node.outputs[0].name):
                continue
            source = self.source(node.outputs[0]) if is_quantizer(node) else None
            if source is not None and source in computing:
                found.add(str(source.name))
            found |= {str(r.name) for r in self._computing_readers(node)}
        return found

    def _computing_readers(self, node: ir.Node) -> set[ir.Node]:
        computing, found, waiting = set(self.compute), set[ir.Node](), [node]
        while waiting:
            outputs = set(waiting.pop().outputs)
            readers = [n for n, reads in self._reads.items() if not outputs.isdisjoint(reads)]
            found |= computing.intersection(readers)
            waiting += [r for r in readers if r not in computing]
        return found
